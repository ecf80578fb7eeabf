"""The face as one stage: controls meet the frame they were asked for, everywhere; and all laws hold with all parts."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.audio import Audio
from facerig.controls import COLUMNS, CONTROLS, DEFAULTS, MAX_CHANGES, WIDTH, Controls, place, rows_of
from facerig.curves import Curves, concat, npz_bytes
from facerig.errors import ModelError, OptionError
from facerig.face import Face
from facerig.fake import FakeModel
from facerig.features import FEATURES
from facerig.files import assets_folder
from facerig.pipeline import FULL_RIG, NATIVE_RIG, Animator
from facerig.post.gains import Gains
from facerig.post.limits import Limits
from facerig.post.lips import ARTICULATORS, MOODS
from facerig.post.smooth import smooth
from facerig.rig import rig
from facerig.server.batch import BatchChain
from facerig.stage import FPS, RATE, SAMPLES, Chain, Frames, State, run
from facerig.transcript.assist import assisted
from facerig.transcript.read import Transcript, Word

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


# ---- laws ----------------------------------------------------------------------------------------------------------


@given(animators, st.sampled_from([16_000, 24_000, 44_100]), st.integers(0, 40), st.integers(-5, 500),
       st.lists(st.integers(0, 30_000), max_size=6))  # fmt: skip
@settings(deadline=None, max_examples=30)
def test_streaming_equals_offline_with_everything_on(name: str, rate: int, seed: int, start: int,
                                                      cuts: list[int]) -> None:
    animator, samples = ANIMATORS[name], voice(1.2, rate)
    whole = animator.animate(samples, rate, start, controls=asked(seed), seed=seed)
    session = animator.session(rate, start, asked(seed), seed)
    pieces = np.split(samples, sorted(min(cut, len(samples)) for cut in cuts))
    assert concat([*(session.push(piece) for piece in pieces), session.flush()]) == whole
    assert (whole.start, whole.channels) == (start, FULL.names)


@given(animators, st.integers(0, 40), st.integers(0, 28_000))
@settings(deadline=None, max_examples=20)
def test_a_snapshot_holds_controls_and_seed(name: str, seed: int, cut: int) -> None:
    animator, samples = ANIMATORS[name], voice(1.2)
    session = animator.session(controls=asked(seed), seed=seed)
    head = session.push(samples[:cut])
    saved = session.snapshot()
    again = animator.resume(saved)
    assert again.snapshot() == saved
    whole = animator.animate(samples, controls=asked(seed), seed=seed)
    assert concat([head, again.push(samples[cut:]), again.flush()]) == whole


@given(animators, st.integers(0, 40), st.integers(0, 100), st.integers(0, 3000), st.integers(-7, 1000))
@settings(deadline=None, max_examples=25)
def test_restored_from_audio_frame_number_seed_and_controls(name: str, seed: int, frame: int, more: int,
                                                             start: int) -> None:
    animator, samples = ANIMATORS[name], voice(2)
    whole = animator.animate(samples, start=start, controls=asked(seed), seed=seed)
    first = max(0, (frame - animator.context) * SAMPLES)
    heard = frame * SAMPLES + more
    session = animator.restore(samples[first:heard], first, frame, start=start, controls=asked(seed), seed=seed)
    rest = concat([session.push(samples[heard:]), session.flush()])
    assert rest == whole.slice(start + frame, whole.end)


@pytest.mark.parametrize("name", sorted(ANIMATORS))
def test_memory_and_delay_are_as_declared(name: str) -> None:
    """What lies further back than `memory` changes nothing; a control's own frame is where it shows."""
    face = ANIMATORS[name].chain
    rng = np.random.default_rng(1)
    sound = rng.standard_normal((120, SAMPLES)).astype(np.float32) * 0.1
    frames = np.concatenate([sound, asked(3).rows(0, 120)], axis=1)
    other = frames.copy()
    other[:20, :SAMPLES] *= -0.3
    other[:20, SAMPLES:] = rows_of(20)
    assert not np.array_equal(run(face, frames, 5), run(face, other, 5))
    pushed = [face.push(face.start(), given)[1] for given in (frames, other)]
    assert pushed[0][20 + face.memory :].tobytes() == pushed[1][20 + face.memory :].tobytes()


@pytest.mark.parametrize("name", sorted(ANIMATORS))
def test_a_batch_of_streams_equals_each_alone(name: str) -> None:
    face = ANIMATORS[name].chain
    together, alone = BatchChain(face, 6), BatchChain(face, 6)
    for slot in range(6):
        together.reset(slot, 50 * slot, slot)
        alone.reset(slot, 50 * slot, slot)
    rng = np.random.default_rng(0)
    for step in range(12):
        slots = sorted(rng.choice(6, int(rng.integers(2, 7)), replace=False).tolist())
        sound = (rng.standard_normal((len(slots), 2, SAMPLES)) * 0.1).astype(np.float32)
        frames = np.concatenate([sound, np.stack([asked(slot).rows(2 * step, 2) for slot in slots])], axis=2)
        batch = together.step(slots, frames)
        single = np.concatenate([alone.step([slot], frames[row : row + 1]) for row, slot in enumerate(slots)])
        assert np.abs(batch - single).max() <= 1e-5


# ---- what meets what -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spy:
    """Shows the control row that it meets in the first columns of the curves."""

    start_frame: int = 0
    delay: int = 0
    memory: int = 0

    def start(self, frame: int = 0, seed: int = 0) -> State:
        return (np.array([frame], np.int64),)

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        out = np.zeros((len(frames), len(FULL)), np.float32)
        out[:, 0] = frames[:, len(NATIVE) + VOICE + place("look:yaw")]  # the row it meets
        out[:, 1] = state[0][0] + np.arange(len(frames))  # the frame it thinks it is
        out[:, 2] = frames[:, len(NATIVE) + VOICE - 1]  # the sound it meets
        return (state[0] + len(frames),), out


@pytest.mark.parametrize(("prosody", "smoothing", "heard"),
                         [(0, 0, None), (3, 2, Hearing()), (9, 0, Hearing()), (4, 0, None)])
def test_every_consumer_meets_the_row_of_its_frame(prosody: int, smoothing: int, heard: Hearing | None) -> None:
    wide = Limits(np.full(len(FULL), -1000, np.float32), np.full(len(FULL), 1000, np.float32))
    face = Face(FakeModel(NATIVE.names), Gains(NATIVE), wide, prosody=Loudness(prosody, prosody + 2), life=Spy(),
                heard=heard, smooth=smooth(smoothing, len(NATIVE)) if smoothing else None)  # fmt: skip
    rows = rows_of(60)
    rows[:, place("look:yaw")] = np.arange(60)
    frames = np.concatenate([np.repeat(np.arange(60, dtype=np.float32)[:, None], SAMPLES, axis=1) / 1000, rows], axis=1)
    frames[:, 0] = np.arange(60)
    out = face.push(face.start(100), frames)[1][face.delay :]
    expected = np.arange(len(out))
    assert np.array_equal(out[:, 0], expected)
    assert np.array_equal(out[:, 1], expected + 100)
    assert np.array_equal(out[:, 2], expected)


def test_a_gain_acts_on_its_own_frame_and_region() -> None:
    animator = Animator.load("fake", alive=False)
    samples, controls = voice(1.0), Controls()
    controls.set(30, {"gain:jaw": 0.0}, fade_ms=0)
    plain, turned = animator.animate(samples), animator.animate(samples, controls=controls)
    jaw = plain.channels.index("jawOpen")
    assert np.array_equal(turned.values[:30], plain.values[:30])
    assert not turned.values[30:, jaw].any()
    assert plain.values[30:, jaw].any()
    others = [k for k, one in enumerate(NATIVE.channels) if one.region != "jaw" and one.name != "mouthClose"]
    assert np.array_equal(turned.values[:, others], plain.values[:, others])


def test_seeds_move_what_is_random_and_nothing_else() -> None:
    animator, samples = ANIMATORS["plain"], voice(1.0)
    one, same, other = (animator.animate(samples, seed=seed) for seed in (1, 1, 2))
    assert one == same
    blink = FULL.index("eyeBlinkLeft")
    assert not np.array_equal(one.values[:, blink], other.values[:, blink])
    rest = [k for k in range(len(FULL)) if k != blink]
    assert np.array_equal(one.values[:, rest], other.values[:, rest])


# ---- a still face ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["fake", "auto"])
def test_still_and_unasked_it_is_the_speech_path_bit_for_bit(model: str) -> None:
    animator = Animator.load(model, alive=False)
    samples = soundfile.read(DEMO, dtype="float32")[0][: 2 * RATE]
    native = np.concatenate([samples, np.zeros(-len(samples) % SAMPLES, np.float32)]).reshape(-1, SAMPLES)
    speech = run(Chain(animator.chain.stages), native, animator.block)
    assert animator.chain.delay == Chain(animator.chain.stages).delay
    assert animator.chain.memory == Chain(animator.chain.stages).memory
    assert animator.animate(samples, RATE).values.tobytes() == speech.tobytes()
    ones = Controls({"gain:lips": 1.0, "lip_scale": 1.0})
    assert animator.animate(samples, RATE, controls=ones).values.tobytes() == speech.tobytes()
    assert animator.channels == NATIVE.names


@pytest.mark.parametrize("state", ["listening", "thinking", "idle", "off"])
def test_states_rest_the_still_mouth(state: str) -> None:
    animator, controls = Animator.load("fake", alive=False), Controls()
    controls.set(20, {f"state:{state}": 1.0}, 150)
    curves = animator.animate(voice(1.0), controls=controls)
    mouth = [NATIVE.index(name) for name in NATIVE.region("jaw", "lips", "tongue")]
    assert curves.values[:20, mouth].any()
    assert not curves.values[29:, mouth].any()
    assert bool(curves.values[29:].any()) == (state != "off")


def test_the_still_eyes_look_where_they_are_asked_to() -> None:
    animator, controls = Animator.load("fake", alive=False), Controls()
    controls.set(10, {"look:yaw": 17.5, "look:pitch": -35.0, "look:held": 1.0}, 0)
    row = animator.animate(voice(1.0), controls=controls)
    assert not row.values[9, [NATIVE.index(name) for name in NATIVE.region("gaze")]].any()
    assert (row["eyeLookOutLeft"][30], row["eyeLookInRight"][30], row["eyeLookInLeft"][30]) == (0.5, 0.5, 0)
    assert (row["eyeLookDownRight"][30], row["eyeLookUpLeft"][30]) == (1, 0)


def test_lip_scale_sizes_speech_and_keeps_closures_closed() -> None:
    stage = Gains(NATIVE)
    curves = np.zeros((1, len(NATIVE)), np.float32)
    for name, value in (("jawOpen", 0.14), ("mouthClose", 0.126), ("mouthSmileLeft", 0.4), ("browInnerUp", 0.3)):
        curves[0, NATIVE.index(name)] = value
    rows = rows_of(1)
    for column, value in (("lip_scale", 1.5), ("gain:jaw", 1.2), ("gain:lips", 0.3)):
        rows[0, place(column)] = value
    out = dict(zip(NATIVE.names, stage.push((), np.concatenate([curves, rows], axis=1))[1][0].tolist(), strict=True))
    assert out["jawOpen"] == pytest.approx(0.14 * 1.8)
    assert out["mouthClose"] / out["jawOpen"] == pytest.approx(0.9)
    assert out["mouthSmileLeft"] == pytest.approx(0.4 * 0.3)  # a mood: its region's gain, but no size of speech
    assert out["browInnerUp"] == pytest.approx(0.3)


@pytest.mark.parametrize("block", [2, 6])
def test_the_shipped_ear_in_the_chain(block: int) -> None:
    """Heard emotion streams, can be left out, and adds no delay; sound of long ago does not matter."""
    if not (assets_folder() / "models" / "emotion.json").is_file():
        pytest.skip("no ear is installed")
    animator, deaf = Animator.load("tiny", block=block, emotion="auto"), Animator.load("tiny", block=block)
    assert animator.delay == deaf.delay
    samples, rate = soundfile.read(DEMO, dtype="int16")
    samples = samples[: 3 * rate]
    whole, session = animator.animate(samples, rate, seed=2), animator.session(rate, seed=2)
    cuts = np.sort(np.random.default_rng(block).integers(0, len(samples), 12))
    assert concat([*(session.push(piece) for piece in np.split(samples, cuts)), session.flush()]) == whole
    left_out = animator.animate(samples, rate, seed=2, controls=Controls({"heard": 0.0}))
    assert left_out == deaf.animate(samples, rate, seed=2)


# ---- with a transcript ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["fake", "auto"])
def test_a_transcript_goes_through_the_whole_face(model: str) -> None:
    """Unasked and still: the speech path after the corrected columns, bit for bit; controls act on their frames."""
    animator = Animator.load(model, alive=False)
    samples = soundfile.read(DEMO, dtype="float32")[0][: RATE + 77]
    words = Transcript(words=tuple(Word(0, 0, word) for word in ["the", "quick", "brown", "fox"]))
    plain = animator.animate_said(Audio(samples, RATE), words)
    assert plain.values.tobytes() == assisted(animator.chain.stages, samples, RATE, words).curves.values.tobytes()
    controls = Controls()
    controls.set(30, {"gain:jaw": 0.0}, fade_ms=0)
    asked_for = animator.animate_said(Audio(samples, RATE), words, controls=lambda timed: controls)
    assert np.array_equal(asked_for.values[:30], plain.values[:30])
    assert not asked_for["jawOpen"][30:].any()
    assert plain["jawOpen"][30:].any()


def test_a_transcript_and_a_living_face() -> None:
    animator = ANIMATORS["plain"]
    words, samples = Transcript(words=(Word(0, 0, "mama"),)), voice(1.0)
    curves = animator.animate_said(Audio(samples, RATE), words, seed=3)
    assert curves.channels == FULL.names
    heard = animator.animate(samples, RATE, seed=3)
    head = [FULL.index("headRoll"), FULL.index("eyeBlinkLeft")]
    assert np.array_equal(curves.values[:, head], heard.values[:, head])


# ---- barge-in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "smooth"])
@pytest.mark.parametrize("release_ms", [0, 50, 100])
def test_an_interrupt_lets_the_mouth_go_and_listens(name: str, release_ms: int) -> None:
    animator = ANIMATORS[name]
    session = animator.session(start=10, controls=Controls({"state:speaking": 1.0}))
    said = session.push(np.random.default_rng(0).standard_normal(27_120).astype(np.float32) * 0.2)
    assert said.values[-1].max() > 0.2
    released = session.interrupt(release_ms)
    assert released.start == said.end
    assert released.frames == max(1, round(release_ms * FPS / 1000))
    rest = concat([session.push(np.zeros(RATE // 2, np.float32)), session.flush()])
    assert rest.start == released.end
    whole = concat([said, released, rest])
    mouth = [FULL.index(channel) for channel in NATIVE.region("jaw", "lips", "tongue")]
    assert whole.values[released.end - 10 :, mouth].max() <= 0.02
    steps = np.abs(np.diff(concat([said.slice(said.end - 1, said.end), released]).values[:, mouth], axis=0)).max()
    assert steps <= 1.6 * said.values[-1, mouth].max() / released.frames
    assert not session.controls.rows(rest.end, 1)[0, place("state:speaking")]


def test_an_interrupt_before_the_first_frame_releases_nothing() -> None:
    session = ANIMATORS["plain"].session()
    assert session.interrupt().frames == 0
    assert session.push(voice(0.5)).start == 0


def test_after_an_interrupt_snapshots_go_on() -> None:
    animator, samples = ANIMATORS["plain"], voice(1.0)
    session = animator.session()
    session.push(samples)
    session.interrupt()
    head = session.push(samples[:9000])
    again = animator.resume(session.snapshot())
    for one in (session, again):
        assert concat([head, one.push(samples[9000:]), one.flush()]).frames == 60
    assert again.last is not None


@pytest.mark.parametrize("release_ms", [100, 300])
@pytest.mark.parametrize("asked", [
    {"emotion:happy": 1.0, "look:yaw": 40.0, "look:held": 1.0}, {"raise:brows": 1.0, "attitude": 0.5}, {}])
def test_what_is_no_speech_goes_on_through_an_interrupt(asked: dict[str, float], release_ms: int) -> None:
    """No step of head, brows, cheeks or corners is larger than where nobody interrupts, but for what ends with the
    voice (a nod, a flash of the brows) and leaves within the release, in the smallest steps. The next line has a still
    beginning, so that all that moves is not speech; an emotion is on its way when the first one is cut off."""
    animator = Animator.load("tiny")
    samples, rate = soundfile.read(DEMO, dtype="float32")
    after = np.concatenate([np.zeros(rate, np.float32), samples[: 2 * rate]])
    parts_of_face = [[FULL.index(name) for name in FULL.names if name.startswith(stems)] for stems in (
        "head", "brow", ("cheek", "nose", "mouthSmile"))]
    for seed in range(3):
        controls = [Controls(asked) for _ in range(2)]
        for one in controls:
            one.set(170, {"emotion:surprise": 0.7, "pose:yaw": -12.0}, 900)
        plain = animator.animate(samples, rate, controls=controls[0], seed=seed).values
        session = animator.session(rate, controls=controls[1], seed=seed)
        said = session.push(samples[: 3 * rate + 2000 * seed])
        parts = [said, session.interrupt(release_ms), session.push(after), session.flush()]
        values, released = concat(parts).values[said.frames - 1 : said.frames + FPS], parts[1].frames
        for own in parts_of_face:
            steps, most = np.abs(np.diff(values[:, own], axis=0)), np.abs(np.diff(plain[:, own], axis=0)).max()
            most *= 1.05  # the fade under way meets another sway of the brows
            left = np.abs(values[released, own] - values[0, own]).max() / released
            assert steps[:released].max() <= max(most, 1.2 * left)
            assert steps[released : released + 10].max() <= most


def test_a_restored_session_knows_what_was_asked_before_its_interrupt() -> None:
    animator, samples, asked = ANIMATORS["plain"], voice(1.0), {"look:yaw": 20.0, "look:held": 1.0}
    controls = Controls(asked)
    controls.set(40, {"attitude": 1.0, "emotion:sad": 0.5}, 900)
    session = animator.session(start=5, controls=controls)
    session.push(samples)
    session.interrupt()
    again = animator.restore(samples[:0], 0, 0, start=session.start, controls=controls.copy(), begun=session.begun)
    rest = concat([session.push(samples), session.flush()])
    assert concat([again.push(samples), again.flush()]) == rest
    with pytest.raises(OptionError, match="begun"):
        animator.restore(samples[:0], 0, 0, start=5, begun=6)


@pytest.mark.parametrize("release_ms", [-1, 2001, float("nan")])
def test_wrong_releases_are_refused(release_ms: float) -> None:
    with pytest.raises(OptionError, match="release_ms"):
        ANIMATORS["plain"].session().interrupt(release_ms)


# ---- the first frame, and changes on the way ------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "channel"), [
    ({"emotion:happy": 1.0}, "mouthSmileLeft"), ({"emotion:angry": 1.0}, "browDownLeft"),
    ({"raise:brows": 1.0}, "browOuterUpLeft"), ({"look:yaw": 40.0, "look:held": 1.0}, "headYaw")])
def test_what_is_asked_from_the_first_frame_on_is_there_in_it(asked: dict[str, float], channel: str) -> None:
    """Wherever frames come from: a file, a stream, a slot of a server, a clip with its words."""
    animator, start = Animator.load("tiny"), 90
    samples = soundfile.read(DEMO, dtype="float32")[0][:RATE]
    samples[: RATE // 2] = 0
    curves = animator.animate(samples, RATE, start, controls=Controls(asked), seed=4)
    settled = float(np.median(curves[channel][:25]))
    assert abs(settled) > 0.2
    assert np.abs(curves[channel][:25] - settled).max() < 0.2 * abs(settled)
    slots = BatchChain(animator.chain, 1)
    slots.reset(0, start, 4, animator.before(Controls(asked), start, start))
    native, rows = samples.reshape(-1, SAMPLES), Controls(asked).rows(start, len(samples) // SAMPLES)
    frames = np.concatenate([native, rows], axis=1)
    made = np.concatenate([slots.step([0], frames[None, at : at + 6])[0] for at in range(0, len(frames), 6)])
    assert made[animator.delay :].tobytes() == curves.values[: len(made) - animator.delay].tobytes()
    words = Transcript(words=(Word(0.6, 1.0, "the"),))
    told = animator.animate_said(Audio(samples, RATE), words, controls=Controls(asked), seed=4, start=start)
    assert np.abs(told[channel][:25] - settled).max() < 0.2 * abs(settled)


@pytest.mark.parametrize("state", ["listening", "thinking", "idle"])
def test_a_silent_state_rests_the_mouth_from_the_first_frame_on(state: str) -> None:
    mouth = [FULL.index(name) for name in speech_of(NATIVE.names)]
    samples = np.random.default_rng(0).standard_normal(RATE // 2).astype(np.float32) * 0.2
    animator = Animator.load("fake")
    assert animator.animate(samples).values[:6, mouth].any()
    assert not animator.animate(samples, controls=Controls({f"state:{state}": 1.0})).values[:, mouth].any()


def speech_of(names: tuple[str, ...]) -> list[str]:
    """What speech alone moves."""
    return [name for name in names if name.startswith(ARTICULATORS) and not name.startswith(MOODS)]


@pytest.mark.parametrize("block", [2, 6])
def test_a_change_for_the_next_frame_to_come_fades_in_full(block: int) -> None:
    """The rows of that frame and some more have been read: the fade begins behind them, and is as long as asked."""
    animator, samples = Animator.load("tiny", block=block), np.zeros(2 * RATE, np.float32)
    session = animator.session(controls=Controls({"life:idle": 0.0}))
    head = session.push(samples[:RATE])
    asked = {"pose:yaw": 40.0, "raise:brows": 1.0}
    session.controls.set(session.frame, asked, 250)
    assert session.controls.floor == session.frame + animator.delay
    live = concat([head, session.push(samples[RATE:]), session.flush()])
    known = Controls({"life:idle": 0.0})
    known.set(session.controls.floor, {"gain:lips": 1.0})
    known.set(head.end + animator.delay, asked, 250)
    assert live == animator.animate(samples, controls=known)
    assert np.degrees(np.abs(np.diff(live["headYaw"])).max()) < 40 * 1.5 / 15 + 0.5


def test_a_control_that_is_held_lies_over_its_course() -> None:
    controls = Controls({"raise:brows": 0.5})
    controls.set(300, {"raise:brows": -1.0}, 0)
    controls.hold(100, {"raise:brows": 1.0}, 250)
    controls.hold(100, {"gain:lips": 0.5, "attitude": 1.0}, 0)
    assert controls.last("raise:brows") == 1.0
    controls.let_go(400, ["raise:brows", "gain:jaw"], 250)
    assert controls.last("raise:brows") == -1.0
    assert controls.says("attitude")
    for one in (controls, controls.copy(), Controls.restored(controls.saved())):
        row = one.rows(0, 500)
        brows = row[:, place("raise:brows")]
        assert (brows[99], brows[115], brows[350], brows[450]) == (0.5, 1.0, 1.0, -1.0)
        assert np.abs(np.diff(brows)).max() < 0.2
        assert set(row[100:, place("gain:lips")]) == {0.5}
    with pytest.raises(OptionError, match=r"raise:brows: got 2"):
        controls.hold(0, {"attitude": 0.0, "raise:brows": 2.0})
    assert controls.last("attitude") == 1.0
    with pytest.raises(ValueError, match="no track"):
        Controls.restored({"over raise:ears": {"seen": 0, "changes": []}})


# ---- mistakes -------------------------------------------------------------------------------------------------------


def test_wrong_options() -> None:
    with pytest.raises(OptionError, match=r"emotion: got 'happy'.*off, auto"):
        Animator.load("fake", emotion="happy")
    with pytest.raises(OptionError, match="both or none"):
        replace(ANIMATORS["plain"].chain, prosody=None)


def test_a_snapshot_with_other_controls_is_refused() -> None:
    animator = ANIMATORS["plain"]
    saved = animator.session(controls=Controls({"gain:lips": 0.5})).snapshot()
    with np.load(io.BytesIO(saved)) as arrays:
        parts = dict(arrays)
    for old, new in ((b'"gain"', b'"gone"'), (b'"gain"', b'"life"'), (b'"start"', b'"stars"')):
        parts["head"] = np.frombuffer(arrays_head(saved).replace(old, new), np.uint8)
        with pytest.raises(ModelError, match="not one of a facerig session"):
            animator.resume(npz_bytes(parts))


def arrays_head(saved: bytes) -> bytes:
    with np.load(io.BytesIO(saved)) as arrays:
        return bytes(arrays["head"].tobytes())


def test_the_table_of_controls_is_in_order() -> None:
    assert len(set(COLUMNS)) == WIDTH
    assert all(control.low <= control.default <= control.high for control in CONTROLS)
    assert isinstance(ANIMATORS["plain"].animate(np.zeros(400)), Curves)


def test_what_was_computed_ahead_may_be_asked_for_again() -> None:
    """An interrupt goes back to frames whose rows were taken before; they are the same as then."""
    controls, other = Controls(), Controls()
    for frame in range(0, 1200, 40):
        for one in (controls, other):
            one.set(frame, {"gain:lips": frame / 1200, "attitude": (frame % 80) / 80}, 900)
        controls.rows(frame, 45)
    assert np.array_equal(controls.rows(1000, 200), other.rows(1000, 200))


def test_controls_that_were_used_may_be_extended() -> None:
    used, fresh = Controls(), Controls()
    for one in (used, fresh):
        one.set(60, {"gain:jaw": 0.5}, 0)
        one.set(120, {"gain:jaw": 2.0}, 0)
    animator, sound = ANIMATORS["plain"], np.random.default_rng(0).normal(0, 0.1, 24_000 * 12).astype(np.float32)
    first = animator.animate(sound, controls=used)
    for one in (used, fresh):
        one.set(400, {"gain:jaw": 1.0}, 0)
    again = animator.animate(sound, controls=used)
    assert again == animator.animate(sound, controls=fresh)
    assert again.slice(0, 400) == first.slice(0, 400)


def test_a_peer_alone_is_limited_in_what_waits() -> None:
    free, bound = Controls(), Controls(limit=MAX_CHANGES)
    for k in range(3 * MAX_CHANGES):
        free.set(10 * k, {"gain:jaw": k / MAX_CHANGES % 2}, 50)
        if k < MAX_CHANGES:
            bound.set(10 * k, {"gain:jaw": 1.0})
    earlier = free.copy()
    for one in (bound, bound.copy()):
        with pytest.raises(OptionError, match=f"got {MAX_CHANGES + 1}, accepted: up to {MAX_CHANGES} ahead"):
            one.set(10 * MAX_CHANGES, {"gain:jaw": 1.0})
    free.set(40 * MAX_CHANGES, {"gain:jaw": 1.75}, 0)
    assert free.rows(50 * MAX_CHANGES, 1)[0, place("gain:jaw")] == 1.75
    assert earlier.rows(50 * MAX_CHANGES, 1)[0, place("gain:jaw")] == pytest.approx(1 - 1 / MAX_CHANGES)
