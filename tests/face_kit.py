"""Small parts that a face is put together of in tests: a prosody, an ear, a behaviour; and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from facerig.controls import CONTROLS, DEFAULTS, WIDTH, Controls, place
from facerig.face import Face
from facerig.fake import FakeModel
from facerig.features import FEATURES
from facerig.pipeline import FULL_RIG, NATIVE_RIG, Animator
from facerig.post.gains import Gains
from facerig.post.limits import Limits
from facerig.post.smooth import smooth
from facerig.rig import rig
from facerig.stage import RATE, Frames, State

NATIVE, FULL = rig(NATIVE_RIG), rig(FULL_RIG)
DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo.wav"
VOICE = 2  # columns of the plain prosody below


@dataclass(frozen=True)
class Loudness:
    """A prosody of two columns that looks `delay` frames ahead and two back."""

    delay: int = 3
    memory: int = 5

    def start(self) -> State:
        return (np.zeros((self.memory, VOICE), np.float32),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        now = np.stack([np.abs(frames).max(axis=1), frames[:, 0]], axis=1).astype(np.float32)
        seen = np.concatenate([state[0], now])
        return (seen[len(frames) :],), seen[self.memory - self.delay : self.memory - self.delay + len(frames)].copy()


@dataclass(frozen=True)
class Hearing:
    """An emotion encoder that takes loudness for surprise, with some memory."""

    delay: int = 1
    memory: int = 4

    def start(self) -> State:
        return (np.repeat(np.concatenate([np.zeros(FEATURES, np.float32), DEFAULTS])[None], self.memory, axis=0),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        seen = np.concatenate([state[0], frames])
        rows = seen[self.memory - 1 : self.memory - 1 + len(frames), FEATURES:].copy()
        for lag in range(self.memory):
            rows[:, place("emotion:surprise")] += np.clip(seen[lag : lag + len(frames), 0], 0, 1) * np.float32(0.1)
        return (seen[len(frames) :],), rows


@dataclass(frozen=True)
class Twitch:
    """A behaviour: blinks and glances by hash of seed and frame, a head that follows the last frames' voice."""

    delay: int = 2
    memory: int = 9

    def start(self, frame: int = 0, seed: int = 0) -> State:
        return (np.zeros((self.memory, len(NATIVE) + VOICE + WIDTH), np.float32), np.array([frame, seed], np.int64))

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        own, out = self.push_batch(tuple(array[None] for array in state), frames[None])
        return tuple(array[0] for array in own), out[0]

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        count = frames.shape[1]
        seen = np.concatenate([state[0], frames], axis=1)
        now = seen[:, self.memory - self.delay : self.memory - self.delay + count]
        numbers = state[1][:, :1] - self.delay + np.arange(count)
        draw = ((numbers.astype(np.uint64) * np.uint64(2654435761) + state[1][:, 1:].astype(np.uint64) * np.uint64(97))
                % np.uint64(1009)).astype(np.float32) / np.float32(1009)  # fmt: skip
        out = np.zeros((*frames.shape[:2], len(FULL)), np.float32)
        out[..., : len(NATIVE)] = now[..., : len(NATIVE)]
        life = now[..., len(NATIVE) + VOICE + place("life:blink")]
        out[..., NATIVE.index("eyeBlinkLeft")] = np.where(draw > 0.9, life, out[..., NATIVE.index("eyeBlinkLeft")])
        for lag in range(self.memory):
            out[..., -1] += seen[:, lag : lag + count, len(NATIVE)] * np.float32(0.01)
        return (seen[:, count:], np.stack([state[1][:, 0] + count, state[1][:, 1]], axis=1)), out


def alive(block: int = 6, prosody: int = 3, smoothing: int = 0, heard: bool = True) -> Animator:
    face = Face(FakeModel(NATIVE.names), Gains(NATIVE), Limits(FULL.low, FULL.high), life=Twitch(),
                prosody=Loudness(prosody, prosody + 2), heard=Hearing() if heard else None,
                smooth=smooth(smoothing, len(NATIVE)) if smoothing else None)  # fmt: skip
    return Animator(face, FULL.names, block, "fake", seed=7)


ANIMATORS = {"plain": alive(), "late prosody": alive(2, prosody=9), "smooth": alive(5, smoothing=2),
             "deaf": alive(1, heard=False)}  # fmt: skip
animators = st.sampled_from(sorted(ANIMATORS))


def voice(seconds: float, rate: int = RATE, seed: int = 0) -> Frames:
    time = np.arange(int(seconds * rate)) / rate
    envelope = np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    return np.asarray(np.random.default_rng(seed).standard_normal(len(time)) * envelope * 0.2, np.float32)


def asked(seed: int = 0) -> Controls:
    """Changes all over two seconds, of everything."""
    rng, controls = np.random.default_rng(seed), Controls()
    for frame in np.sort(rng.integers(0, 120, 25)).tolist():
        control = CONTROLS[int(rng.integers(len(CONTROLS)))]
        controls.set(frame, {control.name: float(rng.uniform(control.low, control.high))}, float(rng.integers(0, 300)))
    return controls
