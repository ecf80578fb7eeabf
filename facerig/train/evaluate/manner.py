"""Style from a reference, measured: how far the face's habits go from the model's own towards those of a reference.

References are takes of other words in a known style (the same chain under each named style), whose code is known, and
real ARKit captures where they are at hand. `style_of` reads the code, the chain speaks other clips with it, and of each
statistic it is asked what share of the way from neutral speech to the reference was gone: 0 is chance, 1 all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facerig.curves import Curves
from facerig.emotion import reference as habits
from facerig.emotion import styles
from facerig.errors import FacerigError
from facerig.rig import rig
from facerig.stage import FPS, Frames
from facerig.train.corpora.base import data_folder
from facerig.train.evaluate.probes import rank_correlation
from facerig.train.evaluate.sets import Clip

if TYPE_CHECKING:
    from facerig.train.evaluate.emotion import Faces

NAMES = rig("facerig").names
LEAST = 0.15  # of what 1 of the code is worth (`habits.FULL`): less than that between two takes is their words
BETWEEN = ("shouted", "gloomy", "lively")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# statistic: the number of the code that it belongs to, whether it is a ratio
KINDS = {"jaw": ("jaw", True), "lips": ("lips", True), "brows": ("liveliness", False), "tension": ("tension", False),
         "smile": ("smile", False), "alertness": ("alertness", False), "pace": ("tempo", True),
         "sides": ("asymmetry", False)}  # fmt: skip


def reference(faces: Faces, clips: Sequence[Clip], quick: bool = False) -> dict[str, Any]:
    """Everything; `clips` are cut into those that references say and those that are spoken with their style."""
    held = [clip for clip in clips if clip.set == "ljspeech"] or list(clips)
    said, spoken = held[::2], held[1::2] or held
    named = [name for name in styles.STYLES if name != "normal"][:: 5 if quick else 1]
    known = {name: _spoken(faces, said, styles.STYLES[name]) for name in named}
    neutral = _spoken(faces, spoken, styles.STYLES["normal"])
    codes = {name: habits.style_of(_curves(values)) for name, values in known.items()}
    moved = {name: _spoken(faces, spoken, code) for name, code in codes.items()}
    off = [np.abs(np.subtract(code, styles.STYLES[name])).mean() for name, code in codes.items()]
    return {
        "chance": 0.0, "ceiling": 1.0, "code_error": round(float(np.mean(off)), 3),
        "share_of_the_way": shares([(neutral, known[name], moved[name]) for name in named]),
        "between": {name: interpolation(faces, spoken, codes[name]) for name in BETWEEN if name in codes},
        "captures": captures(faces, spoken, neutral),
    }


def _spoken(faces: Faces, clips: Sequence[Clip], code: styles.Code) -> Frames:
    from facerig.train.evaluate.emotion import rows_for

    asked = ",".join(f"{number:g}" for number in code)
    return np.concatenate([faces.shown(clip, [rows_for(len(clip.mel), style=asked)])[0] for clip in clips])


def _curves(values: Frames) -> Curves:
    return Curves(NAMES, FPS, values)


def shares(takes: Sequence[tuple[Frames, Frames, Frames]]) -> dict[str, float | None]:
    """Per statistic: over all (neutral, reference, made), the part of the way that was gone, weighed by its length."""
    told = [[habits.statistics(values) for values in take] for take in takes]
    return {name: _share([[_number(name, one[name]) for one in take] for take in told]) for name in KINDS}


def _share(ways: Sequence[Sequence[float]]) -> float | None:
    """1 at the reference; what goes beyond it counts against it."""
    far = [(base, wanted, got) for base, wanted, got in ways if abs(wanted - base) > LEAST]
    if not far:
        return None
    left = sum(abs(wanted - got) for _, wanted, got in far)
    return round(1 - left / sum(abs(wanted - base) for base, wanted, _ in far), 3)


def _number(statistic: str, value: float) -> float:
    """A statistic in units of what 1 of its number of the code is worth."""
    axis, ratio = KINDS[statistic]
    full = habits.FULL[axis]
    return float(np.log(max(value, 1e-3)) / np.log(full)) if ratio else value / full


def interpolation(faces: Faces, clips: Sequence[Clip], code: styles.Code) -> dict[str, float]:
    """Rank correlation of the style's strongest statistic with how far one goes towards the code."""
    found = [habits.statistics(_spoken(faces, clips, styles.between(styles.STYLES["normal"], code, share)))
             for share in SHARES]
    ways = {name: abs(_number(name, found[-1][name]) - _number(name, found[0][name])) for name in KINDS}
    most = max(ways, key=lambda name: ways[name])
    values = np.array([one[most] for one in found], np.float32)
    rising = values if values[-1] > values[0] else -values
    return {most: rank_correlation(rising, np.array(SHARES, np.float32))}


def captures(faces: Faces, clips: Sequence[Clip], neutral: Frames) -> dict[str, Any] | None:
    """Real recordings: the style's share of the way, and with the adapter's gains and rests of every channel on top."""
    out: dict[str, Any] = {}
    for path in sorted((data_folder() / "captures").glob("*.csv")):
        try:
            take = _read(path)
            learnt = habits.learn([take])
        except FacerigError as error:
            out[path.stem] = str(error)[:120]
            continue
        wanted, styled = habits.values(take), _spoken(faces, clips, learnt.code)
        adapted = learnt.apply(_curves(neutral)).values
        out[path.stem] = {"seconds": round(take.frames / take.fps, 1), "style": shares([(neutral, wanted, styled)]),
                          "adapter": shares([(neutral, wanted, adapted)]),
                          "channels": {"style": _sizes(neutral, wanted, styled),
                                       "adapter": _sizes(neutral, wanted, adapted)}}  # fmt: skip
    return out or None


def _sizes(base: Frames, wanted: Frames, got: Frames) -> float:
    """The share of the way over the sizes of all channels but the tongue's."""
    seen = [k for k, name in enumerate(NAMES) if not name.startswith("tongue")]
    one, other, made = (habits.sizes(values[habits.moving_frames(values)])[seen] for values in (base, wanted, got))
    return round(float(1 - np.abs(made - other).sum() / np.abs(one - other).sum()), 3)


def _read(path: Any) -> Curves:
    import exporters

    return exporters.read(path)
