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
    "skin": Look((0.70, 0.42, 0.32), 0.52),
    "mouth": Look((0.22, 0.045, 0.04), 0.60, both_sides=True),
    "eye": Look((0.82, 0.80, 0.78), 0.12),
    "teeth": Look((0.80, 0.76, 0.66), 0.22),
    "gum": Look((0.50, 0.16, 0.15), 0.35, both_sides=True),
    "tongue": Look((0.52, 0.17, 0.16), 0.42),
    "lash": Look((0.02, 0.015, 0.012), 0.80, both_sides=True),
    "wet": Look((0.75, 0.55, 0.50), 0.10),
    "hair": Look((0.07, 0.045, 0.03), 0.60, both_sides=True),
}
OTHER = Look((0.62, 0.60, 0.58), 0.60, both_sides=True)
HIDDEN = ("wet",)  # would need transparency; without it they hide the eye
PICTURES = {"skin": SKIN, "eye": EYE}


def material_of(head: Head, name: str) -> Any:
    """A pyrender material."""
    import pyrender

    look = LOOKS.get(name, OTHER)
    picture = _picture(PICTURES[name]) if head.name == "builtin" and name in PICTURES else None
    colour = (1.0, 1.0, 1.0) if picture is not None else look.colour
    return pyrender.MetallicRoughnessMaterial(
        baseColorFactor=[*colour, 1.0], baseColorTexture=picture, metallicFactor=0.0, roughnessFactor=look.roughness,
        doubleSided=look.both_sides)


def _picture(name: str) -> Any:
    """A texture; pyrender does not undo the sRGB curve of pictures, so that is done here."""
    import numpy as np
    import pyrender
    from PIL import Image

    stored = np.asarray(Image.open(io.BytesIO(asset(name))).convert("RGB"), np.float32) / 255
    linear = np.round(255 * stored**2.2).astype(np.uint8)
    return pyrender.Texture(source=linear, source_channels="RGB")
