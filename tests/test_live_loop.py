"""The live loop: buffers, the loop's order and pauses, gains and controls that change meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from live_kit import NATIVE, loop_of, number, rows

from facerig.asking import Asked
from facerig.controls import COLUMNS, CONTROLS
from facerig.curves import Curves, concat
from facerig.errors import OptionError
from facerig.files import write_file
from facerig.live import gains as gain_files
from facerig.live.buffer import Buffer
from facerig.live.gains import Gains
from facerig.live.loop import PAUSE_FRAMES, LiveLoop
from facerig.live.setup import Plan, open_loop
from facerig.live.steer import Steering
from facerig.pipeline import Animator
from facerig.rig import REGIONS, rig
from facerig.stage import RATE

# ---- buffer and loop ----------------------------------------------------------------------------------------------


def test_every_row_is_sent_once_in_order_with_rising_frame_numbers() -> None:
    buffer = Buffer()
    buffer.put(rows(100))
    buffer.end()
    loop, seen = loop_of(buffer)
    assert loop.run() == 100
    assert [number(pose) for pose in seen.poses] == list(range(100))
    frames = [pose.frame for pose in seen.poses]
    assert np.diff(frames).tolist() == [1] * 99
    assert len({pose.subframe for pose in seen.poses}) == 1
    assert 0 <= seen.poses[0].subframe < 1


def test_frame_numbers_begin_at_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facerig.live.loop.seconds_today", lambda: 3600.5)
    buffer = Buffer()
    buffer.put(rows(3))
    buffer.end()
    loop, seen = loop_of(buffer)
    loop.run()
    assert seen.poses[0].frame == 216_030


def test_nothing_is_sent_before_the_lead_is_there_and_gaps_repeat_the_last_frame() -> None:
    buffer = Buffer()
    loop, seen = loop_of(buffer, lead=4, frames=10)

    def each(tick: int) -> None:
        if tick == 2:
            buffer.put(rows(4))

    loop.run(each)
    assert [number(pose) for pose in seen.poses] == [0, 1, 2, 3, 3, 3, 3]
    assert loop.faces[0].repeated == 3


def test_the_face_goes_on_where_the_voice_is_after_the_machine_stood_still() -> None:
    buffer = Buffer(capacity=500)
    buffer.put(rows(300))
    buffer.end()
    loop, seen = loop_of(buffer, frames=100)

    def each(tick: int) -> None:
        if tick == 50:
            loop.clock.sleep(2.0)

    loop.run(each)
    shown = {pose.frame - seen.poses[0].frame: number(pose) for pose in seen.poses}
    assert len(shown) == 100
    assert loop.clock.skipped > 100
    assert all(frame == row for frame, row in shown.items())


def test_the_voice_waits_while_its_source_has_nothing_to_say() -> None:
    buffer = Buffer()
    buffer.put(rows(10))
    loop, seen = loop_of(buffer, kind="stdin", frames=60)

    def each(tick: int) -> None:
        if tick == 39:
            buffer.put(rows(20, 10))

    loop.run(each)
    assert loop.begin is not None
    first_again = next(k for k, pose in enumerate(seen.poses) if number(pose) == 10)
    # Sample 10/60 s of the voice is due when frame 10 is.
    assert loop.begin + 10 / 60 == pytest.approx(loop.clock.due(first_again))


def test_a_source_that_cannot_wait_never_falls_behind() -> None:
    """A microphone whose clock is 2 % fast: frames are left out, the delay stays."""
    buffer = Buffer(capacity=30, waits=False)
    loop, _ = loop_of(buffer, lead=3, kind="mic", frames=2000)
    made = 0

    def each(tick: int) -> None:
        nonlocal made
        while made < tick * 1.02:
            buffer.put(rows(1, made))
            made += 1
        assert len(buffer) < 14

    loop.run(each)
    assert loop.faces[0].left_out > 20
    assert buffer.lost == 0


def test_a_pipe_that_speaks_after_the_machine_stood_still_is_heard_whole() -> None:
    """As a speech synthesizer's: nothing was said meanwhile, so nothing is to be caught up with."""
    buffer = Buffer()
    buffer.put(rows(24))
    loop, seen = loop_of(buffer, kind="stdin", frames=200)

    def each(tick: int) -> None:
        if tick == 20:
            loop.clock.sleep(6.0)
        if len(seen.poses) == 40:
            buffer.put(rows(100, 24))
            buffer.end()

    loop.run(each)
    assert sorted({number(pose) for pose in seen.poses}) == list(range(124))
    assert (loop.clock.skipped > 300, loop.faces[0].left_out) == (True, 0)
    last = next(pose.frame - seen.poses[0].frame for pose in seen.poses if number(pose) == 123)
    assert loop.begin is not None
    assert loop.begin + 123 / 60 == pytest.approx(loop.clock.due(last))  # played along, the voice is as late


def test_a_pipe_that_spoke_while_the_machine_stood_still_is_caught_up_with() -> None:
    """As far as that waits here, without what is kept against unsteady sources."""
    buffer = Buffer()
    buffer.put(rows(60))
    loop, seen = loop_of(buffer, lead=4, kind="stdin", frames=100)

    def each(tick: int) -> None:
        if tick == 9:
            loop.clock.sleep(6.0)
        if len(seen.poses) == 11:
            buffer.put(rows(60, 60))

    loop.run(each)
    assert [number(pose) for pose in seen.poses[:14]] == [*range(10), *range(56, 60)]
    assert loop.faces[0].left_out == 46
    assert [number(pose) for pose in seen.poses[14:74]] == list(range(60, 120))


def test_blocks_larger_than_the_lead_are_shown_whole() -> None:
    buffer = Buffer(capacity=120, waits=False)
    loop, seen = loop_of(buffer, lead=1, kind="mic", frames=320)
    loop.faces[0].block = 32

    def each(tick: int) -> None:
        if tick % 32 == 0:
            buffer.put(rows(32, tick))

    loop.run(each)
    assert [number(pose) for pose in seen.poses] == list(range(319))


def test_a_full_buffer_makes_a_file_wait_and_a_microphone_forget() -> None:
    deaf = Buffer(capacity=5, waits=False)
    deaf.put(rows(8))
    assert (len(deaf), deaf.lost) == (5, 3)
    patient = Buffer(capacity=5)
    worker = threading.Thread(target=lambda: patient.put(rows(8)))
    worker.start()
    got: list[int] = []
    while len(got) < 8:
        row = patient.take()
        if row is not None:
            got.append(row.start)
    worker.join(60)
    assert got == list(range(8))


def test_closing_lets_a_waiting_source_go() -> None:
    buffer, done = Buffer(capacity=1), []
    worker = threading.Thread(target=lambda: done.append(buffer.put(rows(5))))
    worker.start()
    buffer.close()
    worker.join(60)
    assert done == [False]


def test_pauses_are_sent_without_a_face_on_request_and_end_at_once() -> None:
    buffer = Buffer(capacity=500)
    still = np.zeros((PAUSE_FRAMES + 40, len(NATIVE)), np.float32)
    buffer.put(Curves(NATIVE.names, 60, still))
    buffer.put(rows(5, jawOpen=0.5))
    buffer.end()
    loop, seen = loop_of(buffer, absent_in_pauses=True)
    loop.run()
    absent = [pose.curves is None for pose in seen.poses]
    assert absent == [False] * (PAUSE_FRAMES - 1) + [True] * 41 + [False] * 5


def test_a_living_face_has_pauses_too() -> None:
    """Lids, eyes, brows and head never rest; the mouth and its tongue do."""
    living = {"eyeBlinkLeft": 0.7, "eyeLookInLeft": 0.3, "browInnerUp": 0.2}
    buffer = Buffer(capacity=500)
    buffer.put(rows(PAUSE_FRAMES + 40, **living))
    for spoken in ("jawOpen", "mouthClose", "tongueUp"):
        buffer.put(rows(5, **living, **{spoken: 0.5}))
        buffer.put(rows(PAUSE_FRAMES, **living))
    buffer.end()
    loop, seen = loop_of(buffer, absent_in_pauses=True)
    loop.run()
    absent = [pose.curves is None for pose in seen.poses]
    assert absent == [False] * (PAUSE_FRAMES - 1) + [True] * 41 + 3 * ([False] * (5 + PAUSE_FRAMES - 1) + [True])


def test_several_faces_share_the_clock_and_end_apart() -> None:
    loops, seens = zip(*(loop_of(Buffer()) for _ in range(2)), strict=True)
    for length, loop in zip((10, 30), loops, strict=True):
        loop.faces[0].feed.buffer.put(rows(length))
        loop.faces[0].feed.buffer.end()
    both = LiveLoop([loop.faces[0] for loop in loops], loops[0].clock)
    assert both.run() == 30
    assert [len(seen.poses) for seen in seens] == [10, 30]
    assert seens[0].poses[5].frame == seens[1].poses[5].frame


# ---- gains --------------------------------------------------------------------------------------------------------


def test_gains_by_channel_region_and_all_are_multiplied_and_kept_in_range() -> None:
    factors, controls = gain_files.parse('{"*": 0.5, "jawOpen": 3, "lips": 2}', NATIVE)
    assert controls == {}
    assert factors[NATIVE.index("jawOpen")] == 1.5
    assert factors[NATIVE.index("mouthClose")] == 1.0
    assert factors[NATIVE.index("browInnerUp")] == 0.5
    gains = Gains(NATIVE)
    gains.factors = factors
    out = gains.apply(rows(1, jawOpen=0.9, browInnerUp=0.5))
    assert out["jawOpen"][0] == 1.0
    assert out["browInnerUp"][0] == 0.25


@pytest.mark.parametrize("text", ["", "[]", '{"jawOpne": 1}', '{"emotion:happy": 2}', '{"emotion:hapy": 1}',
                                  '{"jawOpen": -1}', '{"jawOpen": 5}', '{"jawOpen": true}',
                                  '{"emotion:happy": 1%s}' % ("0" * 400), '{"emotion:happy": -1%s}' % ("0" * 400),
                                  '{"jawOpen": NaN}', '{"jawOpen": "1"}', "[" * 100_000])
def test_broken_gains_are_refused_with_a_reason(text: str) -> None:
    with pytest.raises(OptionError):
        gain_files.parse(text, NATIVE)


def test_gains_are_read_again_when_the_file_changes_and_kept_while_it_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    write_file(file, b'{"jawOpen": 0.5}')
    gains, jaw = Gains(NATIVE, file), NATIVE.index("jawOpen")
    assert gains.factors[jaw] == 0.5
    write_file(file, b'{"jawOpen": 2.25}')
    gains.look(1.0)
    assert gains.factors[jaw] == 2.25
    write_file(file, b'{"jawOpen": ')
    gains.look(1.1)  # too soon to look
    assert gains.error == ""
    gains.look(2.0)
    assert (gains.factors[jaw], "JSON" in gains.error) == (2.25, True)
    file.unlink()
    gains.look(3.0)
    assert "cannot be read" in gains.error
    write_file(file, b"{}")
    gains.look(4.0)
    assert (gains.factors[jaw], gains.error) == (1.0, "")
    with pytest.raises(OptionError):
        Gains(NATIVE, tmp_path / "absent.json")


def test_a_mark_that_an_editor_put_before_the_gains_is_no_fault(tmp_path: Path) -> None:
    file = write_file(tmp_path / "gains.json", b'\xef\xbb\xbf{"jawOpen": 0.5}')
    assert Gains(NATIVE, file).factors[NATIVE.index("jawOpen")] == 0.5


def test_controls_of_a_file_are_refused_by_recorded_curves(tmp_path: Path) -> None:
    file = write_file(tmp_path / "gains.json", b'{"jawOpen": 0.5, "emotion:happy": 1}')
    take = write_file(tmp_path / "take.npz", rows(3).to_npz())
    with pytest.raises(OptionError, match=r"emotion:happy for the curves .*take\.npz, accepted: channels and regions"):
        open_loop(Plan([str(take)], ["terminal"], gains=file))
    write_file(file, b'{"jawOpen": 0.5}')
    running = open_loop(Plan([str(take)], ["terminal"], gains=file))
    gains, jaw = running.faces[0].gains, NATIVE.index("jawOpen")
    write_file(file, b'{"jawOpen": 0.25, "blink_rate": 12}')
    gains.look(1.0)
    assert "blink_rate" in gains.error
    assert gains.factors[jaw] == 0.25
    running.close()


def test_no_control_has_the_name_of_a_channel_or_a_region() -> None:
    assert not set(COLUMNS) & {*rig("facerig-full").names, *REGIONS, "*"}


def test_the_file_steers_the_face_and_lets_go_of_it_again(tmp_path: Path) -> None:
    file, steering = tmp_path / "face.json", Steering(Asked(("lip_scale=1.5",), emotion="happy:0.25"))
    write_file(file, b'{"jawOpen": 0.5, "emotion:happy": 1, "blink_rate": 30}')
    gains = Gains(NATIVE, file, steering)
    assert asked(steering, 0) == {"lip_scale": 1.5, "emotion:happy": 1.0, "blink_rate": 30.0}
    steering.session = Standing(100)
    write_file(file, b'{"blink_rate": 12.5}')
    gains.look(1.0)
    assert gains.factors[NATIVE.index("jawOpen")] == 1.0
    assert asked(steering, 99) == {"lip_scale": 1.5, "emotion:happy": 1.0, "blink_rate": 30.0}  # the past stays
    assert 0.25 < asked(steering, 105)["emotion:happy"] < 1.0  # it fades
    assert asked(steering, 200) == {"lip_scale": 1.5, "emotion:happy": 0.25, "blink_rate": 12.5}
    write_file(file, b'{"blink_rate": 1000}')
    gains.look(2.0)
    assert "blink_rate" in gains.error
    assert asked(steering, 200)["blink_rate"] == 12.5


def test_what_the_file_says_does_not_wait_for_the_keyframes(tmp_path: Path) -> None:
    """It lies over them, the next one is nothing to it, and where it lets go the keyframes have run on."""
    keys, file = tmp_path / "keys.json", tmp_path / "face.json"
    write_file(keys, b'[{"time": 0, "set": {"attitude": 1}}, {"time": 10, "set": {"raise:brows": 0.25}, "fade": 0}]')
    write_file(file, b"{}")
    steering = Steering(Asked(emotion=str(keys)))
    gains = Gains(NATIVE, file, steering)
    for look, (frame, text) in enumerate([(100, b'{"raise:brows": 1}'), (700, b"{}")]):
        steering.session = Standing(frame)
        write_file(file, text)
        gains.look(look + 1.0)
    shown = [asked(steering, frame).get("raise:brows") for frame in (99, 115, 599, 650, 715)]
    assert shown == [None, 1.0, 1.0, 1.0, 0.25]


def test_a_change_while_the_face_runs_fades(tmp_path: Path) -> None:
    steering, animator = Steering(Asked(("life:idle=0",))), Animator.load("tiny")
    session = steering.session = animator.session(controls=steering.controls)
    head = session.push(np.zeros(RATE, np.float32))
    steering.change({"pose:yaw": 40.0})
    turned = np.degrees(concat([head, session.push(np.zeros(RATE, np.float32))])["headYaw"])
    assert 38 < turned[-1] - turned[head.end - 1] < 42
    assert np.abs(np.diff(turned)).max() < 40 * 1.5 / 15 + 0.5  # of 250 ms, eased


@dataclass
class Standing:
    """A session that is at a frame."""

    frame: int


def asked(steering: Steering, frame: int) -> dict[str, float]:
    row = steering.controls.rows(frame, 1)[0]
    return {one.name: float(value) for one, value in zip(CONTROLS, row, strict=True) if value != one.default}
