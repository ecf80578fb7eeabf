"""What surfaces look like: one row a material. The built-in head brings pictures of its skin and eyes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from facerig.heads.builtin import EYE, SKIN, asset
from facerig.mesh import Head


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
SHADES = {"mouth": (1.0, 0.10), "tongue": (0.25, 1.0), "teeth": (0.72, 1.0)}
PICTURES = {"skin": SKIN, "eye": EYE}


def material_of(head: Head, name: str) -> Any:
    """A pyrender material."""
    import pyrender

    look = LOOKS.get(name, OTHER)
    picture = _picture(PICTURES[name]) if head.name == "builtin" and name in PICTURES else None
    colour = (1.0, 1.0, 1.0) if picture is not None else look.colour
    if head.name == "builtin" and name in SHADES:
        picture = _shade(*SHADES[name])
    return pyrender.MetallicRoughnessMaterial(
        baseColorFactor=[*colour, 1.0], baseColorTexture=picture, metallicFactor=0.0, roughnessFactor=look.roughness,
        doubleSided=look.both_sides)


def _picture(name: str) -> Any:
    """A texture from one of the built-in head's pictures (pyrender undoes their sRGB curve itself)."""
    import numpy as np
    import pyrender
    from PIL import Image

    stored = np.asarray(Image.open(io.BytesIO(asset(name))).convert("RGB"))
    return pyrender.Texture(source=stored, source_channels="RGB")


def _shade(low: float, high: float) -> Any:
    """A vertical run of greys, from v = 0 (the picture's last row) to v = 1."""
    import numpy as np
    import pyrender

    run = np.linspace(high, low, 64) ** (1 / 2.2)
    grey = np.repeat(np.round(255 * run).astype(np.uint8)[:, None, None], 4, axis=1)
    return pyrender.Texture(source=np.repeat(grey, 3, axis=2), source_channels="RGB")
