"""A head drawn by pyrender over EGL: weights in, RGB pictures out. Needs no display; knows no curves and no files.

Where OpenGL is missing it says which packages to install. One Renderer holds one GL context; it belongs to the thread
that made it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import MissingExtra, OptionError, check_option
from facerig.heads.lids import LidRule
from facerig.mesh import Deformer, Floats, Head
from facerig.preview.materials import HIDDEN, LOOKS, OTHER, material_of
from facerig.preview.painter import painter_class
from facerig.preview.surface import Surface

Picture = NDArray[np.uint8]
PACKAGES = "apt install libegl1 libgl1-mesa-dri libgles2"
VIEWS = {"front": 0.0, "three-quarter": 38.0, "profile": 90.0}
MAX_SIDE = 4096
MARGIN = 1.06
# yaw and pitch to the view in degrees, intensity, colour: key, fill, rim
LIGHTS = ((36, 30, 2.9, (1.0, 0.95, 0.89)), (-48, 6, 1.25, (0.86, 0.92, 1.0)), (150, 30, 1.9, (1.0, 0.97, 0.94)))
AMBIENT = 0.30
BACKGROUND = (0.145, 0.155, 0.175)


@dataclass(frozen=True)
class Style:
    """How a picture is taken."""

    width: int = 512
    height: int = 512
    view: str = "front"  # front, three-quarter or profile; a turntable gives angles instead
    wire: bool = False
    close: bool = False  # the face instead of the whole head
    background: tuple[float, float, float] = BACKGROUND

    def __post_init__(self) -> None:
        check_option("view", self.view, ", ".join(VIEWS), self.view in VIEWS)
        for what, side in (("width", self.width), ("height", self.height)):
            check_option(what, side, f"16 to {MAX_SIDE}", 16 <= side <= MAX_SIDE)


def load_pyrender() -> Any:
    """pyrender on EGL, or an error that names what is missing."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    if not hasattr(np, "infty"):
        np.infty = np.inf  # type: ignore[attr-defined]  # pyrender 0.1.45 still asks numpy 2 for its old name
    try:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pyrender
    except ImportError as error:
        if "GL" in str(error) or "EGL" in str(error):
            raise MissingExtra("preview", "preview", f"and OpenGL: {PACKAGES}; {error}") from error
        raise MissingExtra("preview", "preview", str(error)) from error
    return pyrender


class Renderer:
    """Draws frames of one head. Use as a context, or close() it."""

    def __init__(self, head: Head, channels: Sequence[str], style: Style | None = None) -> None:
        self.head, self.style = head, style or Style()
        self._pyrender = load_pyrender()
        self._lids = LidRule(head, channels)
        self._deform = Deformer(self._lids.head, self._lids.channels)
        self._shown = [n for n, part in enumerate(head.parts) if part.material not in HIDDEN and len(part.triangles)]
        self._materials = {n: material_of(head, head.parts[n].material) for n in self._shown}
        self._scene = self._pyrender.Scene(bg_color=[*self.style.background, 1.0], ambient_light=[AMBIENT] * 3)
        self._surface = Surface(head, self._shown)
        self._primitives = [self._add(number) for number in self._shown]
        self._middle, self._reach = framing(head, self.style.close)
        self._camera, self._lights = self._stage()
        self._target = self._context()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        target, self._target = self._target, None
        if target is not None:
            _released(target)

    def frame(self, weights: Floats, rotations: Mapping[str, Floats] | None = None,
              yaw: float | None = None) -> Picture:
        """One picture [height, width, 3]; weights [C]; rotations joint -> [3] radians; yaw overrides the view's."""
        turns = {name: np.asarray(r, np.float32)[None] for name, r in (rotations or {}).items()}
        moved = self._deform(self._lids(np.asarray(weights, np.float32)[None]), turns)[0]
        self._send(self._surface(moved))
        self._aim(VIEWS[self.style.view] if yaw is None else yaw)
        flags = self._pyrender.RenderFlags.NONE if not self.style.wire else self._pyrender.RenderFlags.ALL_WIREFRAME
        picture: Picture = self._target.render(self._scene, flags=flags)[0]
        return picture

    def _context(self) -> Any:
        """pyrender's offscreen context, with our painter in the place of its own."""
        try:
            target = self._pyrender.OffscreenRenderer(self.style.width, self.style.height)
            target._renderer = painter_class()(self.style.width, self.style.height)
            return target
        except Exception as error:  # PyOpenGL raises whatever the driver's loader met
            raise MissingExtra("preview", "preview", f"OpenGL cannot start here: {PACKAGES}; {error}") from error

    def _add(self, number: int) -> Any:
        """A part of the neutral head as a mesh that stays in the scene."""
        part = self.head.parts[number]
        primitive = self._pyrender.Primitive(
            positions=part.vertices, normals=part.normals, texcoord_0=part.uvs, indices=part.triangles,
            material=self._materials[number], mode=4)
        self._scene.add(self._pyrender.Mesh([primitive]))
        return primitive

    def _send(self, vertices: Floats) -> None:
        self._target._platform.make_current()
        self._target._renderer._update_context(self._scene, 0)  # the first time it makes the buffers
        for primitive, (start, end) in zip(self._primitives, self._surface.ranges, strict=True):
            self._target._renderer.update(primitive, vertices[start:end])

    def _stage(self) -> tuple[Any, list[tuple[Any, float, float]]]:
        camera = self._scene.add(self._pyrender.PerspectiveCamera(np.radians(FIELD), znear=self._reach * 0.5,
                                                                  zfar=self._reach * 20))
        lights: list[tuple[Any, float, float]] = []
        for yaw, pitch, strength, colour in LIGHTS:
            light = self._pyrender.DirectionalLight(color=colour, intensity=strength)
            lights.append((self._scene.add(light), yaw, pitch))
        return camera, lights

    def _aim(self, yaw: float) -> None:
        distance = self._reach / np.tan(np.radians(FIELD) / 2) * max(1.0, self.style.height / self.style.width)
        self._scene.set_pose(self._camera, looking(yaw, 3.0, self._middle, distance))
        for node, aside, pitch in self._lights:  # the lights go with the camera, as in a studio with a turntable
            self._scene.set_pose(node, looking(yaw + aside, pitch, self._middle, distance))


def _released(target: Any) -> None:
    """Free one renderer. pyrender's own delete() also ends the EGL display, which kills every other renderer."""
    platform = target._platform
    platform.make_current()  # another renderer's context may be the current one
    display, context = getattr(platform, "_egl_display", None), getattr(platform, "_egl_context", None)
    if display is None or context is None:
        target.delete()
        return
    from OpenGL.EGL import eglDestroyContext

    target._renderer.delete()
    eglDestroyContext(display, context)
    platform._egl_context = platform._egl_display = None
    target._renderer = target._platform = None


FIELD = 18.0  # degrees: a portrait lens


def looking(yaw: float, pitch: float, middle: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Pose of a camera or light that looks at `middle` from this side."""
    y, p = np.radians(yaw), np.radians(pitch)
    back = np.array([np.sin(y) * np.cos(p), np.sin(p), np.cos(y) * np.cos(p)])
    right = np.array([np.cos(y), 0.0, -np.sin(y)])
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, np.cross(back, right), back
    pose[:3, 3] = middle + distance * back
    return pose


def framing(head: Head, close: bool) -> tuple[NDArray[np.float64], float]:
    """What the camera looks at, and half the height that it sees (in the head's units)."""
    skin = [part for part in head.parts if part.material == "skin"] or list(head.parts)
    points = np.concatenate([part.vertices for part in skin]).astype(np.float64)
    if not len(points):
        raise OptionError(f"head {head.name}: has no vertices to look at")
    low, high = points.min(axis=0), points.max(axis=0)
    if not high[1] > low[1]:
        raise OptionError(f"head {head.name}: its vertices have no height, accepted: a head of more than a point or a "
                          f"level sheet")
    if close and {"point8", "point27"} <= head.landmarks.keys():
        chin, root = (head.vertices[head.landmarks[name]].astype(np.float64) for name in ("point8", "point27"))
        face = abs(root[1] - chin[1])
        return np.array([0.0, chin[1] + 0.62 * face, (low[2] + high[2]) / 2]), 0.98 * face
    return (low + high) / 2, float(high[1] - low[1]) / 2 * MARGIN


__all__ = ["LOOKS", "OTHER", "Picture", "Renderer", "Style", "framing", "load_pyrender"]
