"""From curves to pictures: single frames, runs of frames, contact sheets. Bytes of PNG and GIF."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from facerig.curves import Curves
from facerig.errors import OptionError
from facerig.mesh import Head
from facerig.preview.gl import VIEWS, Picture, Renderer, Style
from facerig.preview.pose import Poses, poses

TURN_SECONDS = 6.0  # of one round of the turntable
MAX_GIF_FRAMES = 900
GIF_FPS = 50  # a GIF's clock runs in hundredths of a second, and viewers slow down frames of fewer than two

# What a contact sheet shows: the mouths of speech as weights of ARKit shapes, and emotions.
VISEMES: Mapping[str, Mapping[str, float]] = {
    "rest": {},
    "p b m": {"jawOpen": 0.12, "mouthClose": 0.12, "mouthPress": 0.35},
    "f v": {"jawOpen": 0.12, "mouthRollLower": 0.45, "mouthUpperUp": 0.25},
    "th": {"jawOpen": 0.22, "tongueOut": 0.28, "mouthLowerDown": 0.15},
    "t d n": {"jawOpen": 0.14, "tongueTipUp": 0.7, "mouthLowerDown": 0.15},
    "s z": {"jawOpen": 0.06, "mouthStretch": 0.25, "mouthLowerDown": 0.45, "mouthUpperUp": 0.2},
    "sh ch": {"jawOpen": 0.1, "mouthFunnel": 0.6, "mouthPucker": 0.25},
    "k g": {"jawOpen": 0.25, "tongueUp": 0.4, "mouthStretch": 0.1},
    "ah": {"jawOpen": 0.6, "mouthLowerDown": 0.2},
    "eh": {"jawOpen": 0.35, "mouthStretch": 0.25, "mouthUpperUp": 0.15},
    "ee": {"jawOpen": 0.15, "mouthSmile": 0.35, "mouthStretch": 0.3, "mouthLowerDown": 0.25},
    "oh": {"jawOpen": 0.4, "mouthFunnel": 0.45, "mouthPucker": 0.2},
    "oo": {"jawOpen": 0.12, "mouthPucker": 0.75, "mouthFunnel": 0.2},
    "r": {"jawOpen": 0.14, "mouthPucker": 0.35, "mouthFunnel": 0.25, "mouthShrugUpper": 0.1},
    "l": {"jawOpen": 0.25, "tongueTipUp": 0.9, "mouthStretch": 0.1},
}
EMOTIONS: Mapping[str, Mapping[str, float]] = {
    "neutral": {},
    "joy": {"mouthSmile": 0.8, "cheekSquint": 0.6, "eyeSquint": 0.3, "jawOpen": 0.12, "mouthUpperUp": 0.2},
    "sadness": {"browInnerUp": 0.8, "mouthFrown": 0.6, "mouthShrugLower": 0.3, "eyeLookDown": 0.25, "eyeBlink": 0.15},
    "anger": {"browDown": 0.9, "eyeSquint": 0.45, "noseSneer": 0.4, "mouthPress": 0.5, "mouthFrown": 0.25},
    "fear": {"browInnerUp": 0.8, "browOuterUp": 0.4, "eyeWide": 0.8, "mouthStretch": 0.5, "jawOpen": 0.2},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.45, "browDown": 0.45, "mouthFrown": 0.35, "eyeSquint": 0.3},
    "surprise": {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.7, "jawOpen": 0.45},
    "contempt": {"mouthSmileLeft": 0.45, "mouthDimpleLeft": 0.5, "eyeSquintLeft": 0.2, "browOuterUpLeft": 0.2},
}
SHEETS = {"visemes": VISEMES, "emotions": EMOTIONS}


def weights_of(pose: Mapping[str, float], names: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Weights in the order of names; a name without Left and Right means both sides."""
    weights = np.zeros(len(names), np.float32)
    for key, value in pose.items():
        for name in (key, key + "Left", key + "Right"):
            if name in names:
                weights[list(names).index(name)] = value
    return weights


def frames(curves: Curves, head: Head, style: Style, turntable: bool = False) -> Iterator[Picture]:
    """One picture a frame."""
    return _drawn(poses(curves, head), range(curves.frames), head, style, curves.fps if turntable else None)


def _drawn(taken: Poses, rows: range, head: Head, style: Style, round_at: int | None = None) -> Iterator[Picture]:
    """Pictures of these rows; round the head where `round_at` says how many there are a second."""
    with Renderer(head, taken.shapes, style) as renderer:
        for row in rows:
            yaw = None if round_at is None else 360.0 * row / (TURN_SECONDS * round_at)
            turns = {joint: vectors[row] for joint, vectors in taken.turns.items()}
            yield renderer.frame(taken.weights[row], turns, yaw)


def one_frame(curves: Curves, head: Head, style: Style, frame: int | None = None) -> bytes:
    """PNG of one frame: the one asked for, or the one that moves most."""
    if not curves.frames:
        raise OptionError("curves: got none, accepted: one frame or more")
    taken = poses(curves, head)
    row = int(taken.effort().argmax()) if frame is None else frame - curves.start
    if not 0 <= row < curves.frames:
        raise OptionError(f"frame: got {frame}, accepted: {curves.start} to {curves.end - 1}")
    return png(next(_drawn(taken, range(row, row + 1), head, style)))


def sheet(poses: Mapping[str, Mapping[str, float]], head: Head, style: Style, columns: int = 5,
          yaw: float | None = None) -> Picture:
    """Labelled pictures of poses side by side."""
    names = head.shape_names
    with Renderer(head, names, style) as renderer:
        tiles = [_labelled(renderer.frame(weights_of(pose, names), yaw=yaw), label) for label, pose in poses.items()]
    while len(tiles) % columns:
        tiles.append(np.full_like(tiles[0], tiles[0][0, 0]))
    rows = [np.concatenate(tiles[k : k + columns], axis=1) for k in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def shape_sheet(head: Head, style: Style, weight: float = 1.0, columns: int = 8) -> Picture:
    """Every shape of the head at one weight."""
    if not head.shape_names:
        raise OptionError(f"head {head.name}: has no shapes to show, accepted: a head with morph targets")
    close = replace(style, close=True)
    return sheet({name: _shown(name, weight) for name in head.shape_names}, head, close, columns)


def _shown(name: str, weight: float) -> dict[str, float]:
    """A shape by itself; what cannot be seen so gets an open mouth, mouthClose the jaw that it belongs to."""
    if name == "mouthClose":
        return {"jawOpen": weight, name: weight}
    return {name: weight, "jawOpen": 0.45} if name.startswith("tongue") else {name: weight}


def _labelled(picture: Picture, label: str) -> Picture:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    size = max(11, picture.shape[0] // 18)
    ImageDraw.Draw(image).text((size // 2, size // 3), label, fill=(235, 235, 235), font=ImageFont.load_default(size))
    return np.asarray(image)


def png(picture: Picture) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def gif(pictures: Iterator[Picture], fps: int) -> bytes:
    """An endless GIF that lasts as long as the pictures; of more than 50 a second it shows 50."""
    from PIL import Image

    images: list[Image.Image] = []
    shown = min(fps, GIF_FPS)
    for number, picture in enumerate(pictures):
        if number != round(len(images) * fps / shown):
            continue
        images.append(Image.fromarray(picture).quantize(128))
        if len(images) > MAX_GIF_FRAMES:
            raise OptionError(f"gif: more than {MAX_GIF_FRAMES} frames, accepted: shorter curves, lower --fps, or mp4")
    if not images:
        raise OptionError("gif: got no frames, accepted: one or more")
    stream, ends = io.BytesIO(), [10 * round(100 * number / shown) for number in range(len(images) + 1)]
    durations = [end - begin for begin, end in pairwise(ends)]
    images[0].save(stream, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return stream.getvalue()


__all__ = ["SHEETS", "VIEWS", "frames", "gif", "one_frame", "png", "shape_sheet", "sheet", "weights_of"]
