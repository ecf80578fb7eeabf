"""What all exporters share: their options, the rows of the format table, and text made block by block.

Knows no format. An exporter is `(curves, head, options) -> bytes`, a reader `(data, name, fps) -> Curves`; both are
named by module and function, so that importing the table loads no format library. A reader needs `fps` only where its
file holds instants and no frames (it is read at that rate), or where its own rate may be missing: whatever clock comes
back, `Reader` replaces it.
"""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any, cast

from exporters.rigs import to_rig
from facerig.curves import MAX_FPS, Curves
from facerig.errors import CurvesError, HeadError, OptionError, check_option
from facerig.mesh import Head

_NODE = re.compile(r"[A-Za-z_|][A-Za-z0-9_:|]*")
BLOCK = 2048  # rows formatted at a time: a take of hours needs little more memory than its file


@dataclass(frozen=True)
class ExportOptions:
    """How to write; each format heeds the options that it can express (see docs/FORMATS.md)."""

    rig: str | None = None
    """retarget to this rig first"""
    name: str = "facerig"
    """of the take: animation stack, clip"""
    keys: float | None = None
    """error bound of key reduction (0.02 is a good value); None writes a key on every frame"""
    calibrated: bool = True
    """Live Link Face CSV: shapes limited to 0..1 as the app's _cal files are; False leaves them raw"""
    joints: bool = True
    """write the head's joints and turn them by the head, eye and jaw channels"""
    quantise: bool = False
    """glTF: positions and normals as 16 and 8 bit integers (KHR_mesh_quantization)"""
    audio: bytes | None = None
    """glTF: a wav file to carry along"""
    fbx_version: int = 7400
    """7400 or 7500"""
    layout: str = "skel"
    """USD: "skel" for UsdSkel blend shapes, "a2f" for Omniverse Audio2Face's layout"""
    node: str = "blendShape1"
    """Maya: the node that bears the curves"""

    def __post_init__(self) -> None:
        _check("keys", self.keys, "a number above 0 and up to 1", self.keys is None or 0 < self.keys <= 1)
        _check("fbx_version", self.fbx_version, "7400 or 7500", self.fbx_version in (7400, 7500))
        _check("layout", self.layout, "skel or a2f", self.layout in ("skel", "a2f"))
        _check("node", self.node, "a Maya node's name: letters, digits, _, : and |", bool(_NODE.fullmatch(self.node)))
        _check("name", self.name, "text that is not empty", bool(self.name.strip()))


def _check(name: str, got: object, accepted: str, ok: bool) -> None:
    if not ok:
        raise OptionError(f"{name}: got {got!r}, accepted: {accepted}")


def _load(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    return cast(Callable[..., Any], getattr(importlib.import_module(f"exporters.{module}"), function))


@dataclass(frozen=True)
class Exporter:
    """One row of the format table."""

    suffix: str
    title: str
    target: str
    """module:function inside this package"""
    head: str = "no"
    """"no", "optional" or "needed" """
    empty: bool = False
    """a take without frames can be written"""
    heeds: tuple[str, ...] = ()
    """names of the options that change the result, besides `rig`"""
    rig: str = ""
    """the rig whose channels it holds, whatever comes, or module:function that gives them; else the curves' own"""
    together: bool = False
    """reduced keys of all channels stand on the same frames"""

    def held(self, curves: Curves) -> Curves:
        """The curves as the file holds them."""
        if ":" in self.rig:
            return cast(Curves, _load(self.rig)(curves))
        return to_rig(curves, self.rig) if self.rig else curves

    def __call__(self, curves: Curves, head: Head | None, options: ExportOptions) -> bytes:
        if not curves.frames and not self.empty:
            raise CurvesError(f"{self.title}: the take is empty; it needs at least one frame")
        if self.head == "needed" and head is None:
            raise HeadError(f"{self.title}: needs a head (a mesh with shapes); got none, give e.g. --head builtin")
        return cast(bytes, _load(self.target)(curves, head, options))


@dataclass(frozen=True)
class Reader:
    """One row of the reader table."""

    suffix: str
    title: str
    target: str
    in_place: str = ""
    """module:function for (path, name, fps), where a file may be made of others beside it"""

    def __call__(self, data: bytes, name: str, fps: int | None = None, path: Path | None = None) -> Curves:
        """`fps`: the file's frames are at this rate, whatever it says itself. `path`: where the data lie."""
        check_option("rate of the input", fps, f"1 to {MAX_FPS} frames a second", fps is None or _is_rate(fps))
        if path is not None and self.in_place:
            curves = cast(Curves, _load(self.in_place)(path, name, fps))
        else:
            curves = cast(Curves, _load(self.target)(data, name, fps))
        return curves if fps is None else replace(curves, fps=fps)


def _is_rate(fps: object) -> bool:
    return not isinstance(fps, bool) and isinstance(fps, Integral) and 1 <= int(fps) <= MAX_FPS


def joined(parts: Iterable[str | bytes]) -> bytes:
    """One bytes object from many pieces, without a second copy of the whole."""
    stream = io.BytesIO()
    for part in parts:
        stream.write(part.encode() if isinstance(part, str) else part)
    return stream.getvalue()


def float_rows(curves: Curves, cell: str = "%.9g", separator: str = ",") -> Iterator[str]:
    """Each frame's values as text; nine digits give a float32 back exactly."""
    form = separator.join([cell] * len(curves.channels))
    for first in range(0, curves.frames, BLOCK):
        for row in curves.values[first : first + BLOCK].tolist():
            yield form % tuple(row)
