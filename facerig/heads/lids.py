"""What lids do when two shapes pull at them at once: a rule on top of the linear shapes.

Shapes add up, lids do not: blink + squint + a look down would press the lids 7 mm into each other, and a blink of wide
eyes would leave 3.6 mm open. Each row takes a share of one shape away as the other grows, on the skin around that eye
alone: the eyeball keeps its gaze and the cheek its lift. `Deformer` and `deform` stay linear, as rigs and files are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facerig.mesh import Floats, Head, Part, Shape

# limited shape, by which one, share taken at weight 1: a blink closes the eye whatever else happens; narrowed lids
# follow the look down less (the share leaves 1 to 2 mm open, as in people)
ROWS = (("eyeSquint", "eyeBlink", 1.0), ("cheekSquint", "eyeBlink", 1.0), ("eyeWide", "eyeBlink", 1.0),
        ("eyeLookDown", "eyeBlink", 1.0), ("eyeLookUp", "eyeBlink", 1.0),
        ("eyeLookDown", "eyeSquint", 0.35), ("eyeLookDown", "cheekSquint", 0.35))
NEAR, FAR = 0.019, 0.027  # metres from the eye's centre: the lids, and where the cheek begins
EYES = {"Left": "lefteye", "Right": "righteye"}  # joints, in lower case
MARK = " held back"


class LidRule:
    """A head with the shapes that take back, and the weights that go with them."""

    def __init__(self, head: Head, channels: Sequence[str]) -> None:
        places = {joint.name.lower(): np.array(joint.position) for joint in head.joints}
        number = {name: n for n, name in enumerate(channels)}
        self._plan: list[tuple[int, list[tuple[int, float]]]] = []
        added: list[str] = []
        for side, joint in EYES.items():
            for limited in dict.fromkeys(row[0] for row in ROWS):
                by = [(number[b + side], share) for one, b, share in ROWS if one == limited and b + side in number]
                if by and joint in places and limited + side in number and limited + side in head.shape_names:
                    self._plan.append((number[limited + side], by))
                    added.append(limited + side)
        self.channels = (*channels, *(name + MARK for name in added))
        centres = {name: places[EYES["Left" if name.endswith("Left") else "Right"]] for name in added}
        self.head = replace(head, parts=tuple(_with(part, centres, head.metres_per_unit) for part in head.parts))

    def __call__(self, weights: Floats) -> Floats:
        """[T, C] -> [T, C + added]: how much of each limited shape is taken back."""
        back = [-weights[:, one] * np.clip(sum((share * weights[:, n] for n, share in by), np.float32(0)), 0, 1)
                for one, by in self._plan]
        return np.concatenate([weights, np.stack(back, axis=1)], axis=1) if back else weights


def _with(part: Part, centres: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]], metres: float) -> Part:
    """The part with a copy of each limited shape that lives near its eye alone. Eyeballs keep none."""
    if part.material in ("eye", "wet"):
        return part
    shapes = dict(part.shapes)
    for name, centre in centres.items():
        if name in part.shapes:
            shape = part.shapes[name]
            away = np.linalg.norm(part.vertices[shape.index] - centre, axis=1) * metres
            near = np.clip((FAR - away) / (FAR - NEAR), 0, 1)
            kept = near > 0
            smooth = (near * near * (3 - 2 * near))[kept, None]
            shapes[name + MARK] = Shape(shape.index[kept], (shape.offsets[kept] * smooth).astype(np.float32))
    return replace(part, shapes=shapes)
