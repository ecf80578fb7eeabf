"""Pictures: coarse features move as the weights do; films, gifs and plots are what their names say."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from facerig.curves import Curves, Mark
from facerig.errors import HeadError, MissingExtra, OptionError
from facerig.heads.builtin import builtin_head
from facerig.matching import PHONE_UNIT
from facerig.preview.pose import poses

pytest.importorskip("PIL")
HEAD = builtin_head()
NAMES = HEAD.shape_names


def take(frames: int = 6) -> Curves:
    swing = np.abs(np.sin(np.arange(frames) / 2))
    return Curves(("jawOpen", "eyeBlinkLeft", "headYaw"), 30, np.stack([swing, 1 - swing, swing / 5], axis=1),
                  marks=(Mark(0, 3, "phone", "a"), Mark(3, 6, "phone", "m"), Mark(0, 6, "word", "am"),
                         Mark(0, 6, "emotion", "joy")))


@pytest.fixture(scope="module")
def renderer():  # type: ignore[no-untyped-def]
    """Close pictures of the face; skips where OpenGL is missing."""
    pytest.importorskip("pyrender")
    from facerig.preview.gl import Renderer, Style

    try:
        made = Renderer(HEAD, NAMES, Style(256, 256, close=True))
    except MissingExtra as error:
        pytest.skip(str(error))
    yield made
    made.close()


def shot(renderer, **pose: float):  # type: ignore[no-untyped-def]
    from facerig.preview.pictures import weights_of

    return renderer.frame(weights_of(pose, NAMES)).astype(np.float64)


def test_the_mouth_grows_darker_and_larger_as_the_jaw_opens(renderer) -> None:  # type: ignore[no-untyped-def]
    dark = [int((shot(renderer, jawOpen=jaw)[140:240, 80:176].max(axis=2) < 100).sum()) for jaw in (0.0, 0.3, 0.6, 1.0)]
    assert dark[0] < dark[1] < dark[2] < dark[3]
    assert dark[3] > dark[0] + 300


def test_lids_cover_the_eyes_at_blink(renderer) -> None:  # type: ignore[no-untyped-def]
    def cold(picture: np.ndarray) -> int:
        """Pixels bluer than skin ever is: whites and irises."""
        eyes = picture[60:110, 60:196]
        return int((eyes[..., 2] > eyes[..., 0] * 0.93).sum())

    seen, shut = cold(shot(renderer)), cold(shot(renderer, eyeBlink=1.0))
    assert seen > 150
    assert shut < seen / 8
    half = cold(shot(renderer, eyeBlinkLeft=1.0))
    assert seen * 0.3 < half < seen * 0.75


def test_smile_and_pucker_change_the_width_of_the_red(renderer) -> None:  # type: ignore[no-untyped-def]
    def width(picture: np.ndarray) -> int:
        lips = picture[140:220]
        red = (lips[..., 0] - lips[..., 1]) > 62
        columns = np.flatnonzero(red.sum(axis=0) > 2)
        return int(np.ptp(columns))

    rest = width(shot(renderer))
    assert width(shot(renderer, mouthSmile=1.0)) > rest * 1.1
    assert width(shot(renderer, mouthPucker=1.0)) < rest * 0.9


def test_the_picture_of_a_symmetric_pose_has_the_same_outline_on_both_sides(renderer) -> None:  # type: ignore[no-untyped-def]
    picture = shot(renderer, jawOpen=0.4)
    head = np.abs(picture - picture[0, 0]).max(axis=2) > 25
    assert (head != head[:, ::-1]).mean() < 0.02


def test_the_turned_head_shows_its_profile(renderer) -> None:  # type: ignore[no-untyped-def]
    front = renderer.frame(np.zeros(len(NAMES), np.float32))
    turned = renderer.frame(np.zeros(len(NAMES), np.float32), {"head": np.array([0, 1.2, 0])})
    assert np.abs(front.astype(int) - turned).mean() > 8


def test_the_short_way_draws_what_pyrender_draws(renderer) -> None:  # type: ignore[no-untyped-def]
    from pyrender.renderer import Renderer as Plain

    from facerig.preview.gl import Renderer, Style

    with Renderer(HEAD, NAMES, Style(256, 256)) as ours, Renderer(HEAD, NAMES, Style(256, 256)) as theirs:
        theirs._target._platform.make_current()
        theirs._target._renderer = Plain(256, 256)
        theirs._aim(0.0)
        expected = theirs._target.render(theirs._scene, flags=0)[0].astype(np.float64)
        drawn = ours.frame(np.zeros(len(NAMES), np.float32)).astype(np.float64)
    assert np.ptp(expected) > 150
    assert np.abs(drawn - expected).mean() < 0.3
    assert (np.abs(drawn - expected).max(axis=2) > 8).mean() < 1e-3


def test_the_shade_of_teeth_falls_with_depth_and_leaves_warm_colours() -> None:
    from facerig.preview.materials import shade_of

    for name in ("teeth", "gum"):
        shade = shade_of(name)
        assert (np.diff(shade, axis=1) < 0).all()
        assert shade[0, 0].min() > 0.98  # the front of the incisors is as bright as ever
        assert 0.02 < shade[:, -1, 0].min() < 0.12  # never black
        assert (shade[:, 1:, 0] > shade[:, 1:, 1:].max(axis=2)).all()
    assert np.ptp(shade_of("tongue"), axis=1).max() == 0  # its u tells left from right


def white(picture: np.ndarray) -> np.ndarray:
    """Where, about the mouth of a close picture, bright teeth show (skin and lips have more colour)."""
    mouth = picture[145:215]
    bright: np.ndarray = (np.ptp(mouth, axis=2) < 28) & (mouth.min(axis=2) > 130)
    return bright


def test_teeth_are_bright_in_front_and_lie_in_shade_at_the_corners(renderer) -> None:  # type: ignore[no-untyped-def]
    """A sad mouth's lowered corners uncover side teeth, which looked like fangs; a smile is white in its middle."""
    sad = white(shot(renderer, jawOpen=0.38, mouthFrown=0.77, mouthLowerDown=0.14))
    assert sad[:, :118].sum() + sad[:, 138:].sum() < 10  # 71 without the shade
    smile = white(shot(renderer, mouthSmile=0.8, mouthUpperUp=0.4, mouthLowerDown=0.3, jawOpen=0.08))
    assert smile[:, 118:138].sum() > 160  # 181; 137 where the shade's light and dark ends mix at u = 0
    across = np.flatnonzero(smile.any(axis=0))
    assert across[0] < 110  # out to the canines
    assert across[-1] > 140


def test_only_what_is_asked_for_moves_between_frames(renderer) -> None:  # type: ignore[no-untyped-def]
    """Buffers stay on the card: a pose must leave nothing behind for the next frame."""
    first = shot(renderer)
    shot(renderer, jawOpen=1.0, mouthSmile=0.5)
    assert np.array_equal(shot(renderer), first)


def test_png_gif_and_film(renderer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    av = pytest.importorskip("av")
    from PIL import Image

    from facerig.preview.gl import Style
    from facerig.preview.movie import mp4
    from facerig.preview.pictures import frames, gif, one_frame

    style = Style(64, 64)
    assert Image.open(io.BytesIO(one_frame(take(), HEAD, style))).size == (64, 64)
    animation = Image.open(io.BytesIO(gif(frames(take(4), HEAD, style, turntable=True), 30)))
    assert animation.n_frames == 4  # type: ignore[attr-defined]
    tone = np.sin(np.arange(48_000) / 20).astype(np.float32) * 0.3
    film = mp4(frames(take(), HEAD, style), 30, (64, 64), tone, 48_000)
    with av.open(io.BytesIO(film)) as opened:
        video, sound = opened.streams.video[0], opened.streams.audio[0]
        assert (video.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert video.average_rate == 30
        assert len(list(opened.decode(video=0))) == 6
    assert len(film) > 2000


@pytest.mark.parametrize("fps", [12, 24, 25, 30, 50, 60, 75, 120])
def test_a_gif_lasts_as_long_as_its_take(fps: int) -> None:
    from PIL import Image, ImageSequence

    from facerig.preview.pictures import gif

    frames = 2 * fps
    shades = (np.full((8, 8, 3), 255 * number // frames, np.uint8) for number in range(frames))
    lasts = [still.info["duration"] for still in ImageSequence.Iterator(Image.open(io.BytesIO(gif(shades, fps))))]
    assert sum(lasts) == 2000
    assert min(lasts) >= 20  # of less, viewers make a tenth of a second


@pytest.mark.parametrize(("rate", "kept"), [(44_100, 44_100), (8000, 8000), (192_000, 48_000), (44_101, 48_000)])
def test_a_film_takes_sound_of_any_rate(rate: int, kept: int) -> None:
    av = pytest.importorskip("av")
    from facerig.preview.movie import mp4

    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32) * 0.5
    film = mp4((np.zeros((64, 64, 3), np.uint8) for _ in range(25)), 25, (64, 64), tone, rate)
    with av.open(io.BytesIO(film)) as opened:
        sound = opened.streams.audio[0]
        heard = np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(sound)])[:kept]
    assert sound.rate == kept
    assert len(heard) == kept
    assert abs(int(np.abs(np.fft.rfft(heard)).argmax()) - 440) <= 1


def test_the_commands_draw(renderer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from facerig.cli import run

    take().to_npz()
    (tmp_path / "take.npz").write_bytes(take().to_npz())
    for line in (["preview", str(tmp_path / "take.npz"), "-o", str(tmp_path / "a.png"), "--size", "64x64"],
                 ["preview", "--grid", "emotions", "-o", str(tmp_path / "b.png"), "--size", "48x48"],
                 ["plot", str(tmp_path / "take.npz"), "-o", str(tmp_path / "c.svg")]):
        assert run(line) == 0
        assert Path(line[line.index("-o") + 1]).stat().st_size > 500
    for line in (["preview", "-o", "a.png"], ["preview", str(tmp_path / "take.npz"), "-o", "a.bmp"],
                 ["preview", str(tmp_path / "take.npz"), "-o", "a.png", "--size", "9x9"],
                 ["preview", str(tmp_path / "take.npz"), "-o", "a.png", "--size", "\u00b2x\u00b2"],
                 ["preview", str(tmp_path / "take.npz"), "-o", "a.png", "--view", "below"],
                 ["preview", str(tmp_path / "take.npz"), "-o", "talk.mp4", "--audio", "talk.mp4"],
                 ["preview", str(tmp_path / "take.npz"), "-o", "a.png", "--audio", "none.wav"],
                 ["preview", str(tmp_path / "take.npz"), "-o", "a.png", "--view", "turntable"],
                 ["preview", str(tmp_path / "take.npz"), "-o", "a.mp4", "--frame", "3"],
                 ["preview", "--grid", "visemes", "-o", "a.png", "--view", "turntable"],
                 ["preview", "--grid", "cats", "-o", str(tmp_path / "d.png")],
                 ["plot", str(tmp_path / "take.npz"), "-o", "a.doc"]):
        assert run(line) == 2


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_plots_of_one_and_of_two_takes(suffix: str) -> None:
    pytest.importorskip("matplotlib")
    from facerig.preview.plot import plot

    tone = np.sin(np.arange(9600) / 20).astype(np.float32)
    data = plot(take(), (tone, 48_000), other=take(), suffix=suffix)
    assert data[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    if suffix == ".svg":
        assert b"jawOpen" in data or b"<path" in data
    with pytest.raises(OptionError, match="accepted"):
        plot(Curves(("a",), 30, np.zeros((0, 1))))


def test_sound_of_a_plot_counts_from_frame_0_as_in_a_film() -> None:
    pytest.importorskip("matplotlib")
    from unittest.mock import MagicMock

    from facerig.preview.plot import _waveform

    axis = MagicMock()
    _waveform(axis, np.zeros(8000, np.float32), 8000)
    seconds = axis.fill_between.call_args.args[0]
    assert seconds[0] == 0
    assert seconds[-1] == pytest.approx(1, abs=0.01)


def test_a_comparison_names_what_it_lacks(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("matplotlib")
    from facerig.preview.plot import plot

    plot(take(), other=take().select(("jawOpen", "headYaw")), suffix=".svg")
    assert "has no eyeBlinkLeft" in caplog.text
    strange = Curves(("JawOpen", "b"), 30, np.zeros((3, 2)))
    with pytest.raises(OptionError, match="got JawOpen, b, accepted: some of jawOpen, eyeBlinkLeft, headYaw"):
        plot(take(), other=strange)


def test_a_film_of_no_frames_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    from facerig.cli import run

    (tmp_path / "none.npz").write_bytes(take(0).to_npz())
    assert run(["preview", str(tmp_path / "none.npz"), "-o", str(tmp_path / "a.mp4"), "--size", "64x64"]) == 2
    assert "got no frames" in capsys.readouterr().err
    assert not (tmp_path / "a.mp4").exists()


def test_sheets_of_heads_that_show_nothing_are_refused() -> None:
    from facerig.mesh import Head, Part
    from facerig.preview.gl import Style, framing
    from facerig.preview.pictures import shape_sheet

    for points in (np.zeros((1, 3)), np.array([[0, 2, 0], [1, 2, 0], [0, 2, 1]])):
        floats = points.astype(np.float32)
        part = Part("p", "skin", floats, np.zeros((0, 3), np.int32), floats, floats[:, :2])
        with pytest.raises(OptionError, match="head pt: its vertices have no height"):
            framing(Head("pt", (part,)), False)
        with pytest.raises(OptionError, match="head pt: has no shapes"):
            shape_sheet(Head("pt", (part,)), Style())


def test_head_channels_become_joint_turns() -> None:
    ours = poses(take(), HEAD).turns
    assert set(ours) == {"head"}
    assert np.allclose(ours["head"][:, 1], take()["headYaw"])
    phone = Curves(("HeadPitch",), 30, np.ones((1, 1)))
    assert poses(phone, HEAD).turns["head"][0, 0] == pytest.approx(PHONE_UNIT)


def test_pictures_turn_the_head_as_files_do() -> None:
    from exporters import ExportOptions
    from exporters.scene import quaternions, scene
    from facerig.mesh import rotation_matrices
    from facerig.turns import matrices_of

    names = ("headYaw", "headPitch", "headRoll", "jaw_x", "jaw_y", "neck_z")
    curves = Curves(names, 60, np.random.default_rng(0).uniform(-1.2, 1.2, (40, 6)))
    drawn = poses(curves, HEAD).turns
    filed = scene(curves, HEAD, ExportOptions()).joint_turns
    assert set(drawn) == {HEAD.joints[number].name for number in filed} == {"head", "jaw", "neck"}
    for number, turn in filed.items():
        vectors = drawn[HEAD.joints[number].name]
        assert np.allclose(rotation_matrices(vectors), matrices_of(quaternions(turn)), atol=1e-5)


def test_channel_spelling_does_not_matter(caplog: pytest.LogCaptureFixture) -> None:
    curves = Curves(("JawOpen", "mouthSmile_L", "other"), 30, np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]))
    found = poses(curves, HEAD)
    assert dict(zip(found.shapes, found.weights.T.tolist(), strict=True)) == {
        name: pytest.approx(values) for name, values in (("jawOpen", (0.1, 0.4)), ("mouthSmileLeft", (0.2, 0.5)))}
    assert "no shape for other" in caplog.text
    both = poses(Curves(("jawopen", "jawOpen"), 30, np.array([[0.1, 0.2]])), HEAD)
    assert (both.shapes, both.weights.tolist()) == (("jawOpen",), [[pytest.approx(0.2)]])


@pytest.mark.parametrize("name", ["meta", "sranipal"])
def test_a_rig_is_retargeted_though_some_of_its_names_are_alike(name: str) -> None:
    from facerig.rig import rig

    channels = rig(name).names
    found = poses(Curves(channels, 60, np.full((1, len(channels)), 0.5)), HEAD)
    assert set(found.shapes) == set(HEAD.shape_names)


def test_a_take_without_frames_has_no_poses() -> None:
    found = poses(Curves(("jawOpen", "headYaw", "other"), 60, np.zeros((0, 3))), HEAD)
    assert (found.weights.shape, found.turns["head"].shape) == ((0, 1), (0, 3))


def test_curves_that_move_nothing_are_refused() -> None:
    with pytest.raises(HeadError, match="none of the curves' channels"):
        poses(Curves(("nothing", "known"), 30, np.ones((2, 2))), HEAD)


@pytest.mark.parametrize("to", ["arkit", "metahuman", "oculus", "livelink", "FLAME"])
def test_a_take_of_any_rig_moves_the_face(renderer, to: str) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    from facerig.preview.gl import Style
    from facerig.preview.pictures import one_frame
    from facerig.retarget import retarget
    from facerig.rig import rig

    def seen(curves: Curves) -> np.ndarray:
        data = one_frame(curves, HEAD, Style(128, 128, close=True), 0)
        return np.asarray(Image.open(io.BytesIO(data))).astype(np.float64)

    open_jaw = Curves(("jawOpen",), 60, np.array([[0.0], [0.8]])).select(rig("arkit").names, fill=0)
    flame = Curves(("jaw_x", "expression000"), 60, np.array([[0.0, 0.0], [0.3, 0.0]]))
    curves = flame if to == "FLAME" else retarget(open_jaw, rig(to))
    rest = seen(Curves(("jawOpen",), 60, np.zeros((1, 1))))
    assert np.abs(seen(curves.slice(1, 2).moved(0)) - rest).max() > 60


@pytest.mark.parametrize("start", [-30, 0, 30])
def test_sound_stays_with_the_picture_wherever_a_take_begins(tmp_path: Path, start: int) -> None:
    soundfile = pytest.importorskip("soundfile")
    from facerig.commands.preview import _sound

    click = np.zeros(48_000)
    click[24_000] = 0.8  # at .5 s of the file, which is frame 30
    soundfile.write(tmp_path / "click.wav", click, 48_000)
    sound, rate = _sound(tmp_path / "click.wav", Curves(("jawOpen",), 60, np.zeros((90, 1)), start))
    assert int(np.argmax(sound)) == (30 - start) * rate // 60


def test_a_frame_is_counted_as_the_take_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facerig.cli import run

    asked = []
    monkeypatch.setattr("facerig.preview.pictures.one_frame",
                        lambda curves, *rest: asked.append((curves.fps, curves.frames, rest[-1])) or b"picture")
    (tmp_path / "take.npz").write_bytes(Curves(("jawOpen",), 120, np.zeros((974, 1))).to_npz())
    line = ["preview", str(tmp_path / "take.npz"), "-o", str(tmp_path / "a.png"), "--frame", "900"]
    assert run(line) == 0
    assert run([*line, "--fps", "30"]) == 0
    assert asked == [(120, 974, 900), (30, 244, 900)]


def test_normals_are_those_of_the_mesh() -> None:
    from facerig.mesh import vertex_normals
    from facerig.preview.surface import NormalMaker

    face = HEAD.part("face")
    fast = NormalMaker(len(face.vertices), face.triangles)(face.vertices)
    assert np.abs(fast - vertex_normals(face.vertices, face.triangles)).max() < 1e-4


def test_styles_are_checked() -> None:
    from facerig.preview.gl import Style

    for wrong in ({"view": "below"}, {"width": 3}, {"height": 9999}):
        with pytest.raises(OptionError):
            Style(**wrong)  # type: ignore[arg-type]
