"""The whole chain: streaming equals offline, sessions do not touch, and a session can go on anywhere, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import facerig
from facerig.controls import Controls
from facerig.curves import Curves, concat
from facerig.errors import FacerigError, ModelError, OptionError
from facerig.pipeline import Animator
from facerig.stage import FPS, RATE

FAKE = {block: Animator.load("fake", block=block, smooth=smooth) for block, smooth in ((1, 0), (2, 1), (6, 0), (7, 3))}
blocks = st.sampled_from(sorted(FAKE))


def voice(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise in syllables: loud and still stretches, so that every part of the chain has something to do."""
    time = np.arange(int(seconds * rate)) / rate
    envelope = np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    return (np.random.default_rng(seed).standard_normal(len(time)) * envelope * 0.2).astype(np.float32)


def streamed(animator: Animator, samples: np.ndarray, rate: int, cuts: list[int]) -> Curves:
    session = animator.session(rate)
    pieces = np.split(samples, sorted(min(cut, len(samples)) for cut in cuts))
    return concat([*(session.push(piece) for piece in pieces), session.flush()])


@given(blocks, st.sampled_from([8000, 16000, 24000, 44100]), st.integers(0, 12000),
       st.lists(st.integers(0, 12000), max_size=8))
@settings(deadline=None, max_examples=50)
def test_streaming_equals_offline(block: int, rate: int, length: int, cuts: list[int]) -> None:
    samples = voice(1.5, rate)[:length]
    whole = FAKE[block].animate(samples, rate)
    assert streamed(FAKE[block], samples, rate, cuts) == whole
    assert whole.frames == -(-length * FPS // rate)
    assert (whole.start, whole.fps) == (0, FPS)


def test_streaming_equals_offline_on_real_speech(shared_data: Path) -> None:
    samples, rate = soundfile.read(sorted((shared_data / "librivox").glob("*.wav"))[0], dtype="int16")
    cuts = np.random.default_rng(3).integers(0, len(samples), 40).tolist()
    assert streamed(FAKE[6], samples, rate, [*cuts, cuts[0]]) == FAKE[6].animate(samples, rate)


@given(blocks, st.lists(st.tuples(st.booleans(), st.integers(0, 900)), max_size=20))
@settings(deadline=None, max_examples=25)
def test_two_interleaved_sessions_do_not_touch(block: int, turns: list[tuple[bool, int]]) -> None:
    animator, rate = FAKE[block], 16_000
    clips = [voice(1, rate, seed) for seed in (1, 2)]
    sessions, at, parts = [animator.session(rate), animator.session(rate)], [0, 0], ([], [])
    for second, length in turns:
        parts[second].append(sessions[second].push(clips[second][at[second] : at[second] + length]))
        at[second] += length
    for k in (0, 1):
        parts[k].extend([sessions[k].push(clips[k][at[k] :]), sessions[k].flush()])
        assert concat(parts[k]) == animator.animate(clips[k], rate)


@given(blocks, st.sampled_from([16000, 24000, 22050]), st.integers(0, 16000))
@settings(deadline=None, max_examples=25)
def test_snapshot_goes_on_bit_for_bit(block: int, rate: int, cut: int) -> None:
    animator, samples = FAKE[block], voice(1, rate)
    whole, session = animator.animate(samples, rate), animator.session(rate)
    head = session.push(samples[:cut])
    saved = session.snapshot()
    for going_on in (session, animator.resume(saved)):
        assert concat([head, going_on.push(samples[cut:]), going_on.flush()]) == whole
    assert animator.resume(saved).snapshot() == saved


@given(blocks, st.sampled_from([16000, 24000, 44100]), st.integers(0, 100), st.integers(0, 3000), st.integers(-7, 1000))
@settings(deadline=None, max_examples=40)
def test_restored_from_the_last_seconds_it_goes_on_bit_for_bit(block: int, rate: int, frame: int, more: int,
                                                               start: int) -> None:
    animator, samples = FAKE[block], voice(2, rate)
    whole = animator.animate(samples, rate, start=start)
    first = max(0, frame * rate // FPS - int(np.ceil((animator.context_seconds + 0.1) * rate)))
    heard = frame * rate // FPS + more
    session = animator.restore(samples[first:heard], first, frame, rate, start)
    assert session.frame >= start + frame
    rest = concat([session.push(samples[heard:]), session.flush()])
    assert rest == whole.slice(start + frame, whole.end)


@pytest.mark.parametrize("heard", [400, -40])  # frames beyond the one that it goes on with
def test_a_snapshot_of_a_restored_session_keeps_what_waits(heard: int) -> None:
    """Audio newer than the lost session's gives frames that wait; audio that ends before it gives none twice."""
    animator, samples, frame = FAKE[6], voice(20, RATE), 700
    first, end = animator.restore_point(frame) * 400, (frame + heard) * 400
    session = animator.restore(samples[first:end], first, frame)
    again = animator.resume(session.snapshot())
    assert again.frame == session.frame
    assert again.snapshot() == session.snapshot()
    rest = [concat([one.push(samples[end:]), one.flush()]) for one in (session, again)]
    assert rest[0].start == frame
    assert rest[1] == rest[0] == animator.animate(samples).slice(frame, 1200)


def test_restore_says_how_much_audio_it_needs() -> None:
    animator = FAKE[6]
    with pytest.raises(OptionError, match=r"first_sample: got 90000, accepted: 0 to \d+ .* keep the last"):
        animator.restore(np.zeros(10), 90_000, 200)


@pytest.mark.parametrize("saved", [b"", b"PK", FAKE[1].session().snapshot()[:-20]])
def test_a_broken_snapshot_is_our_error(saved: bytes) -> None:
    with pytest.raises(ModelError, match="not one of a facerig session"):
        FAKE[1].resume(saved)


def test_a_snapshot_of_another_chain_is_refused() -> None:
    with pytest.raises(ModelError, match="block 1"):
        FAKE[6].resume(FAKE[1].session().snapshot())


@pytest.mark.parametrize("other", [{"alive": False}, {"emotion": "auto"}])
def test_a_snapshot_of_another_face_is_refused(other: dict[str, bool | str]) -> None:
    """Of one model, block and delay; or it would go on with other channels, or fail in the middle of a stream."""
    plain, changed = Animator.load("fake"), Animator.load("fake", **other)  # type: ignore[arg-type]
    for mine, theirs in ((plain, changed), (changed, plain)):
        with pytest.raises(ModelError, match="made with the face"):
            mine.resume(theirs.session().snapshot())


def test_delay_of_the_chain_is_what_info_prints() -> None:
    """A click moves the jaw, around its own frame offline, and not before delay + block frames of audio in a stream."""
    for block, animator in FAKE.items():
        click = np.zeros(RATE, np.float32)
        click[RATE // 2 : RATE // 2 + 400] = voice(1, RATE)[1000:1400] * 3
        jaw = animator.animate(click)["jawOpen"]
        moved = np.flatnonzero(jaw > 1e-3)
        assert abs((moved[0] + moved[-1]) / 2 - 30.5) <= 1, (block, moved)
        session, frames = animator.session(), 0
        while not session.push(np.zeros(400, np.float32)).frames:
            frames += 1
        assert animator.delay <= frames + 1 <= animator.delay + block
        assert (frames + 1) * 1000 / FPS <= animator.latency_ms() + 1e-9


def test_after_the_end_a_session_says_so() -> None:
    session = FAKE[6].session()
    session.flush()
    with pytest.raises(OptionError, match="open a new session"):
        session.push(np.zeros(1))
    with pytest.raises(OptionError, match="open a new session"):
        session.flush()


@pytest.mark.parametrize("block", [0, 61, -1])
def test_block_out_of_range(block: int) -> None:
    with pytest.raises(OptionError, match="block"):
        Animator.load("fake", block=block)


def test_unknown_model_is_named() -> None:
    with pytest.raises(ModelError, match="nosuch"):
        Animator.load("nosuch")


def test_empty_audio_gives_no_frames_and_a_sample_gives_one() -> None:
    assert FAKE[6].animate(np.zeros(0)).frames == 0
    assert FAKE[6].animate(np.zeros(1), 16_000).frames == 1


def test_five_lines_of_python(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "voice.wav", voice(1, 16_000), 16_000)
    curves = facerig.animate(tmp_path / "voice.wav", model="fake")
    assert curves == facerig.animate(str(tmp_path / "voice.wav"), model="fake")
    facerig.save(curves.resample(30), tmp_path / "voice.csv")
    again = facerig.load(tmp_path / "voice.csv")
    assert (again.fps, again.frames) == (30, 30)


@pytest.mark.parametrize("frame", [700, 761])
def test_a_living_face_is_restored_from_its_last_seconds(frame: int) -> None:
    """Blinks, glances and nods too, from so much audio, the frame's number, the seed and the controls."""
    animator, samples = FAKE[6], voice(14, RATE)
    controls = [Controls({"emotion:happy": 0.5}) for _ in range(2)]
    for one in controls:
        one.set(720, {"blink_rate": 40.0, "look:yaw": 10.0, "look:held": 1.0})
    whole = animator.animate(samples, controls=controls[0], seed=3, start=50)
    first = (animator.restore_point(frame)) * 400
    assert first > 0
    session = animator.restore(samples[first : frame * 400], first, frame, start=50, controls=controls[1], seed=3)
    rest = concat([session.push(samples[frame * 400 :]), session.flush()])
    assert rest == whole.slice(50 + frame, whole.end)
    assert len(np.unique(whole["eyeBlinkLeft"])) > 10


@pytest.mark.parametrize("block", [1, 6])
def test_the_shipped_model_streams_snapshots_and_restores_bit_for_bit(block: int) -> None:
    """The same laws with the trained network on speech, where real sums could differ in their last bits."""
    animator = Animator.load("auto", block=block, alive=False)
    assert animator.model != "fake"
    speech, rate = soundfile.read(Path(__file__).resolve().parent.parent / "assets" / "demo.wav", dtype="int16")
    whole = animator.animate(speech, rate)
    cuts = np.random.default_rng(block).integers(0, len(speech), 30).tolist()
    assert streamed(animator, speech, rate, cuts) == whole
    session = animator.session(rate)
    head = session.push(speech[: cuts[0]])
    again = animator.resume(session.snapshot())
    assert concat([head, again.push(speech[cuts[0] :]), again.flush()]) == whole
    frame = 431  # late enough that the audio before its context is not needed
    first = (frame - int(np.ceil(animator.context_seconds * FPS)) - 6) * rate // FPS
    assert first > 0
    late = animator.restore(speech[first : frame * rate // FPS], first, frame, rate)
    assert concat([late.push(speech[frame * rate // FPS :]), late.flush()]) == whole.slice(frame, whole.end)


TAKE = Curves(("jawOpen",), 60, np.zeros((3, 1), np.float32))
SOUND = np.zeros(800, np.float32)
WRONG = {
    "block": lambda: Animator.load("fake", block=1.5),  # type: ignore[arg-type]
    "block=True": lambda: Animator.load("fake", block=True),
    "smooth": lambda: Animator.load("fake", smooth=1.5),  # type: ignore[arg-type]
    "smooth=13": lambda: Animator.load("fake", smooth=13),
    "seed": lambda: Animator.load("fake", seed=1.5),  # type: ignore[arg-type]
    "seed=-1": lambda: Animator.load("fake", seed=-1),
    "seed of a clip": lambda: FAKE[6].animate(SOUND, seed=-1),
    "seed=2**70": lambda: FAKE[6].animate(SOUND, seed=2**70),
    "start": lambda: FAKE[6].session(start=1.5),  # type: ignore[arg-type]
    "rate": lambda: FAKE[6].animate(SOUND, 16000.0),  # type: ignore[arg-type]
    "rate='16000'": lambda: FAKE[6].animate(SOUND, "16000"),  # type: ignore[arg-type]
    "ragged": lambda: FAKE[6].animate([[1.0], [2.0, 3.0]]),
    "controls": lambda: FAKE[6].animate(SOUND, controls={"gain:jaw": 1.2}),  # type: ignore[arg-type]
    "controls of a stream": lambda: FAKE[6].session(controls={}),  # type: ignore[arg-type]
    "control": lambda: Controls({"gain:jaw": "1"}),  # type: ignore[dict-item]
    "control=None": lambda: Controls({"gain:jaw": None}),  # type: ignore[dict-item]
    "channel": lambda: TAKE.with_channels({"x": [1, 2]}),
    "channel of words": lambda: TAKE.with_channels({"x": "abc"}),
    "fps": lambda: TAKE.resample(29.97),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_values_are_our_errors(what: str) -> None:
    with pytest.raises(FacerigError, match="accepted: "):
        WRONG[what]()


def test_numpys_whole_numbers_are_whole_numbers() -> None:
    animator = Animator.load("fake", block=np.int64(6), seed=np.uint8(0))  # type: ignore[arg-type]
    made = animator.animate(SOUND, np.int64(16_000), start=np.int32(0))  # type: ignore[arg-type]
    assert made == FAKE[6].animate(SOUND, 16_000)
    assert animator.session(np.int64(16_000)).snapshot()  # type: ignore[arg-type]
