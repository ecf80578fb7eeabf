"""ARKit weights <-> FLAME parameters, solved on the surface and not guessed by name.

A FLAME head and an ARKit head are laid on each other (facerig.heads.correspond). One way, each frame's ARKit motion is
matched by expression coefficients and the jaw's rotation (Gauss-Newton, all frames at once, held down by a prior and
together in time); the eyes' rotations follow the gaze weights. The other way is bounded least squares on the ARKit
shapes. For streams, one matrix learned from solved samples stands in for the solver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerig.curves import Curves
from facerig.errors import HeadError
from facerig.heads.correspond import Correspondence, correspond
from facerig.heads.flame import Flame, expression_names
from facerig.heads.landmarks import point_deltas
from facerig.heads.solve import Solving, box_least_squares
from facerig.mesh import Head, rotation_matrices

Doubles = NDArray[np.float64]

JAW, LEFT_EYE, RIGHT_EYE = 2, 3, 4
JAW_AXES = 3
# How far gaze weights turn an eye, in radians: pitch (down positive) and yaw (to the own left positive).
GAZE = {"eyeLookUpLeft": (LEFT_EYE, 0, -0.44), "eyeLookDownLeft": (LEFT_EYE, 0, 0.52),
        "eyeLookInLeft": (LEFT_EYE, 1, -0.56), "eyeLookOutLeft": (LEFT_EYE, 1, 0.56),
        "eyeLookUpRight": (RIGHT_EYE, 0, -0.44), "eyeLookDownRight": (RIGHT_EYE, 0, 0.52),
        "eyeLookInRight": (RIGHT_EYE, 1, 0.56), "eyeLookOutRight": (RIGHT_EYE, 1, -0.56)}
POSE_NAMES = tuple(f"{joint}_{axis}" for joint in ("jaw", "leye", "reye") for axis in "xyz")  # as the rig flame's


@dataclass(frozen=True)
class Prior:
    """How parameters are held: weights against squared millimetres a point."""

    expression: float = 1e-4
    jaw: float = 1e-3
    smooth: float = 1e-3
    rounds: int = 3
    limit: float = 6.0  # of an expression coefficient
    jaw_limit: float = 0.7  # radians


@dataclass(frozen=True, eq=False)
class FlameTrack:
    """FLAME parameters over time, and how far the surfaces stay apart."""

    expression: Doubles  # [T, E]
    pose: Doubles  # [T, 5, 3] rotation vectors: global, neck, jaw, left eye, right eye
    residual_mm: Doubles  # [T]

    def curves(self, fps: int, start: int = 0) -> Curves:
        flat = self.pose[:, JAW:].reshape(len(self.pose), -1)
        names = (*expression_names(self.expression.shape[1]), *POSE_NAMES)
        return Curves(names, fps, np.concatenate([self.expression, flat], axis=1).astype(np.float32), start)


class FlameBridge:
    """Both ways between one ARKit head and one FLAME head."""

    def __init__(self, head: Head, flame: Flame, marks: Sequence[tuple[int, int]], channels: Sequence[str],
                 points: int = 640, far: float = 0.15) -> None:
        """marks: pairs of (vertex of the ARKit head's first part, vertex of FLAME); far: share of the head's size
        beyond which a point of one head counts as missing on the other."""
        self.flame, self.channels = flame, tuple(channels)
        self.shapes = tuple(c for c in channels if len(head.shape(c).index))
        face = head.parts[0]
        every = np.arange(len(flame.neutral))
        laid = correspond(flame.neutral, [b for _, b in marks], face.vertices.astype(np.float64), face.triangles,
                          [a for a, _ in marks])
        self.points = self._chosen(laid, every, points, far)
        self.laid = Correspondence(laid.corners[self.points], laid.weights[self.points], laid.distance[self.points],
                                   laid.scale, laid.turn)
        deltas = point_deltas(head, np.arange(len(face.vertices)).tolist(), channels).astype(np.float64)
        # ARKit motion in FLAME's metres, at FLAME's points
        self.motion = self.laid.lift(deltas) @ laid.turn / laid.scale
        if not np.isfinite(self.motion).all():
            raise HeadError("the two heads could not be laid on each other; give more landmarks")
        self.rest = flame.neutral[self.points]

    def _chosen(self, laid: Correspondence, every: NDArray[np.int64], points: int, far: float) -> NDArray[np.int64]:
        """Points that both heads have and that expression or jaw moves by a tenth of the most, spread evenly."""
        size = np.ptp(self.flame.neutral, axis=0).max() * laid.scale
        there = every[laid.distance < far * size]
        reach = np.abs(self.flame.expressions[there]).max(axis=(1, 2)) + self.flame.weights[there, JAW] * 0.01
        lively = there[reach > 0.1 * reach.max()]
        chosen: NDArray[np.int64] = lively[np.unique(np.linspace(0, len(lively) - 1, points).round().astype(int))]
        return chosen

    # ---- ARKit -> FLAME ---------------------------------------------------------------------------------------

    def to_flame(self, weights: Doubles, prior: Prior | None = None) -> FlameTrack:
        """weights [T, C] -> expression, jaw and eyes."""
        p = prior or Prior()
        wanted = np.einsum("tc,cnk->tnk", weights, self.motion)
        frames, size = len(weights), self.flame.size
        x = np.zeros((frames, size + JAW_AXES))
        basis = self.flame.expressions[self.points].transpose(2, 0, 1)  # [E, N, 3]
        flat = basis.reshape(size, -1)
        gram_e = flat @ flat.T
        hold = np.concatenate([np.full(size, p.expression), np.full(JAW_AXES, p.jaw)]) * len(self.points) * 1e-6
        smooth = p.smooth * len(self.points) * 1e-6
        for _ in range(p.rounds):
            at, slope = self._jaw(x)
            miss = wanted - at
            cross = np.einsum("em,tjm->tej", flat, slope.reshape(frames, JAW_AXES, -1), optimize=True)
            gram = np.zeros((frames, size + JAW_AXES, size + JAW_AXES))
            gram[:, :size, :size] = gram_e
            gram[:, :size, size:], gram[:, size:, :size] = cross, cross.transpose(0, 2, 1)
            steep = slope.reshape(frames, JAW_AXES, -1)
            gram[:, size:, size:] = steep @ steep.transpose(0, 2, 1)
            right = np.concatenate([miss.reshape(frames, -1) @ flat.T,
                                    np.einsum("tjm,tm->tj", steep, miss.reshape(frames, -1))], axis=1)
            near, count = _neighbours(x)
            right += smooth * (near - count * x) - hold * x
            gram[:, np.arange(size + JAW_AXES), np.arange(size + JAW_AXES)] += hold + smooth * count
            x = x + np.linalg.solve(gram, right[:, :, None])[:, :, 0]
            x[:, :size] = np.clip(x[:, :size], -p.limit, p.limit)
            x[:, size:] = np.clip(x[:, size:], -p.jaw_limit, p.jaw_limit)
        at, _ = self._jaw(x)
        residual = np.sqrt(((wanted - at) ** 2).sum(axis=2).mean(axis=1)) * 1000
        return FlameTrack(x[:, :size], self._pose(x[:, size:], weights), residual)

    def _jaw(self, x: Doubles) -> tuple[Doubles, Doubles]:
        """Displacement of the points for these parameters [T, N, 3] and its slope by the jaw [T, 3, N, 3]."""
        size = self.flame.size
        still = self.rest + np.einsum("te,nke->tnk", x[:, :size], self.flame.expressions[self.points])
        at = self._bent(still, x[:, size:])
        step = 1e-4
        slopes = []
        for axis in range(JAW_AXES):
            bumped = x[:, size:].copy()
            bumped[:, axis] += step
            slopes.append((self._bent(still, bumped) - at) / step)
        return at - self.rest, np.stack(slopes, axis=1)

    def _bent(self, still: Doubles, jaw: Doubles) -> Doubles:
        """Only the jaw turns: skinning of two bones, with its pose correctives."""
        turn = rotation_matrices(jaw).astype(np.float64)
        joint, share = self.flame.joints[JAW], self.flame.weights[self.points, JAW][:, None]
        correctives = self.flame.pose_correctives[9:18].reshape(9, -1, 3)[:, self.points]
        moved = still + np.einsum("tp,pnk->tnk", (turn - np.eye(3)).reshape(len(turn), 9), correctives)
        turned = np.einsum("tab,tnb->tna", turn, moved - joint) + joint
        bent: Doubles = moved + share * (turned - moved)
        return bent

    def _pose(self, jaw: Doubles, weights: Doubles) -> Doubles:
        pose = np.zeros((len(weights), 5, 3))
        pose[:, JAW] = jaw
        for column, name in enumerate(self.channels):
            if name in GAZE:
                joint, axis, angle = GAZE[name]
                pose[:, joint, axis] += angle * weights[:, column]
        return pose

    # ---- FLAME -> ARKit ---------------------------------------------------------------------------------------

    def to_arkit(self, expression: Doubles, pose: Doubles, solving: Solving | None = None) -> tuple[Doubles, Doubles]:
        """Weights [T, C] and residual in millimetres [T]."""
        x = np.concatenate([expression, pose[:, JAW]], axis=1)
        moved, _ = self._jaw(x)
        flat = self.motion.reshape(len(self.channels), -1)
        weights = box_least_squares(flat @ flat.T, moved.reshape(len(x), -1) @ flat.T, np.zeros(len(flat)),
                                    np.where(np.abs(flat).max(axis=1) > 1e-7, 1.0, 0.0),
                                    solving or Solving(1e-5, 1e-4))
        for column, name in enumerate(self.channels):
            if name in GAZE:
                joint, axis, angle = GAZE[name]
                weights[:, column] = np.clip(pose[:, joint, axis] / angle, 0, 1)
        left = moved - np.einsum("tc,cnk->tnk", weights, self.motion)
        return weights, np.sqrt((left**2).sum(axis=2).mean(axis=1)) * 1000

    def channel_residuals(self) -> dict[str, float]:
        """Millimetres that FLAME misses of each ARKit shape at weight 1."""
        track = self.to_flame(np.eye(len(self.channels)), Prior(smooth=0.0))
        return {name: float(r) for name, r in zip(self.channels, track.residual_mm, strict=True)}

    # ---- streaming --------------------------------------------------------------------------------------------

    def linear_map(self, samples: int = 2000, seed: int = 0) -> LinearMap:
        """One matrix for streams, from solved samples of speech-like weights."""
        weights = speech_like(samples, self.channels, seed)
        track = self.to_flame(weights, Prior(smooth=0.0))
        target = np.concatenate([track.expression, track.pose[:, JAW:].reshape(samples, -1)], axis=1)
        gram = weights.T @ weights + 1e-3 * samples / 100 * np.eye(len(self.channels))
        return LinearMap(self.channels, self.flame.size, np.linalg.solve(gram, weights.T @ target).astype(np.float32))


@dataclass(frozen=True, eq=False)
class LinearMap:
    """weights [T, C] -> expression coefficients and jaw and eye rotations, frame by frame."""

    channels: tuple[str, ...]
    size: int
    matrix: NDArray[np.float32]  # [C, E + 9]

    def __call__(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        mapped: NDArray[np.float32] = weights @ self.matrix
        return mapped


def speech_like(frames: int, channels: Sequence[str], seed: int = 0) -> Doubles:
    """Weights that move as in speech: a few channels at a time, the jaw most, opposites never together."""
    random = np.random.default_rng(seed)
    weights = np.zeros((frames, len(channels)))
    time = np.arange(frames)
    for column in range(len(channels)):
        rate, phase = random.uniform(6, 25), random.uniform(0, 2 * np.pi)
        wave = np.sin(time / rate + phase) * np.sin(time / (3.7 * rate) + phase * 2)
        weights[:, column] = np.clip(wave - 0.35, 0, 1) * random.uniform(0.4, 1.0)
    names = list(channels)
    for one, other in (("eyeLookUp", "eyeLookDown"), ("eyeLookIn", "eyeLookOut"), ("eyeBlink", "eyeWide")):
        for side in ("Left", "Right"):
            if one + side in names and other + side in names:
                weights[:, names.index(other + side)] = 0
    if "jawOpen" in names and "mouthClose" in names:
        jaw = names.index("jawOpen")
        weights[:, names.index("mouthClose")] = np.minimum(weights[:, names.index("mouthClose")], weights[:, jaw])
    return weights


def _neighbours(x: Doubles) -> tuple[Doubles, Doubles]:
    """Sum of the frames before and after, and how many there are."""
    near, count = np.zeros_like(x), np.zeros((len(x), 1))
    near[1:] += x[:-1]
    near[:-1] += x[1:]
    count[1:] += 1
    count[:-1] += 1
    return near, count


def flame_like(head: Head, size: int = 50) -> Flame:
    """A stand-in for FLAME made of a head's own face: for trials of the solver where FLAME's file is not at hand.

    Expressions are the main directions of the head's shapes after the jaw's rotation is taken out; the jaw is a joint.
    """
    face = head.parts[0]
    names = tuple(face.shapes)
    unit = head.metres_per_unit
    points = face.vertices.astype(np.float64) * unit
    moves = np.zeros((len(names), len(points), 3))
    for row, name in enumerate(names):
        moves[row, face.shapes[name].index] = face.shapes[name].offsets * unit
    joint = np.array(head.joints[head.joint("jaw")].position) * unit
    share = np.zeros(len(points))
    if face.joint_index is not None and face.joint_weight is not None:
        share = np.where(face.joint_index == head.joint("jaw"), face.joint_weight, 0).sum(axis=1)
    turn = rotation_matrices(np.array([0.44, 0, 0])).astype(np.float64)
    moves[names.index("jawOpen")] -= share[:, None] * ((points - joint) @ (turn.T - np.eye(3)))
    _, strength, directions = np.linalg.svd(moves.reshape(len(names), -1), full_matrices=False)
    basis = directions[:size] * (strength[:size, None] / np.sqrt(len(names)))
    weights = np.zeros((len(points), 5))
    weights[:, JAW], weights[:, 1] = share, 1 - share
    eye = np.array([0.03, 0.04, 0.07])
    joints = np.stack([joint * 0, joint * 0, joint, joint + eye, joint + eye * [-1, 1, 1]])
    expressions = basis.reshape(-1, len(points), 3).transpose(1, 2, 0)
    return Flame(points, face.triangles, expressions, np.zeros((36, points.size)), joints, weights)
