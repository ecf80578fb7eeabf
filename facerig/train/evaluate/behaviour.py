"""What behaviour puts out, against what it is stated to be and against recorded faces. Measures curves, reads no state.

Everything is measured on the 71 channels that leave `Life`, half an hour for statistics; no parameter is
fitted to it. Saccades are found in the eyes plus the head, as an observer of the room would see them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig import controls
from facerig.audio import read
from facerig.behaviour import INPUTS, Life, Tuning
from facerig.behaviour.direction import changes, directions
from facerig.behaviour.gaze import DOWNWARDS, SIDEWAYS, UPWARDS
from facerig.behaviour.scene import CHANNELS
from facerig.behaviour.states import MOUTH
from facerig.controls import STATES, Controls
from facerig.errors import extra_module
from facerig.files import assets_folder
from facerig.pipeline import Animator
from facerig.stage import FPS, Frames
from facerig.train.evaluate import captures

Floats = NDArray[np.float64]
FIRST = INPUTS - controls.WIDTH  # column of the first control
BLOCK = 60
SHUT = 0.3  # a lid that goes over this blinks: following the gaze it stays under
TOGETHER = 0.5  # seconds: two blinks closer than this are one double blink
SACCADE = 0.12  # degrees a frame where a saccade begins and ends, measured without tremor


def evaluate(quick: bool = False, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """All figures; `quick` measures a tenth of the time."""
    minutes = 3 if quick else 30
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "blinks": lambda: blinks(minutes),
        "saccades": lambda: saccades(minutes),
        "looking": lambda: looking(minutes),
        "captures": captures.compare,
        "idle": lambda: idle(1 if quick else 10),
        "transitions": lambda: transitions(20 if quick else 100),
        "direction": direction,
        "lead": lead,
        "hour": lambda: hour(6 if quick else 60),
    }
    figures: dict[str, Any] = {"minutes": minutes}
    for name, step in steps.items():
        progress(name)
        figures[name] = step()
    return figures


# ---- making takes ---------------------------------------------------------------------------------------------------


def shown(rows: Frames, seed: int = 1, frame: int = 0, life: Life | None = None) -> Frames:
    """[n, 71] for control rows [n, WIDTH], in silence, with curves at rest."""
    stage = life or Life()
    state, out = stage.start(frame, seed), np.zeros((len(rows), len(CHANNELS)), np.float32)
    for at in range(0, len(rows), BLOCK):
        part = rows[at : at + BLOCK]
        inputs = np.zeros((len(part), INPUTS), np.float32)
        inputs[:, FIRST:] = part
        state, out[at : at + BLOCK] = stage.push(state, inputs)
    return out


def held(seconds: float, values: dict[str, float]) -> Frames:
    """Control rows that do not change."""
    return Controls(values).rows(0, round(seconds * FPS))


def column(take: Frames, name: str) -> Floats:
    return np.asarray(take[:, CHANNELS.index(name)], np.float64)


def gaze(take: Frames) -> Floats:
    """[n, 2] degrees left and up of the eyes in the room: the mean of both eyes, plus the head."""
    left = column(take, "eyeLookOutLeft") - column(take, "eyeLookInLeft")
    right = column(take, "eyeLookInRight") - column(take, "eyeLookOutRight")
    up = column(take, "eyeLookUpLeft") * UPWARDS - column(take, "eyeLookDownLeft") * DOWNWARDS
    yaw, pitch = np.degrees(column(take, "headYaw")), -np.degrees(column(take, "headPitch"))
    return np.stack([(left + right) / 2 * SIDEWAYS + yaw, up + pitch], axis=1)


def _ks(sample: Floats, mean: float, sigma: float) -> dict[str, float]:
    """Kolmogorov-Smirnov against the log-normal of that mean."""
    stats = extra_module("scipy.stats", "facerig eval --behaviour", "train")
    result = stats.kstest(np.log(sample / mean), "norm", args=(-(sigma**2) / 2, sigma))
    return {"n": len(sample), "mean_s": _round(sample.mean()), "stated_mean_s": _round(mean),
            "sigma_ln": _round(np.log(sample).std()), "stated_sigma_ln": sigma,
            "ks": _round(result.statistic), "p": _round(result.pvalue)}  # fmt: skip


def _round(value: Any) -> float:
    return round(float(value), 4)


# ---- blinks ---------------------------------------------------------------------------------------------------------


def blinks(minutes: float) -> dict[str, Any]:
    """Intervals against the stated log-normal, for each state, everything on; shares of kinds; the envelope."""
    tuning, figures = Tuning(), {}
    for state in STATES[:-1]:
        take = shown(held(minutes * 60, {f"state:{state}": 1}))
        begins = blink_frames(column(take, "eyeBlinkLeft"))
        seconds = np.diff(begins) / FPS
        single = np.diff(np.concatenate([[begins[0]], begins[1:][seconds > TOGETHER]])) / FPS
        rate = tuning[f"blink.rate.{state}"]
        figures[state] = {"per_minute": _round(len(begins) / minutes), "stated_per_minute": rate,
                          "double_share": _round((seconds <= TOGETHER).mean()),
                          **_ks(single, 60 / rate, tuning["blink.sigma"])}  # fmt: skip
    return figures


def blink_frames(lid: Floats) -> NDArray[np.int64]:
    """Frames at which a lid goes over SHUT."""
    return np.flatnonzero((lid[1:] > SHUT) & (lid[:-1] <= SHUT)) + 1


# ---- saccades and where one looks -----------------------------------------------------------------------------------


def saccades(minutes: float) -> dict[str, Any]:
    """The main sequence and fixation times, while listening; tremor is left out, it has no stated course."""
    still = Tuning({"gaze.tremor": 0.0})
    take = shown(held(minutes * 60, {"state:speaking": 1, "life:blink": 0}), life=Life(still))
    begins, sizes, lengths = jumps(gaze(take))
    large = sizes > 1
    slope, least = np.polyfit(sizes[large], lengths[large], 1)
    agreed = np.corrcoef(sizes[large], lengths[large])[0, 1] ** 2
    fixations = _ks(np.diff(begins) / FPS, still["gaze.fixation.speaking"], still["gaze.sigma"])
    return {"main_sequence": {"n": int(large.sum()), "ms_per_degree": _round(slope), "stated_ms_per_degree": 2.2,
                              "ms_at_0": _round(least), "stated_ms_at_0": 21.0, "r2": _round(agreed),
                              "largest_degrees": _round(sizes.max())}, "fixations": fixations}  # fmt: skip


def jumps(path: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """(first frames, degrees, milliseconds) of the saccades in a path [n, 2].

    A course of least jerk is symmetric: the sum of what is left to go, over its frames, is half its length. That is
    finer than counting frames of 17 ms, of which most saccades have two.
    """
    speed = np.hypot(*np.diff(path, axis=0).T)
    moving = np.concatenate([[False], speed > SACCADE, [False]])
    edges = np.flatnonzero(moving[1:] != moving[:-1])
    starts, ends = edges[::2], edges[1::2]
    whole = path[np.minimum(ends, len(path) - 1)] - path[starts]
    sizes = np.hypot(*whole.T)
    lengths = np.zeros(len(starts))
    for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
        done = (path[start + 1 : end + 1] - path[start]) @ whole[k] / max(sizes[k] ** 2, 1e-9)
        lengths[k] = (2 * (1 - done).sum() + 1) * 1000 / FPS
    return starts, sizes, lengths


def looking(minutes: float) -> dict[str, Any]:
    """How much of the time the gaze is on the other (within 3 degrees), and how long the looks away are."""
    figures = {}
    for state in STATES[:-1]:
        path = gaze(shown(held(minutes * 60, {f"state:{state}": 1})))
        away = np.hypot(*path.T) > 3.0
        edges = np.flatnonzero(away[1:] != away[:-1])
        lengths = np.diff(edges)[0 if away[edges[0] + 1] else 1 :: 2] / FPS
        figures[state] = {"on_the_other": _round(1 - away.mean()), "away_mean_s": _round(lengths.mean())}
    return figures


# ---- idle, transitions, long runs -----------------------------------------------------------------------------------


def idle(minutes: float) -> dict[str, Any]:
    """The largest autocorrelation of the moving channels from 5 s to half the length: 1 would be a loop."""
    take = np.asarray(shown(held(minutes * 60, {})), np.float64)
    figures: dict[str, Any] = {}
    for name in ("headYaw", "headPitch", "headRoll", "eyeLookOutLeft", "eyeBlinkLeft", "browInnerUp"):
        signal = column(take.astype(np.float32), name)
        signal = signal - signal.mean()
        size = 1 << (2 * len(signal) - 1).bit_length()
        power = np.fft.irfft(np.abs(np.fft.rfft(signal, size)) ** 2, size)[: len(signal) // 2]
        overlap = (len(signal) - np.arange(len(power))) / len(signal)
        figures[name] = _round(np.abs(power / power[0] / overlap)[5 * FPS :].max())
    still = np.abs(np.diff(take, axis=0)).max(axis=1) == 0
    return {"largest_autocorrelation": figures, "still_frames": int(still.sum()), "minutes": minutes}


def transitions(count: int) -> dict[str, Any]:
    """Steps of head, brows and mouth corners just after a change of state, against the running median.

    `block_ratio`: the largest step in the 150 ms after a change over the median of such blocks in the 6 s around;
    `at_rest`: the same where nothing changes, which says what the measure reads of ordinary motion.
    """
    moving = [k for k, name in enumerate(CHANNELS) if name.startswith(("head", "brow", "mouth"))]
    names, rng = STATES[:-1], np.random.default_rng(0)
    ratios, ordinary, degrees = [], [], []
    for seed in range(count):
        before, after = (names[k] for k in rng.permutation(len(names))[:2])
        asked = Controls({f"state:{before}": 1})
        asked.replace(6 * FPS, "state", {f"state:{after}": 1}, fade_ms=0)
        changed = shown(asked.rows(0, 12 * FPS), seed)[:, moving]
        same = shown(held(12, {f"state:{before}": 1}), seed)[:, moving]
        ratios.append(_block_ratio(changed, 6 * FPS))
        ordinary.append(_block_ratio(same, 6 * FPS))
        turned = np.degrees(np.abs(np.diff(changed[:, -3:], axis=0)))
        degrees.append(turned[6 * FPS - 1 : 6 * FPS + 9].max())
    return {"n": count, "block_ratio_median": _round(np.median(ratios)), "block_ratio_p95":
            _round(np.percentile(ratios, 95)), "at_rest_median": _round(np.median(ordinary)),
            "at_rest_p95": _round(np.percentile(ordinary, 95)),
            "head_degrees_a_frame_p95": _round(np.percentile(degrees, 95)), **interruption()}  # fmt: skip


def interruption(seeds: int = 8) -> dict[str, Any]:
    """A line that is cut off by `state:listening`: steps of all that is not eyes, and when the mouth is at rest."""
    ratios, rests = [], []
    clip = read(assets_folder() / "demo.wav")
    for seed in range(seeds):
        animator, at = Animator.load(seed=seed), 150 + 20 * seed
        asked = Controls()
        asked.replace(at, "state", {"state:listening": 1}, fade_ms=0)
        take = animator.animate(clip.samples, clip.rate, controls=asked)
        kept = [k for k, name in enumerate(take.channels) if not name.startswith("eye")]
        steps = np.abs(np.diff(take.values[:, kept], axis=0)).max(axis=1)
        ratios.append(steps[at - 1 : at + 9].max() / np.median(steps[at - FPS : at]))
        mouth = take.values[:, MOUTH].max(axis=1)
        rests.append(int(np.argmax(mouth[at:] <= 0.02)) * 1000 / FPS)
    return {"interrupted_step_ratio_median": _round(np.median(ratios)), "interrupted_step_ratio_most":
            _round(max(ratios)), "mouth_at_rest_ms_most": _round(max(rests))}  # fmt: skip


def _block_ratio(take: Frames, frame: int, block: int = 9) -> float:
    steps = np.abs(np.diff(take, axis=0)).max(axis=1)[frame - 3 * FPS : frame + 3 * FPS]
    largest = steps[: len(steps) // block * block].reshape(-1, block).max(axis=1)
    return float(largest[3 * FPS // block] / np.median(largest))


def hour(minutes: float) -> dict[str, Any]:
    """States that come and go for an hour: range, drift, memory, and the same bits when taken up at its end."""
    rows = held(minutes * 60, {})
    for k, start in enumerate(range(0, len(rows), 20 * FPS)):
        rows[start : start + 20 * FPS, controls.place(f"state:{STATES[k % 4]}")] = 1
    take, part = shown(rows), len(rows) // 6
    heads = take[:, [CHANNELS.index(name) for name in ("headYaw", "headPitch", "headRoll")]]
    life = Life()
    begin = (len(rows) - 600 - life.memory) // BLOCK * BLOCK
    again = shown(rows[begin:], frame=begin)
    return {"minutes": minutes, "lowest_weight": _round(take[:, :68].min()), "highest_weight": _round(take.max()),
            "drift_degrees": _round(np.degrees(np.abs(heads[-part:].mean(0) - heads[:part].mean(0)).max())),
            "state_bytes": sum(array.nbytes for array in life.start()), "memory_frames": life.memory,
            "restored_bit_for_bit": bool((again[-600:] == take[-600:]).all())}  # fmt: skip


# ---- direction ------------------------------------------------------------------------------------------------------

ANGLES = (-90, -75, -60, -45, -30, -15, -5, 0, 5, 15, 30, 45, 60, 75, 90)


def direction() -> dict[str, Any]:
    """Degrees between a sound (bursts of noise) and where the face looks 1.5 s later: panned, or at two microphones."""
    errors: dict[str, list[float]] = {"panned": [], "two_microphones": []}
    for angle in ANGLES:
        for kind, stereo in (("panned", panned(angle)), ("two_microphones", spaced(angle))):
            asked = Controls()
            for frame, values in changes(directions(stereo, 16_000)):
                asked.set(frame, values)
            path = gaze(shown(asked.rows(0, 2 * FPS), seed=3))
            errors[kind].append(abs(float(np.median(path[90:, 0])) - angle))
    return {f"{kind}_{what}_degrees": _round(value) for kind, found in errors.items()
            for what, value in (("worst", max(found)), ("mean", np.mean(found)))}  # fmt: skip


def _bursts() -> Floats:
    noise = np.random.default_rng(5).standard_normal(32_000) * 0.1
    return np.asarray(noise * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(32_000) / 16_000)), np.float64)


def panned(angle: float) -> Floats:
    """[n, 2] by the sine-cosine law, 90 degrees being hard left."""
    side = np.radians((90 - angle) / 2)
    return np.outer(_bursts(), [np.cos(side), np.sin(side)])


def spaced(angle: float, spacing: float = 0.18) -> Floats:
    """[n, 2] of two microphones that far apart, with a little noise of their own."""
    sound = _bursts()
    later = np.sin(np.radians(angle)) * spacing / 343.0
    turned = np.fft.rfft(sound) * np.exp(-2j * np.pi * np.fft.rfftfreq(len(sound), 1 / 16_000) * later)
    own = np.random.default_rng(6).standard_normal((len(sound), 2)) * 0.001
    return np.asarray(np.stack([sound, np.fft.irfft(turned, len(sound))], axis=1) + own, np.float64)


def lead() -> dict[str, Any]:
    """Milliseconds by which the eyes move before the head, each at a twentieth of its way, looks of 25-60 degrees."""
    found = []
    for angle in (-60, -40, -25, 25, 40, 60):
        asked = Controls({"life:idle": 0, "look:held": 1})
        asked.set(FPS, {"look:yaw": angle}, fade_ms=0)
        take = shown(asked.rows(0, 3 * FPS))
        head = np.degrees(column(take, "headYaw"))
        eyes = gaze(take)[:, 0] - head
        onsets = [int(np.argmax(np.abs(path[FPS - 1 :] - path[FPS - 1]) > 0.05 * np.abs(path - path[FPS - 1]).max()))
                  for path in (eyes, head)]  # fmt: skip
        found.append((onsets[1] - onsets[0]) * 1000 / FPS)
    return {"least_ms": _round(min(found)), "most_ms": _round(max(found)), "stated_ms": [50, 150]}
