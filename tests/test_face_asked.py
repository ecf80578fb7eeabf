"""What is asked of a face while it runs: an interrupt, first frames, changes that fade, and the mistakes."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from face_kit import ANIMATORS, DEMO, FULL, NATIVE, voice

from facerig.audio import Audio
from facerig.controls import COLUMNS, CONTROLS, MAX_CHANGES, WIDTH, Controls, place
from facerig.curves import Curves, concat, npz_bytes
from facerig.errors import ModelError, OptionError
from facerig.pipeline import Animator
from facerig.post.lips import ARTICULATORS, MOODS
from facerig.server.batch import BatchChain
from facerig.stage import FPS, RATE, SAMPLES
from facerig.transcript.read import Transcript, Word

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
