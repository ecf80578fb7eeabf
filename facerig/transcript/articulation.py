"""From timed phones to a speaking face: dominance (who asks for what, how strongly), then contacts, which always win.

Every sound spreads its targets over its neighbours through a kernel per gesture that reaches further forward in time
than back (rounding most of all), and a frame is the dominance-weighted mean of all that reach it. Fast speech therefore
undershoots, a sibilant's firm jaw pulls its vowels, and an "h" takes its neighbours' shape, without a rule for any of
it. Bilabials and labiodentals are decided apart: their contact is a curve of its own and nothing can hold it open.

Takes timed units or posteriors, so the same maths runs on truth and on a model's belief. Offline: effort is judged
against the clip's own loud part. Knows no upper face, no emotion, no head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facerig.errors import OptionError
from facerig.phones import Timed, flag_of_units, rasterise, units
from facerig.stage import FPS, eased
from facerig.transcript.tables import Articulation, Floats, Gesture, articulation, native_channels

FINE = 4  # label edges are placed to a quarter of a frame
REACH = 2.5  # sigmas after which a kernel is cut off
EFFORT_SLOPE = 0.012  # amplitude per dB against the clip's own speaking level
EFFORT_RANGE = (0.7, 1.3)
EFFORT_SPAN = 9  # frames on each side over which loudness is averaged: a syllable
PITCH_SLOPE = 0.15  # amplitude per octave above the clip's own median pitch: raised voices open wider
CONTACT_JAW = 0.14  # the jaw hardly opens under closed lips ...
TEETH_JAW = 0.12  # ... or under a lip held to the teeth


@dataclass(frozen=True)
class Style:
    """How a speaker articulates; 1 is the table's own speaker."""

    jaw: float = 1.0
    lips: float = 1.0
    rounding: float = 1.0
    tongue: float = 1.0
    speed: float = 1.0  # above 1: kernels shrink, articulation is crisper

    def gain(self, group: str) -> float:
        return {"jaw": self.jaw, "lips": self.lips, "round": self.rounding, "tongue": self.tongue}[group]


@dataclass(frozen=True)
class Contact:
    """How a closure looks in time, in seconds: it leads its label, opens and closes within `ramp`.

    Measured on GRID (200 training clips): lips meet 14 ms before the label of p, b, m and part 22 ms before its end.
    """

    lead: float = 0.018
    ramp: float = 0.055
    gain: float = 1.6  # full contact where half of the ramp's window is labelled; a label of 25 ms still reaches it


LIPS = Contact()
TEETH = Contact(lead=0.012, ramp=0.060, gain=1.8)


def teach(
    timed: Sequence[Timed],
    frames: int,
    energy: NDArray[np.floating] | None = None,
    pitch: NDArray[np.floating] | None = None,
    style: Style | None = None,
) -> Floats:
    """float32 [frames, 68] at 60 fps for timed units. energy: dB a frame (any reference); pitch: Hz, 0 unvoiced."""
    return expected(soft_raster(timed, frames), energy, pitch, style)


def soft_raster(timed: Sequence[Timed], frames: int) -> Floats:
    """[frames, units] the share that each unit holds of the 1/60 s around each frame's instant."""
    half = 0.5 / FPS
    fine = rasterise([Timed(t.start + half, t.end + half, t.unit) for t in timed], frames * FINE, FPS * FINE)
    belief = np.zeros((frames, len(units())), np.float32)
    np.add.at(belief, (np.repeat(np.arange(frames), FINE), fine), np.float32(1 / FINE))
    return belief


def expected(
    posteriors: NDArray[np.floating],
    energy: NDArray[np.floating] | None = None,
    pitch: NDArray[np.floating] | None = None,
    style: Style | None = None,
) -> Floats:
    """float32 [frames, 68] for posteriors [frames, units] at 60 fps: the face that the belief in phones implies."""
    belief = _checked(posteriors)
    if not len(belief):
        return np.zeros((0, len(native_channels())), np.float32)
    style, table = style or Style(), articulation()
    moves = _dominance(belief, table, style)
    moves *= _amplitude(belief, energy, pitch, table, style)
    return _channels(_contacts(moves, belief, table), table)


def _checked(posteriors: NDArray[np.floating]) -> Floats:
    if posteriors.ndim != 2 or posteriors.shape[1] != len(units()):
        raise OptionError(f"posteriors: got shape {posteriors.shape}, accepted: [frames, {len(units())}]")
    return np.asarray(posteriors, np.float32)


# ---- dominance --------------------------------------------------------------------------------------------


def _dominance(belief: Floats, table: Articulation, style: Style) -> Floats:
    """Weighted mean of the targets in reach, a kernel a gesture."""
    wish = belief @ (table.targets * table.dominance)
    weight = belief @ table.dominance
    out = np.empty_like(wish)
    for kernel, columns in _kernels(table.gestures, style.speed):
        out[:, columns] = _filter(wish[:, columns], kernel) / (_filter(weight[:, columns], kernel) + 1e-6)
    return out


@lru_cache(maxsize=32)
def _kernels(gestures: tuple[Gesture, ...], speed: float) -> tuple[tuple[Floats, list[int]], ...]:
    """Gestures that share a kernel are filtered together."""
    groups: dict[tuple[float, float], list[int]] = {}
    for i, gesture in enumerate(gestures):
        groups.setdefault((gesture.lead / speed, gesture.lag / speed), []).append(i)
    return tuple((_kernel(*reach), columns) for reach, columns in groups.items())


def _kernel(lead: float, lag: float) -> Floats:
    """Weights of the frames -h..h around: those to come with sigma `lead`, those gone with `lag`."""
    half = int(np.ceil(REACH * max(lead, lag) * FPS))
    time = np.arange(-half, half + 1) / FPS
    sigma = np.where(time > 0, lead, lag)
    return np.exp(-0.5 * (time / sigma) ** 2).astype(np.float32)


def _filter(signal: Floats, kernel: Floats) -> Floats:
    """Sum over the neighbours; what lies outside the clip is as its edge."""
    half = len(kernel) // 2
    padded = np.pad(signal, ((half, half), (0, 0)), mode="edge")
    out = np.zeros_like(signal)
    for shift, weight in enumerate(kernel):
        out += weight * padded[shift : shift + len(signal)]
    return out


# ---- effort -----------------------------------------------------------------------------------------------


def _amplitude(
    belief: Floats,
    energy: NDArray[np.floating] | None,
    pitch: NDArray[np.floating] | None,
    table: Articulation,
    style: Style,
) -> Floats:
    """[frames, gestures] gain: the style's, times vocal effort to the gesture's power."""
    gains = np.array([style.gain(g.group) for g in table.gestures], np.float32)
    gains[table.index("close")] = 1.0  # a fraction of the jaw, not an amplitude
    powers = np.array([g.effort for g in table.gestures], np.float32)
    return np.asarray(gains * effort(belief, energy, pitch)[:, None] ** powers, np.float32)


def effort(
    belief: Floats, energy: NDArray[np.floating] | None, pitch: NDArray[np.floating] | None
) -> Floats:
    """[frames] 1 at the clip's own speaking level, more where it is louder and higher."""
    out = np.ones(len(belief), np.float32)
    speech = belief[:, flag_of_units("is_silence")].sum(axis=1) < 0.5
    if energy is not None and speech.any():
        loud = np.asarray(energy, np.float32)[: len(belief)]
        out += EFFORT_SLOPE * _syllable(np.maximum(loud - np.median(loud[speech]), -24.0), len(belief))
    if pitch is not None:
        hertz = np.asarray(pitch, np.float32)[: len(belief)]
        voiced = hertz > 0
        if voiced.any():
            octaves = np.where(voiced, np.log2(np.maximum(hertz, 1.0) / np.median(hertz[voiced])), 0.0)
            out += PITCH_SLOPE * _syllable(np.clip(octaves, -1, 1).astype(np.float32), len(belief))
    return np.clip(out, *EFFORT_RANGE).astype(np.float32)


def _syllable(signal: Floats, frames: int) -> Floats:
    padded = np.pad(signal, (0, frames - len(signal)), mode="edge") if len(signal) < frames else signal
    hann = np.hanning(2 * EFFORT_SPAN + 3)[1:-1].astype(np.float32)
    return _filter(padded[:, None], hann / hann.sum())[:, 0]


def loudness(samples: NDArray[np.floating], rate: int, frames: int) -> Floats:
    """[frames] dB of full scale in the 33 ms around each frame's instant: what `energy` means here."""
    power = np.concatenate([[0.0], np.cumsum(np.asarray(samples, np.float64) ** 2)])
    centre = np.round(np.arange(frames) * rate / FPS).astype(int)
    low = np.clip(centre - rate // 60, 0, len(samples))
    high = np.clip(centre + rate // 60, 0, len(samples))
    mean = (power[high] - power[low]) / np.maximum(high - low, 1)
    return np.asarray(10 * np.log10(mean + 1e-10), np.float32)


# ---- contact ----------------------------------------------------------------------------------------------


def contact(probability: Floats, shape: Contact) -> Floats:
    """[frames] 0..1 from the probability of a closure: full at its middle however short it is, ramps beside it."""
    fine = np.repeat(probability, FINE)
    width = round(shape.ramp * FPS * FINE)
    hann = np.hanning(width + 2)[1:-1]
    lead = round(shape.lead * FPS * FINE)
    spread = np.convolve(np.pad(fine, (width, width + lead), mode="edge"), hann / hann.sum(), mode="same")
    moved = spread[width + lead : width + lead + len(fine)]
    held = np.clip(shape.gain * moved, 0, 1).reshape(-1, FINE).mean(axis=1)
    return np.asarray(eased(held), np.float32)


def _contacts(moves: Floats, belief: Floats, table: Articulation) -> Floats:
    """Teeth first, lips last: of two that overlap the closed lips are the ones seen."""
    teeth = contact(belief[:, flag_of_units("labiodental")].sum(axis=1), TEETH)
    lips = contact(belief[:, flag_of_units("bilabial")].sum(axis=1), LIPS)
    moves = _held(moves, teeth, table, "f", TEETH_JAW)
    return _held(moves, lips, table, "m", CONTACT_JAW, closed=1.0)


def _held(
    moves: Floats, held: Floats, table: Articulation, unit: str, jaw_limit: float, closed: float = 0.0
) -> Floats:
    """Lip gestures blend into the contact's, rounding that opens the lips fades, the jaw stays under its limit."""
    row: Floats = table.targets[next(i for i, u in enumerate(units()) if u.unit == unit)]
    out: Floats = moves.copy()
    for i, gesture in enumerate(table.gestures):
        if gesture.group == "lips":
            out[:, i] += held * (np.maximum(row[i], 0) - moves[:, i])
    jaw, funnel, close = table.index("jaw"), table.index("funnel"), table.index("close")
    out[:, jaw] += held * (np.minimum(moves[:, jaw], jaw_limit) - moves[:, jaw])
    out[:, funnel] *= 1 - held
    if closed:
        out[:, close] += held * (closed - out[:, close])
    return out


# ---- channels ---------------------------------------------------------------------------------------------


def _channels(moves: Floats, table: Articulation) -> Floats:
    """Gestures to the native channels; mouthClose is the share of the open jaw that the lips make up for."""
    names = native_channels()
    out = np.zeros((len(moves), len(names)), np.float32)
    for i, gesture in enumerate(table.gestures):
        for channel in gesture.channels:
            out[:, names.index(channel)] = moves[:, i]
    close, jaw = np.clip(moves[:, table.index("close")], 0, 1), moves[:, table.index("jaw")]
    out[:, names.index("mouthClose")] = close * jaw
    return np.clip(out, 0, 1, out=out)
