"""The expression teacher: what a face that speaks neutrally would do if it felt something, or spoke in a style.

    from facerig.train.teacher.expression import expressive
    felt = expressive(neutral, condition, contacts, energy)     # [n, 68]

The looks are tables (`facerig.emotion.looks`: action units, speech, styles, timing); here they are joined with speech:

- speech keeps its gestures, scaled by group; the mouth's pose gives way while one speaks, rounding holds corners in,
  and what opens the lips is gone where they shall be closed: contact wins;
- stressed words, told from loudness, come with accents: brows flash, eyes widen, teeth show;
- every unit comes and goes at its region's pace; a style shifts sizes, pace, sides and baselines.

Knows no network. Loudness is read from `AHEAD` frames before to as many after: no more than the model hears.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerig.controls import STYLE
from facerig.emotion.looks import GROUP_CHANNELS, GROUPS, PACED, Looks, ends, looks, placed, whole_clip
from facerig.model.config import CONTACTS
from facerig.rig import rig
from facerig.stage import Frames, eased

AHEAD = 6
PAST = 36  # frames of loudness that a stressed syllable is compared with
STRESS_DB = (2.0, 9.0)  # above their mean: where an accent begins, where it is full. Chosen by eye on GRID and flite
FLOOR_DB = 30.0  # under the loudest of that past, speech is held to be absent
SHUT = 0.9  # lips are together where mouthClose is this share of jawOpen
LAG = 6  # frames of the mean that slurred speech falls back to, all of them past
NAMES = rig("facerig").names
JAW, CLOSE = NAMES.index("jawOpen"), NAMES.index("mouthClose")
ROUND = [k for stem in ("mouthFunnel", "mouthPucker") for k in placed(stem)]
LEFT = np.array([name.startswith("mouth") and name.endswith("Left") and name != "mouthLeft" for name in NAMES])
RIGHT = np.array([name.startswith("mouth") and name.endswith("Right") and name != "mouthRight" for name in NAMES])
SPOKEN = np.array([name.startswith(("jaw", "mouth", "tongue")) for name in NAMES])


@dataclass(frozen=True, eq=False)
class Speech:
    """A clip as it is spoken neutrally, and what of it the expression reacts to."""

    neutral: Frames  # [n, 68]
    voice: Frames  # [n] 1 where somebody speaks
    closed: Frames  # [n] 1 where the lips meet each other or the teeth
    rounded: Frames  # [n]
    stress: Frames  # [n] 0 to 1
    mean: Frames  # [n, 68] of the frames around
    lagging: Frames  # [n, 68] of the frames before


def speech(neutral: Frames, contacts: Frames, energy: Frames) -> Speech:
    """From curves, contact probabilities [n, 4] and loudness in dB [n]."""
    lips, teeth, voice = (contacts[:, CONTACTS.index(name)] for name in ("bilabial", "labiodental", "speech"))
    neutral = np.clip(neutral, 0, 1)
    return Speech(
        neutral, around(voice, AHEAD), _closed(neutral, lips, teeth), np.clip(neutral[:, ROUND].sum(1), 0, 1),
        stressed(energy), around(neutral, 4), _lagging(neutral),
    )  # fmt: skip


def expressive(neutral: Frames, condition: Frames, contacts: Frames, energy: Frames) -> Frames:
    """[n, 68] of the same words under a condition [n, 32]; where that is zero, the neutral curves."""
    return felt(speech(neutral, contacts, energy), condition)


def felt(said: Speech, condition: Frames, known: Looks | None = None) -> Frames:
    """As `expressive`, of a clip that was looked at before."""
    known = known or looks()
    smooth = whole_clip(condition)
    mood = Mood(known, known.emotions(smooth), ends(smooth))
    out = said.neutral + _spoken(said, mood) + _pose(said, mood) + _accents(said, mood)
    return np.asarray(np.clip(_sided(out, mood), 0, 1), np.float32)


@dataclass(frozen=True, eq=False)
class Mood:
    """A condition as it has come about."""

    known: Looks
    came: Frames  # [n, 12, PACED]
    ends: Frames  # [n, 16]


# ---- what speech does -----------------------------------------------------------------------------------------------


def around(signal: Frames, reach: int) -> Frames:
    """Mean of the `reach` frames on each side, the nearest counting most."""
    return _filtered(signal, np.hanning(2 * reach + 3)[1:-1], reach)


def _lagging(signal: Frames) -> Frames:
    return _filtered(signal, np.hanning(LAG + 3)[1:-1], 0)


def _filtered(signal: Frames, weights: NDArray[np.float64], ahead: int) -> Frames:
    """The last of the weights meets the frame `ahead` later."""
    wide = [(len(weights) - 1 - ahead, ahead)] + [(0, 0)] * (signal.ndim - 1)
    padded = np.pad(signal, wide, mode="edge")
    shares = weights / weights.sum()
    return np.asarray(sum(w * padded[k : k + len(signal)] for k, w in enumerate(shares)), np.float32)


def _closed(neutral: Frames, lips: Frames, teeth: Frames) -> Frames:
    """The network's belief in a contact, or its curves' own closure; widened by a frame."""
    believed = np.clip((np.maximum(lips, teeth) - 0.1) / 0.3, 0, 1)
    jaw = neutral[:, JAW]
    shut = np.clip(neutral[:, CLOSE] / np.maximum(SHUT * jaw, 0.02), 0, 1) ** 2 * (jaw > 0.02)
    held = np.maximum(believed, shut)
    padded = np.pad(held, 1, mode="edge")
    return np.asarray(np.maximum(held, 0.6 * np.maximum(padded[:-2], padded[2:])), np.float32)


def stressed(energy: Frames) -> Frames:
    """[n] 0 to 1: how far a syllable is louder than the speech just before it."""
    loud = around(energy, AHEAD)
    before = np.pad(loud, (PAST - 1, 0), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(before, PAST)
    spoken = windows > windows.max(1, keepdims=True) - FLOOR_DB
    mean = (windows * spoken).sum(1) / spoken.sum(1)
    low, high = STRESS_DB
    share = np.clip((loud - mean - low) / (high - low), 0, 1)
    return around(np.asarray(eased(share), np.float32), AHEAD)


def _spoken(said: Speech, mood: Mood) -> Frames:
    """What the gains of groups and the tempo add to the curves of speech."""
    known, out = mood.known, np.zeros_like(said.neutral)
    for g, group in enumerate(GROUPS):
        columns = [k for stem in GROUP_CHANNELS[group] for k in placed(stem)]
        pace = mood.came[:, :, PACED.index("jaw" if group == "jaw" else "lips")]
        gain = np.maximum(pace @ known.gains[:, g] + mood.ends @ known.style_gains[:, g], -0.8)
        out[:, columns] += gain[:, None] * said.neutral[:, columns]
    tempo = mood.ends[:, [3, 3 + STYLE]] * known.tempo
    out += tempo[:, :1] * (said.neutral - said.mean) * SPOKEN
    out += tempo[:, 1:] * (1 - said.closed[:, None]) * (said.lagging - said.neutral) * SPOKEN
    return out


def _pose(said: Speech, mood: Mood) -> Frames:
    """The units at rest, less what speech takes of them."""
    voice, rounded, closed, known = said.voice[:, None], said.rounded[:, None], said.closed[:, None], mood.known
    stays = (1 - voice * (1 - known.speaking)) * (1 - rounded * known.rounded) * (1 - closed * known.opens)
    return np.asarray((known.weighed(mood.came, known.still) + mood.ends @ known.style_still) * stays, np.float32)


def _accents(said: Speech, mood: Mood) -> Frames:
    """Units on stressed words."""
    known = mood.known
    own = known.weighed(mood.came, known.accent) + mood.ends @ known.style_accent
    heard = said.stress * said.voice * np.clip(1 - mood.ends @ known.quiet, 0, 1)
    return np.asarray(own * heard[:, None] * (1 - said.closed[:, None] * known.opens), np.float32)


def _sided(out: Frames, mood: Mood) -> Frames:
    """One side of the mouth does more, the other less."""
    styled = mood.ends[:, [4, 4 + STYLE]] * mood.known.sides
    tilt = (styled[:, 0] - styled[:, 1])[:, None]
    return np.asarray(out + (tilt * LEFT - tilt * RIGHT) * out, np.float32)
