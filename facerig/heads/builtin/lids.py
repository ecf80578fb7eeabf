"""Lids that close over the curved eyeball and never cut into it; linings and lashes turn with the lid's edge."""

from __future__ import annotations

import numpy as np

from facerig.heads.builtin.rings import EYE_COLUMNS
from facerig.heads.builtin.skin import EYE_RADIUS, LID_LININGS, LID_RADIUS, Skin, ring_falloff
from facerig.heads.builtin.source import Doubles
from facerig.mesh import Ints

LININGS = len(LID_LININGS)
CLOSED_RADIUS = 1.435  # over the cornea
MEETING = 0.84  # how far down the opening the lids meet: the upper one does most of the way
# Rings of a closed lid that keep their order; the share of their distance that they keep, and its most in cm.
ORDERED, KEPT, MOST_KEPT = 9, 0.4, 0.08
LEAST = EYE_RADIUS + 0.035
LID_SHAPES = ("eyeBlink", "eyeSquint", "eyeWide", "eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut", "cheekSquint")


def fit_lids(skin: Skin, shapes: dict[str, Doubles], eye: Doubles) -> None:
    """Correct every lid shape of the left eye in place: closure, clearance, linings."""
    grid = skin.eyes[0]
    for name in LID_SHAPES:
        delta = shapes[name + "Left"]
        if name == "eyeBlink":
            _close(skin, grid, delta, eye)
        _clear(skin, grid, delta, eye)
        _turn_linings(skin, grid, delta, eye)


def _close(skin: Skin, grid: Ints, delta: Doubles, eye: Doubles) -> None:
    edge = grid[:, LININGS]
    upper = np.arange(1, EYE_COLUMNS)
    lower = 2 * EYE_COLUMNS - upper
    rest = skin.vertices[edge]
    meet = (1 - MEETING) * rest[upper] + MEETING * rest[lower] - eye
    meet = eye + meet / np.linalg.norm(meet, axis=1, keepdims=True) * CLOSED_RADIUS
    target = rest.copy()
    target[upper], target[lower] = meet + np.array([0, 0.002, 0]), meet - np.array([0, 0.002, 0])
    correction = target - (rest + delta[edge])
    weight = np.zeros(grid.shape[1])
    weight[LININGS : LININGS + 8] = ring_falloff(7)
    delta[grid] += weight[None, :, None] * correction[:, None]
    for columns, side in ((upper, 1.0), (lower, -1.0)):
        _keep_order(skin, grid[columns], delta, side)


def _keep_order(skin: Skin, rows: Ints, delta: Doubles, side: float) -> None:
    """Each ring keeps a share of its distance to the one before: skin must not slide over the other lid or fold."""
    for ring in range(LININGS + 1, LININGS + ORDERED + 1):
        numbers, before = rows[:, ring], rows[:, ring - 1]
        rest = side * (skin.vertices[numbers, 1] - skin.vertices[before, 1])
        least = np.clip(KEPT * rest, 0.004, MOST_KEPT)
        now = side * (skin.vertices[numbers, 1] + delta[numbers, 1] - skin.vertices[before, 1] - delta[before, 1])
        delta[numbers, 1] += side * np.maximum(least - now, 0)


def _clear(skin: Skin, grid: Ints, delta: Doubles, eye: Doubles) -> None:
    """At full and half weight no lid vertex may lie inside the eyeball's surroundings."""
    for ring in range(LININGS, LININGS + 8):
        numbers = grid[:, ring]
        rest = skin.vertices[numbers] - eye
        for share in (1.0, 0.5, 0.75):
            place = rest + share * delta[numbers]
            radius = np.linalg.norm(place, axis=1, keepdims=True)
            own = np.linalg.norm(rest, axis=1, keepdims=True)
            floor = np.minimum(own, LID_RADIUS + 0.02 * (ring - LININGS)) if share == 1.0 else LEAST
            delta[numbers] += place / radius * np.maximum(floor - radius, 0) / share


def _turn_linings(skin: Skin, grid: Ints, delta: Doubles, eye: Doubles) -> None:
    edge = grid[:, LININGS]
    before, after = skin.vertices[edge] - eye, skin.vertices[edge] + delta[edge] - eye
    turns = turns_between(before, after)
    for ring in range(LININGS):
        numbers = grid[:, ring]
        arm = skin.vertices[numbers] - eye
        delta[numbers] = np.einsum("cab,cb->ca", turns, arm) - arm


def turns_between(before: Doubles, after: Doubles) -> Doubles:
    """The smallest rotations [N, 3, 3] that take directions onto directions."""
    a = before / np.linalg.norm(before, axis=1, keepdims=True)
    b = after / np.linalg.norm(after, axis=1, keepdims=True)
    v, c = np.cross(a, b), (a * b).sum(1)
    zero = np.zeros(len(a))
    k = np.stack([zero, -v[:, 2], v[:, 1], v[:, 2], zero, -v[:, 0], -v[:, 1], v[:, 0], zero], -1).reshape(-1, 3, 3)
    turned: Doubles = np.eye(3) + k + k @ k / (1 + c)[:, None, None]
    return turned
