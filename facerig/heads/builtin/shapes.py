"""The 52 ARKit shapes on the skin: ICT-FaceKit's motion carried over, made symmetric, lips and lids made to meet."""

from __future__ import annotations

import numpy as np

from facerig.heads.builtin.chart import MIDDLE, lift
from facerig.heads.builtin.lids import fit_lids
from facerig.heads.builtin.sculpt import sculpt
from facerig.heads.builtin.skin import LIP_GAP, SEAM, Skin, seam_weights
from facerig.heads.builtin.source import Dense, Doubles
from facerig.mesh import Ints, rotation_matrices

JAW_JOINT = np.array([0.0, -0.45, 0.9])
JAW_OPEN = np.radians(25.4)  # of the lower teeth in ICT-FaceKit's jawOpen
JAW_FORWARD = np.array([0.0, -0.17, 0.89])
JAW_LEFT_SHIFT, JAW_LEFT_TURN = np.array([0.38, -0.06, 0.06]), np.radians(1.91)
# Shapes that move closed lips without opening them: share of the seam's own opening that is taken out.
SEALED = {"mouthSmile": 1.0, "mouthFrown": 1.0, "mouthDimple": 1.0, "mouthStretch": 1.0, "mouthPress": 1.0,
          "mouthPucker": 1.0, "mouthLeft": 1.0, "mouthRight": 1.0, "mouthShrugLower": 1.0, "cheekPuff": 1.0,
          "jawLeft": 1.0, "jawRight": 1.0, "cheekSquint": 1.0, "noseSneer": 1.0, "jawForward": 0.75}
MEET_BELOW = 0.62  # of the way that jawOpen + mouthClose leaves to close, the lower lip's share
SIDES = ("Left", "Right")


def carried_over(skin: Skin, dense: Dense) -> dict[str, Doubles]:
    """Each shape of the dense head at the skin's vertices, exactly mirrored between the sides."""
    lifted = {name: lift(skin.corners, skin.weights, delta) for name, delta in dense.shapes.items()}
    flip = np.array([-1.0, 1.0, 1.0])
    out = {}
    for name in lifted:
        other = mirror_name(name)
        side = np.where(skin.right[:, None], lifted[other] * flip, lifted[name])
        middle = np.abs(skin.vertices[:, 0]) < MIDDLE
        if name == other:
            side[middle, 0] = 0.0
        else:
            side[middle] = (lifted[name][middle] + lifted[other][middle] * flip) / 2
        out[name] = side
    return out


def mirror_name(name: str) -> str:
    for here, there in (SIDES, SIDES[::-1]):
        if name.endswith(here):
            return name[: -len(here)] + there
    return name


def mirrored(skin_mirror: Ints, delta: Doubles) -> Doubles:
    flipped: Doubles = delta[skin_mirror] * [-1.0, 1.0, 1.0]
    return flipped


def skin_shapes(skin: Skin, dense: Dense) -> dict[str, Doubles]:
    shapes = carried_over(skin, dense)
    sculpt(skin, shapes)
    for name, share in SEALED.items():
        for full in (name, name + "Left"):
            if full in shapes:
                _seal(skin, shapes[full], share)
    _round_opening(skin, shapes["jawOpen"])
    _follow_rolled(skin, shapes["mouthRollUpper"])
    fit_lids(skin, shapes, dense.eye)
    _close_mouth(skin, shapes)
    for name in list(shapes):
        if name.endswith("Left"):
            shapes[mirror_name(name)] = mirrored(skin.mirror, shapes[name])
    for name in shapes:
        if mirror_name(name) == name:
            shapes[name] = (shapes[name] + mirrored(skin.mirror, shapes[name])) / 2
    return {name: np.where(np.abs(delta).max(axis=1, keepdims=True) < 2e-4, 0.0, delta)
            for name, delta in sorted(shapes.items())}


def _seal(skin: Skin, delta: Doubles, share: float) -> None:
    """Upper and lower seam vertices of a column move as one."""
    above, below = skin.pairs()
    top, bottom = skin.mouth[above], skin.mouth[below]
    half = (delta[bottom[:, SEAM]] - delta[top[:, SEAM]]) / 2 * share
    _pull(delta, top, half)
    _pull(delta, bottom, -half)


def _round_opening(skin: Skin, delta: Doubles) -> None:
    """The open lower lip hangs as an arch and not as a V: half of the way to an ellipse between the corners."""
    below = skin.pairs()[1]
    seam = skin.mouth[below][:, SEAM]
    place = np.abs(skin.vertices[seam, 0]) / np.abs(skin.vertices[skin.mouth[:, SEAM], 0]).max()
    drop, corner = delta[seam, 1], delta[skin.mouth[:, SEAM], 1].max()
    arch = corner + (drop.min() - corner) * np.sqrt(np.clip(1 - place**2.3, 0, 1))
    move = np.stack([np.zeros(len(seam)), 0.5 * (arch - drop), np.zeros(len(seam))], axis=1)
    _pull_wide(skin, delta, skin.mouth[below], move)


def _follow_rolled(skin: Skin, delta: Doubles) -> None:
    """Where the upper lip is drawn in over the teeth, the lower one rises to close the mouth."""
    below = skin.pairs()[1]
    place = np.abs(skin.vertices[skin.mouth[below][:, SEAM], 0]) / 2.4
    rise = 0.30 * np.clip(1 - place**2, 0, 1)
    _pull_wide(skin, delta, skin.mouth[below], np.stack([0 * rise, rise, 0 * rise], axis=1))


def _pull(delta: Doubles, columns: Ints, move: Doubles) -> None:
    delta[columns] += seam_weights()[None, :, None] * move[:, None]


def _close_mouth(skin: Skin, shapes: dict[str, Doubles]) -> None:
    """mouthClose on top of jawOpen brings the seam's pairs to where they are at rest to each other."""
    above, below = skin.pairs()
    top, bottom = skin.mouth[above], skin.mouth[below]
    both = shapes["jawOpen"] + shapes["mouthClose"]
    apart = both[bottom[:, SEAM]] - both[top[:, SEAM]]
    _pull_wide(skin, shapes["mouthClose"], top, apart * (1 - MEET_BELOW))
    _pull_wide(skin, shapes["mouthClose"], bottom, -apart * MEET_BELOW)


def _pull_wide(skin: Skin, delta: Doubles, columns: Ints, move: Doubles) -> None:
    weight = seam_weights(reach=11)
    weight[:SEAM] = np.linspace(0.8, 1, SEAM + 1)[:-1]
    delta[columns] += weight[None, :, None] * move[:, None]


def jaw_motion(points: Doubles) -> dict[str, Doubles]:
    """How what is fixed to the lower jaw moves: a rotation about its joint, or a glide."""
    arm = points - JAW_JOINT

    def turned(vector: tuple[float, float, float]) -> Doubles:
        turn = rotation_matrices(np.array(vector, np.float64)).astype(np.float64)
        moved: Doubles = arm @ turn.T - arm
        return moved

    left = turned((0.0, JAW_LEFT_TURN, 0.0)) + JAW_LEFT_SHIFT
    right = turned((0.0, -JAW_LEFT_TURN, 0.0)) + JAW_LEFT_SHIFT * [-1, 1, 1]
    return {"jawOpen": turned((JAW_OPEN, 0.0, 0.0)), "jawForward": np.tile(JAW_FORWARD, (len(points), 1)),
            "jawLeft": left, "jawRight": right}


__all__ = ["LIP_GAP", "jaw_motion", "mirror_name", "mirrored", "skin_shapes"]
