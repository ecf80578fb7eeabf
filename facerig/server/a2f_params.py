"""What Audio2Face's parameters mean here: face parameters, blend shape parameters, emotion post-processing. Pure.

A parameter that is left out changes nothing. Where no emotion is heard, those of the heard one act on what is asked.
Those without a counterpart are collected in `notes` and said once.
NVIDIA's face mask divides the face's surface by height; here each shape has a height (0 chin, 1 hairline) and the
mask divides the shapes. Strengths, smoothing and offsets act in the order in which `FacePost.push` applies them. """

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.emotion.blend import MAX_TRANSITION
from facerig.emotion.space import A2F_NAMES
from facerig.errors import OptionError
from facerig.server.hearing import MOST_COEF, Mixing
from facerig.stage import Frames, eased

Vector = NDArray[np.float32]

# first letters of a shape's name, height; the first that fits
HEIGHTS: tuple[tuple[str, float], ...] = (
    ("Brow", 0.90),
    ("Eye", 0.75),
    ("CheekSquint", 0.62),
    ("Nose", 0.61),
    ("CheekPuff", 0.40),
    ("Mouth", 0.30),
    ("Tongue", 0.28),
    ("Jaw", 0.15),
)

# name, default, low, high, what it does here
FACE: tuple[tuple[str, float, float, float, str], ...] = (
    ("lowerFaceSmoothing", 0.0, 0.0, 1.0, "time constant in seconds of shapes below the mask"),
    ("upperFaceSmoothing", 0.0, 0.0, 1.0, "the same above the mask"),
    ("lowerFaceStrength", 1.0, 0.0, 5.0, "gain on shapes below the mask"),
    ("upperFaceStrength", 1.0, 0.0, 5.0, "gain on shapes above the mask"),
    ("faceMaskLevel", 0.6, 0.0, 1.0, "height that divides lower from upper"),
    ("faceMaskSoftness", 0.0085, 0.0, 1.0, "how softly it divides"),
    ("skinStrength", 1.0, 0.0, 5.0, "gain on everything but the tongue and the gaze"),
    ("blinkStrength", 1.0, 0.0, 5.0, "gain on EyeBlink"),
    ("eyelidOpenOffset", 0.0, -1.0, 1.0, "taken from EyeBlink"),
    ("blinkOffset", 0.0, -1.0, 1.0, "added to EyeBlink"),
    ("lipOpenOffset", 0.0, -1.0, 1.0, "parts the lips (MouthLowerDown, MouthUpperUp); below 0 brings them together"),
    ("tongueStrength", 1.0, 0.0, 5.0, "gain on the tongue"),
    ("tongueHeightOffset", 0.0, -1.0, 1.0, "TongueTipUp, below 0 TongueTipDown (68 shapes)"),
    ("tongueDepthOffset", 0.0, -1.0, 1.0, "TongueOut, below 0 TongueIn"),
    ("inputStrength", 1.0, 0.0, 10.0, "gain on the audio before the model"),
)
DEFAULTS = {name: default for name, default, *_ in FACE}
ALIASES = {name.lower(): name for name in DEFAULTS} | {
    "inputstrength": "inputStrength",
    "lipcloseoffset": "lipOpenOffset",
    "eyelidoffset": "eyelidOpenOffset",
}

# name, default, low, high, what it does here
EMOTION: tuple[tuple[str, float, float, float, str], ...] = (
    ("emotion_contrast", 1.0, 0.3, 3.0, "spreads what is heard: above 1 its strongest part prevails"),
    ("live_blend_coef", 0.7, 0.0, 1.0, "how much of the last thirtieth of a second of it is kept"),
    ("preferred_emotion_strength", 0.5, 0.0, 1.0, "share of the asked emotion against the heard one"),
    ("emotion_strength", 0.6, 0.0, 1.0, "gain on the result"),
    ("max_emotions", 3.0, 1.0, 6.0, "so many of the strongest heard emotions are kept"),
)
TRANSITION = 0.5  # seconds: NVIDIA's default live_transition_time
BLEND_STEP = 1 / 30  # seconds: live_blend_coef is applied once a frame of 30 a second
MAX_ENTRIES = 256  # of any map: more than any client has names for


@dataclass(frozen=True)
class Face:
    """Face and blend shape parameters."""

    values: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULTS))
    multipliers: Mapping[str, float] = field(default_factory=dict)
    offsets: Mapping[str, float] = field(default_factory=dict)
    clamp: bool = False


@dataclass(frozen=True)
class Mood:
    """Emotion post-processing."""

    values: Mapping[str, float]
    preferred: bool = True
    transition: float = TRANSITION
    hears: bool = False
    """Whether an emotion is heard, with which the asked one is mixed (`mixing` says how)."""

    def weights(self, asked: Mapping[str, float]) -> dict[str, float]:
        """The mixture that the face is told for one that was asked for; where none is heard, it is all there is."""
        if not self.preferred:
            return {}
        known = {name: min(1.0, max(0.0, weight)) for name, weight in asked.items() if name in A2F_NAMES}
        if self.hears:
            return {name: weight for name, weight in known.items() if weight > 0}
        most = max(known.values(), default=0.0)
        if most <= 0:
            return {}
        contrast, gain = self.values["emotion_contrast"], self.values["emotion_strength"]
        spread = {name: gain * most * (weight / most) ** contrast for name, weight in known.items() if weight > 0}
        strongest = sorted(spread, key=lambda name: -spread[name])[: int(self.values["max_emotions"])]
        return {name: spread[name] for name in strongest}

    @property
    def mixing(self) -> Mixing | None:
        """How what is heard meets what is asked."""
        if not self.hears:
            return None
        value = self.values
        return Mixing(value["emotion_contrast"], min(MOST_COEF, value["live_blend_coef"]),
                      value["preferred_emotion_strength"] if self.preferred else 0.0, value["emotion_strength"],
                      int(value["max_emotions"]), min(MAX_TRANSITION, self.transition))

    @property
    def fade_ms(self) -> float:
        """Of a change in what is asked; NVIDIA's live blend is of what is heard, where something is."""
        blend = 0.0 if self.hears else self.values["live_blend_coef"]
        return min(5.0, self.transition + BLEND_STEP * blend / max(0.02, 1 - blend)) * 1000


class FacePost:
    """Rows in NVIDIA's shapes -> rows as its client asked for them. Keeps the smoothing's state: one a stream."""

    def __init__(self, face: Face, shapes: tuple[str, ...], fps: int) -> None:
        self.face, self.shapes = face, shapes
        value = face.values
        lower = _lower(shapes, value["faceMaskLevel"], value["faceMaskSoftness"])
        skin = np.array([value["tongueStrength"] if name.startswith("Tongue") else 1.0 if name.startswith("EyeLook")
                         else value["skinStrength"] for name in shapes])
        blink = np.array([value["blinkStrength"] if name.startswith("EyeBlink") else 1.0 for name in shapes])
        strength = lower * value["lowerFaceStrength"] + (1 - lower) * value["upperFaceStrength"]
        self._gain = (skin * blink * strength).astype(np.float32)
        tau = lower * value["lowerFaceSmoothing"] + (1 - lower) * value["upperFaceSmoothing"]
        self._alpha = np.where(tau > 0, 1 - np.exp(-1 / (fps * np.maximum(tau, 1e-6))), 1).astype(np.float32)
        self._smooth: Vector | None = None
        self._shift = _shift(value, shapes)
        self._multiplier = _vector(face.multipliers, shapes, 1.0)
        self._offset = _vector(face.offsets, shapes, 0.0)
        self._mouth = np.array([name.startswith(("Jaw", "Mouth", "Tongue")) for name in shapes])

    def push(self, first: int, rows: Frames, moods: Frames) -> Frames:
        out = self._smoothed(rows * self._gain)
        return self._finished(out)

    def rest(self) -> Vector:
        """A face without sound."""
        row: Vector = self._finished(np.zeros((1, len(self.shapes)), np.float32))[0]
        return row

    def closing(self, last: Vector, frames: int, least: float = 0.02) -> Frames:
        """Rows after the clip that close the mouth; none where it is closed."""
        rest = self.rest()
        gap = np.where(self._mouth, last - rest, 0)
        if np.abs(gap).max(initial=0) <= least:
            return np.zeros((0, len(self.shapes)), np.float32)
        share = np.arange(1, frames + 1) / frames
        left = (1 - eased(share)).astype(np.float32)[:, None]
        return np.asarray(np.where(self._mouth, rest, last) + gap * left, np.float32)

    def _smoothed(self, rows: Frames) -> Frames:
        if (self._alpha == 1).all():
            return rows
        out = np.empty_like(rows)
        for place, row in enumerate(rows):
            self._smooth = row if self._smooth is None else self._smooth + self._alpha * (row - self._smooth)
            out[place] = self._smooth
        return out

    def _finished(self, rows: Frames) -> Frames:
        shifted = np.maximum(rows + self._shift, np.minimum(rows, 0)) if self._shift.any() else rows
        out = shifted * self._multiplier + self._offset
        return np.asarray(np.clip(out, 0, 1) if self.face.clamp else out, np.float32)


# ---- from the messages ---------------------------------------------------------------------------------------------


def face_of(face: Any, blend: Any, shapes: Iterable[str], notes: list[str]) -> Face:
    """FaceParameters and BlendShapeParameters -> Face; what means nothing here goes to the notes."""
    values = dict(DEFAULTS)
    limits = {name: (low, high) for name, _, low, high, _ in FACE}
    for given, value in _finite(dict(face.float_params), "face parameter").items():
        name = ALIASES.get(given.replace("_", "").lower())
        if name is None:
            notes.append(f"face parameter {given[:40]!r} has no counterpart")
        else:
            values[name] = float(np.clip(value, *limits[name]))
            if values[name] != value:
                notes.append(f"{name}: {value:g} was cut to {values[name]:g}")
    for kind in (face.integer_params, face.float_array_params):
        notes += [f"face parameter {str(name)[:40]!r} has no counterpart" for name in list(kind)[:8]]
    known = set(shapes)
    maps = [
        _finite(dict(given), "blend shape parameter")
        for given in (blend.bs_weight_multipliers, blend.bs_weight_offsets)
    ]
    unknown = sorted({name for given in maps for name in given} - known)
    if unknown:
        notes.append(f"blend shapes that this rig has not: {', '.join(name[:30] for name in unknown[:6])}")
    return Face(values, maps[0], maps[1], blend.enable_clamping_bs_weight)


def mood_of(post: Any, emotion: Any, notes: list[str], hears: bool = False) -> Mood:
    """EmotionPostProcessingParameters and EmotionParameters -> Mood."""
    values = {}
    for name, default, low, high, _ in EMOTION:
        given = float(getattr(post, name)) if post.HasField(name) else default
        _finite({name: given}, "emotion parameter")
        values[name] = min(high, max(low, given))
    transition = emotion.live_transition_time if emotion.HasField("live_transition_time") else TRANSITION
    _finite({"live_transition_time": transition}, "emotion parameter")
    preferred = post.enable_preferred_emotion if post.HasField("enable_preferred_emotion") else True
    if post.HasField("preferred_emotion_strength") and preferred and not hears:
        notes.append("preferred_emotion_strength: this server hears no emotion, so the asked one counts alone")
    if not preferred and not hears:
        notes.append("enable_preferred_emotion is off and this server hears no emotion: the face stays neutral")
    notes += [f"{name}: {given:g} was cut to {most:g} for the heard emotion" for name, given, most in (
        ("live_blend_coef", values["live_blend_coef"], MOST_COEF),
        ("live_transition_time", transition, MAX_TRANSITION)) if hears and given > most]
    return Mood(values, preferred, min(10.0, max(0.0, transition)), hears)


def asked_of(given: Mapping[str, float], notes: list[str]) -> dict[str, float]:
    """A map of emotions; names that are unknown go to the notes."""
    found = _finite(dict(given), "emotion")
    unknown = sorted(set(found) - set(A2F_NAMES))
    if unknown:
        notes.append(f"unknown emotions: {', '.join(name[:30] for name in unknown[:6])}")
    return {name: weight for name, weight in found.items() if name in A2F_NAMES}


def _finite(given: dict[str, float], what: str) -> dict[str, float]:
    if len(given) > MAX_ENTRIES:
        raise OptionError(f"{what}s: got {len(given)}, accepted: up to {MAX_ENTRIES}")
    for name, value in given.items():
        if not np.isfinite(value):
            raise OptionError(f"{what} {name[:40]!r}: got {value}, accepted: a finite number")
    return given


def _lower(shapes: Iterable[str], level: float, softness: float) -> NDArray[np.float64]:
    """How much each shape belongs to the lower face."""
    heights = np.array([next(height for prefix, height in HEIGHTS if name.startswith(prefix)) for name in shapes])
    share = np.clip((heights - level) / max(softness, 1e-4), -60, 60)
    return np.asarray(1 / (1 + np.exp(share)))


def _shift(value: Mapping[str, float], shapes: tuple[str, ...]) -> Vector:
    lips, height, depth = value["lipOpenOffset"], value["tongueHeightOffset"], value["tongueDepthOffset"]
    parts = {
        "EyeBlink": value["blinkOffset"] - value["eyelidOpenOffset"],
        "MouthLowerDown": lips, "MouthUpperUp": lips,
        "TongueTipUp": max(height, 0.0), "TongueTipDown": max(-height, 0.0),
        "TongueOut": max(depth, 0.0), "TongueIn": max(-depth, 0.0),
    }
    return np.array(
        [next((amount for prefix, amount in parts.items() if name.startswith(prefix)), 0.0) for name in shapes],
        np.float32,
    )


def _vector(given: Mapping[str, float], shapes: tuple[str, ...], default: float) -> Vector:
    return np.array([given.get(name, default) for name in shapes], np.float32)
