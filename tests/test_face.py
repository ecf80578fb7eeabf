"""The face as one stage: controls meet the frame they were asked for, everywhere; and all laws hold with all parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import soundfile
from face_kit import ANIMATORS, DEMO, FULL, NATIVE, VOICE, Hearing, Loudness, animators, asked, voice
from hypothesis import given, settings
from hypothesis import strategies as st

from facerig.audio import Audio
from facerig.controls import Controls, place, rows_of
from facerig.curves import concat
from facerig.face import Face
from facerig.fake import FakeModel
from facerig.files import assets_folder
from facerig.pipeline import Animator
from facerig.post.gains import Gains
from facerig.post.limits import Limits
from facerig.post.smooth import smooth
from facerig.server.batch import BatchChain
from facerig.stage import RATE, SAMPLES, Chain, Frames, State, run
from facerig.transcript.assist import assisted
from facerig.transcript.read import Transcript, Word

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
