"""The codes of content, emotion and style, each asked for visemes, emotion and speaker or style: nine cells, twice.

On acted real speech (EMO-DB) the probes ask for what the voice itself does: every speaker is judged by probes of the
others, every text by probes of other texts. On the parallel corpus, engines' speech whose labels are exact, clips meet
emotions and styles at random, as the model was trained. The codes of emotion and style are what is asked for and not
read from the voice: their cells beside the diagonal are at chance because of that, and are marked so.

Content is what the decoder can see of the encoder: the directions that its input layer reads (`purify.read`), with
posteriors and contacts. Beside it stand the encoder's whole output, and the words alone: a probe of the true labels,
which is what speech without any voice would tell of the emotion, since who is angry speaks faster and clips of two
seconds end elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from facerig.controls import EMOTIONS, STYLE
from facerig.emotion import code, styles
from facerig.model.config import CONTACTS
from facerig.phones import VISEMES15, rasterise, units, viseme15_of_units
from facerig.stage import Frames
from facerig.train.evaluate import sets
from facerig.train.evaluate.probes import PROBES, Floats, Labels, balanced, crossed
from facerig.train.evaluate.sets import Clip

ACTED = "WLEAFTN"  # the sixth letter of a name: EMO-DB's emotions
STEP = 9  # frames from one that is asked to the next: neighbours say the same
FELT = ("neutral", *EMOTIONS)
NAMED = tuple(name for name in styles.STYLES if name != "lopsided")  # which is smirking's asymmetry alone
HALVES = 2
VOICES, TAKES = 12, 12  # engines' voices that are told apart, clips of each at most
TIMES = 4  # that each of them meets an emotion and a style
TARGET = {"diagonal": 90, "off": "chance + 10"}


@dataclass(frozen=True, eq=False)
class Coded:
    """The spoken frames of a clip as each view of them."""

    clip: Clip
    unit: Labels  # [n]
    views: dict[str, Frames]  # content, encoder, words

    @property
    def viseme(self) -> Labels:
        return np.asarray(viseme15_of_units()[self.unit], np.int64)


@cache
def _net(path: Path) -> Any:
    from facerig.model.checkpoint import load_net

    return load_net(path)


def coded(path: Path, clip: Clip, labels: Labels | None = None) -> Coded:
    """Every view at the frames that it is for; `labels` where the clip has them frame by frame."""
    import torch

    from facerig.train.loop import contents
    from facerig.train.purify import read, told

    net = _net(path)
    ahead = net.config.lookahead
    tail = np.full((ahead, clip.mel.shape[1]), clip.mel.min(), np.float32)
    with torch.no_grad():
        whole = contents(net.encoder, torch.from_numpy(np.concatenate([clip.mel, tail]))[None], half=False)[0][ahead:]
        belief, seen = told(net.encoder, whole), whole @ read(net.decoder)
    unit = np.asarray(rasterise(clip.timed, len(clip.mel)) if labels is None else labels, np.int64)
    spoken = np.flatnonzero(viseme15_of_units()[unit] > 0)
    content = torch.cat([seen, belief], dim=1).numpy()
    words = np.eye(len(units()), dtype=np.float32)
    views = {"content": content, "encoder": whole.numpy(), "words": words[unit]}
    return Coded(clip, unit[spoken], {name: view[spoken] for name, view in views.items()})


# ---- pieces ---------------------------------------------------------------------------------------------------------


def means(clips: Sequence[Coded], view: str) -> Floats:
    """A row a clip: the mean over what is spoken."""
    return np.stack([own.views[view].mean(0) for own in clips]).astype(np.float32)


def rows(clips: Sequence[Coded], view: str) -> tuple[Floats, Labels]:
    """(every ninth frame, whose clip it is)."""
    parts = [own.views[view][::STEP] for own in clips]
    owner = np.concatenate([np.full(len(part), k) for k, part in enumerate(parts)])
    return np.concatenate(parts).astype(np.float32), owner


def asked(clips: Sequence[Coded], view: str, labels: Labels, groups: Labels) -> dict[str, Any]:
    """What is read from a frame and from a clip, by a line and by a network; every group by probes of the others."""
    count = int(labels.max()) + 1
    whole, (single, owner) = means(clips, view), rows(clips, view)
    return {"chance": round(100 / count, 1),
            "frame": {name: crossed(single, labels[owner], groups[owner], count, probe)
                      for name, probe in PROBES.items()},
            "clip": {name: crossed(whole, labels, groups, count, probe) for name, probe in PROBES.items()}}


def numbered(names: Sequence[str]) -> Labels:
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)


def read_visemes(own: Sequence[Coded]) -> float:
    """By the decoder's own posteriors, which are part of the code: the most likely unit's viseme."""
    first = own[0].views["content"].shape[1] - len(units()) - len(CONTACTS)
    got = [viseme15_of_units()[one.views["content"][:, first : first + len(units())].argmax(1)] for one in own]
    return balanced(np.concatenate(got).astype(np.int64), np.concatenate([one.viseme for one in own]))


# ---- real speech ----------------------------------------------------------------------------------------------------


def real(path: Path, quick: bool = False) -> dict[str, Any] | None:
    """EMO-DB: emotion from unseen speakers, speaker from other texts; the codes asked for know nothing of the voice."""
    held = [clip for clip in sets.load("emodb", 60 if quick else 500) if len(clip.stem) > 5]
    if len({clip.speaker for clip in held}) < HALVES:
        return None
    clips = [one for one in (coded(path, clip) for clip in held) if len(one.unit)]
    emotion = np.array([ACTED.index(one.clip.stem[5]) for one in clips], np.int64)
    speaker = numbered([one.clip.speaker for one in clips])
    text = numbered([one.clip.stem[2:5] for one in clips]) % HALVES
    out: dict[str, Any] = {"clips": len(clips), "target": TARGET}
    for view in ("content", "encoder", "words"):
        out[view] = {"emotion": asked(clips, view, emotion, speaker), "speaker": asked(clips, view, speaker, text)}
    out["content"]["visemes"] = {"accuracy": read_visemes(clips), "chance": round(100 / len(VISEMES15), 1)}
    return out


# ---- the parallel corpus ------------------------------------------------------------------------------------------


def parallel(path: Path, quick: bool = False) -> dict[str, Any] | None:
    """Clips of engines that were kept apart, each under emotions and styles at random: nine cells and the voices."""
    once = [coded(path, clip, labels) for clip, labels in _made(4 if quick else TAKES)]
    if not once:
        return None
    clips = once * TIMES
    rng = np.random.default_rng(3)
    felt, styled = rng.integers(len(FELT), size=len(clips)), rng.integers(len(NAMED), size=len(clips))
    half = numbered([one.clip.id for one in clips])
    voices = numbered([one.clip.speaker for one in clips])
    content, owner = rows(clips, "content")
    whole = np.stack([_condition(FELT[f], NAMED[s], 0.5 + 0.5 * rng.random())
                      for f, s in zip(felt, styled, strict=True)])[owner]
    features = {"content": content, "emotion": whole[:, :-STYLE], "style": whole[:, -STYLE:]}
    wanted = {"visemes": (np.concatenate([one.viseme[::STEP] for one in clips]), len(VISEMES15)),
              "emotion": (felt[owner], len(FELT)), "style": (styled[owner], len(NAMED)),
              "speaker": (voices[owner], int(voices.max()) + 1)}
    out: dict[str, Any] = {"clips": len(once), "times": TIMES, "target": TARGET}
    for title, code_of in features.items():
        out[title] = {what: {"accuracy": crossed(code_of, labels, half[owner] % HALVES, count),
                             "chance": round(100 / count, 1),
                             "by_construction": not (title == "content" and what in ("visemes", "speaker"))}
                      for what, (labels, count) in wanted.items()}
    out["content"]["visemes"]["own_reading"] = read_visemes(once)
    return out


def _condition(felt: str, styled: str, intensity: float) -> Frames:
    from facerig.train.evaluate.emotion import rows_for

    return np.asarray(code.condition(rows_for(1, felt, intensity, styled))[0], np.float32)


def _made(takes: int) -> list[tuple[Clip, Labels]]:
    """Engines' clips that training left apart, of the voices that said most; none where the corpora are not built."""
    from collections import Counter

    from facerig.train.corpora import load_packed
    from facerig.train.corpora.pack import RATE, UNLABELLED

    held = load_packed().only("val", ["synthetic"])
    voices = [name for name, _ in Counter(clip.speaker for clip in held.clips).most_common(VOICES)]
    out = []
    for name in voices:
        for clip in [clip for clip in held.clips if clip.speaker == name][:takes]:
            samples = np.asarray(held.audio(clip)).astype(np.float32) / np.float32(32768)
            made = Clip(clip.id, clip.source, clip.language, clip.speaker, samples, RATE)
            labels = np.asarray(held.labels(clip), np.int64)[: made.frames]
            out.append((made, np.where(labels == UNLABELLED, 0, labels)))  # unlabelled frames are not asked, as silence
    return out
