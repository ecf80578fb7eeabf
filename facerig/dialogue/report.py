"""What a performance was, as JSON: lines and emotions on the clock, moods, seats, still listeners; and its sound."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from facerig.dialogue.play import Performance, Placed
from facerig.rig import rig
from facerig.stage import FPS, RATE, Frames

FORMAT, VERSION = "facerig-dialogue", 1
MOUTH = ("jaw", "lips", "tongue")
APART = 15  # frames around own words that are not counted as listening


def summary(made: Performance, model: str, files: Mapping[str, list[str]]) -> dict[str, Any]:
    """Everything but the curves; times in seconds, frames at 60 a second."""
    seats = made.script.seats()
    energy = mouth_energy(made)
    people = {}
    for one in made.script.characters:
        seat, trait = seats[one.name], one.personality
        people[one.name] = {
            "files": files.get(one.name, []), "seat": [round(seat.x, 3), round(seat.y, 3)], "eyes": seat.eyes,
            "facing": round(seat.facing, 2), "personality": {key: getattr(trait, key) for key in _traits(trait)},
            "baseline": _vad(trait.baseline), "attitude": _attitudes(made, one.name), "preset": one.preset,
            "speaks_seconds": round(sum(p.end - p.start for p in made.placed if p.line.who == one.name) / FPS, 3),
            "mouth": energy[one.name],
        }  # fmt: skip
    return {"format": FORMAT, "version": VERSION, "script": made.script.name, "title": made.script.title,
            "seed": made.script.seed, "take": made.take, "model": model, "fps": FPS, "frames": made.frames,
            "seconds": round(made.frames / FPS, 4), "characters": people,
            "lines": [_line(made, each) for each in made.placed]}  # fmt: skip


def _traits(trait: Any) -> tuple[str, ...]:
    return tuple(trait.__dataclass_fields__)


def _vad(vad: Any) -> list[float]:
    return [round(number, 4) for number in vad]


def _attitudes(made: Performance, name: str) -> dict[str, float]:
    memory = made.memories[name]
    return {other: round(feeling.attitude, 4) for other, feeling in sorted(memory.towards.items())}


def _line(made: Performance, placed: Placed) -> dict[str, Any]:
    line, felt = placed.line, made.felt.get(placed.number)
    return {"number": line.number + 1, "who": line.who, "start": round(placed.start / FPS, 4),
            "end": round(placed.end / FPS, 4), "frames": [placed.start, placed.end], "text": line.text,
            "audio": line.audio.name if line.audio else "", "act": line.act, "act_guessed": line.guessed,
            "emotion": line.emotion, "intensity": line.intensity, "to": list(line.to), "preset": line.preset,
            "interrupts": line.interrupts, "cut": placed.cut,
            "mood": _vad(felt.mood) if felt else None, "shown": felt.shown if felt else None}  # fmt: skip


def mouth_energy(made: Performance) -> dict[str, dict[str, float]]:
    """Mean square speed of jaw, lips and tongue (per second): in own lines, and while others speak alone.

    `share`: the second as a share of what those who spoke then did.
    """
    names = rig("facerig").region(*MOUTH)
    speed = {name: np.square(np.diff(track.select(names).values, axis=0) * FPS).sum(axis=1)
             for name, track in made.tracks.items()}  # fmt: skip
    near = {name: _mask(made, name, APART) for name in made.tracks}
    own = {name: _mask(made, name, 0) for name in made.tracks}
    out = {}
    for name in made.tracks:
        others = [other for other in made.tracks if other != name]
        listens = np.any([own[other] for other in others], axis=0) & ~near[name] if others else np.zeros_like(own[name])
        spoken = sum((speed[other][listens & own[other]].sum() for other in others), 0.0)
        heard = float(speed[name][listens].sum())
        out[name] = {"speaking": _mean(speed[name][own[name]]), "listening": _mean(speed[name][listens]),
                     "share": round(heard / float(spoken), 6) if spoken else 0.0}  # fmt: skip
    return out


def _mask(made: Performance, name: str, around: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros(max(0, made.frames - 1), bool)
    for each in made.placed:
        if each.line.who == name:
            mask[max(0, each.start - around) : each.end + around] = True
    return mask


def _mean(values: Frames) -> float:
    return round(float(values.mean()), 6) if len(values) else 0.0


def as_json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def wav(samples: Frames) -> bytes:
    """16-bit WAV of 24 kHz samples."""
    import soundfile

    held = io.BytesIO()
    soundfile.write(held, np.clip(samples, -1, 1), RATE, format="WAV", subtype="PCM_16")
    return held.getvalue()
