"""What surfaces look like: one row a material. The built-in head brings pictures of its skin and eyes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from facerig.heads.builtin import EYE, SKIN, asset
from facerig.mesh import Floats, Head


@dataclass(frozen=True)
class Look:
    """Colour (linear 0..1), roughness, and whether both sides show."""

    colour: tuple[float, float, float]
    roughness: float
    both_sides: bool = False


LOOKS = {
    "skin": Look((0.66, 0.42, 0.33), 0.60),
    "mouth": Look((0.11, 0.022, 0.02), 0.70, both_sides=True),
    "eye": Look((0.82, 0.80, 0.78), 0.12),
    "teeth": Look((0.60, 0.57, 0.49), 0.35),
    "gum": Look((0.38, 0.11, 0.10), 0.45, both_sides=True),
    "tongue": Look((0.40, 0.13, 0.12), 0.50),
    "lash": Look((0.02, 0.015, 0.012), 0.80, both_sides=True),
    "wet": Look((0.75, 0.55, 0.50), 0.10),
    "hair": Look((0.07, 0.045, 0.03), 0.60, both_sides=True),
}
OTHER = Look((0.62, 0.60, 0.58), 0.60, both_sides=True)
HIDDEN = ("wet",)  # would need transparency; without it they hide the eye
# The built-in head's mouth has no light of its own making: brightness (linear) at v = 0 and v = 1 of its places.
SHADES = {"mouth": (1.0, 0.40), "tongue": (0.25, 1.0), "teeth": (0.72, 1.0), "gum": (1.0, 1.0)}
# Cheeks and lips take the light from what lies deep: the share of u at which half of it is left, how steeply it goes,
# and what remains. u is 0 at the front of the incisors, about .22 at the canines, .36 and .5 at the premolars.
DEEP = {"teeth": (0.32, 2.6, 0.06), "gum": (0.32, 2.6, 0.06)}
WARM = (1.0, 1.45, 1.5)  # powers of that shade by colour: the light that is left comes off lips and tongue
PICTURES = {"skin": SKIN, "eye": EYE}


def material_of(head: Head, name: str) -> Any:
    """A pyrender material."""
    import pyrender

    look = LOOKS.get(name, OTHER)
    picture = _picture(PICTURES[name]) if head.name == "builtin" and name in PICTURES else None
    colour = (1.0, 1.0, 1.0) if picture is not None else look.colour
    shade = _texture(shade_of(name)) if head.name == "builtin" and name in SHADES else None
    return pyrender.MetallicRoughnessMaterial(
        baseColorFactor=[*colour, 1.0], baseColorTexture=shade or picture, occlusionTexture=shade, metallicFactor=0.0,
        roughnessFactor=look.roughness, doubleSided=look.both_sides)


def _picture(name: str) -> Any:
    """A texture from one of the built-in head's pictures (pyrender undoes their sRGB curve itself)."""
    import pyrender
    from PIL import Image

    stored = np.asarray(Image.open(io.BytesIO(asset(name))).convert("RGB"))
    return pyrender.Texture(source=stored, source_channels="RGB")


def shade_of(name: str) -> Floats:
    """Brightness (linear) of a material of the built-in head's mouth: [64 v from 1 to 0, 64 u from 0 to 1, RGB]."""
    low, high = SHADES[name]
    share = np.linspace(0, 1, 64, dtype=np.float32)
    shade = np.ones((64, 64, 3), np.float32) * (high + (low - high) * share)[:, None, None]
    if name in DEEP:
        half, steep, rest = DEEP[name]
        left = rest + (1 - rest) / (1 + (share / half) ** steep)
        shade *= left[:, None] ** np.array(WARM, np.float32)
    return shade


def _texture(shade: Floats) -> Any:
    import pyrender
    from OpenGL.GL import GL_CLAMP_TO_EDGE

    stored = np.round(255 * shade ** (1 / 2.2)).astype(np.uint8)
    ends = pyrender.Sampler(wrapS=GL_CLAMP_TO_EDGE, wrapT=GL_CLAMP_TO_EDGE)  # else light and dark ends would mix
    return pyrender.Texture(source=stored, source_channels="RGB", sampler=ends)
