"""Edge loops on the flat map: closed rings of columns around the mouth and the left eye, drawn through landmarks.

A ring is a curve in polar coordinates about the opening's centre; columns are paired above and below the opening at the
same place between its corners, which is what lets lips and lids meet vertex to vertex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from facerig.heads.builtin.chart import Chart, lift
from facerig.heads.builtin.source import Dense, Doubles

MOUTH_COLUMNS = 12  # intervals from the middle to the corner, above and below
LIP_RINGS = 6  # intervals from the line where the lips meet to the border of their red
MOUTH_RINGS = 7  # from there to the outermost ring
INNER_RINGS = 4  # from the meeting line into the mouth
EYE_COLUMNS = 15  # from corner to corner, above and below
EYE_RINGS = 10


@dataclass(frozen=True, eq=False)
class Grid:
    """Flat places [columns, rings, 2]. Rows 0..n are above the opening, n is the (outer) corner, the rest below."""

    places: Doubles
    closed: bool


class Polar:
    """A closed curve about a centre, from a few points: radius as a smooth function of the angle."""

    def __init__(self, centre: Doubles, points: Doubles, even: bool) -> None:
        self.centre = centre
        offset = points - centre
        angle, radius = np.arctan2(offset[:, 1], offset[:, 0]), np.hypot(offset[:, 0], offset[:, 1])
        order = np.argsort(angle)
        angle, radius = angle[order], radius[order]
        if even:  # the left half of a curve that the middle line mirrors
            inner = slice(-2, 0, -1) if np.isclose(angle[-1], np.pi / 2) else slice(None, None, -1)
            angle = np.concatenate([angle, np.pi - angle[inner]])
            radius = np.concatenate([radius, radius[inner]])
        angle = np.concatenate([angle - 2 * np.pi, angle, angle + 2 * np.pi])
        self._radius = PchipInterpolator(angle, np.tile(np.log(radius), 3))

    def radius(self, angle: Doubles) -> Doubles:
        r: Doubles = np.exp(self._radius(angle))
        return r

    def at(self, angle: Doubles) -> Doubles:
        r = self.radius(angle)[..., None]
        place: Doubles = self.centre + r * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return place


def _vertex(chart: Chart, dense: Dense, number: int) -> Doubles:
    """Flat place of one of the 68 points."""
    known = np.isfinite(chart.flat[:, 0])
    distance = ((dense.vertices - dense.points[number]) ** 2).sum(1)
    place: Doubles = chart.flat[np.where(known, distance, np.inf).argmin()]
    return place


def _angles_at(curve: Polar, chart: Chart, dense: Dense, first: float, last: float, places: Doubles) -> Doubles:
    """Angles between first and last where the lifted curve's x has come the given share of the way."""
    angle = np.linspace(first, last, 400)
    x = lift(*chart.locate(curve.at(angle)), dense.vertices)[:, 0]
    share = np.maximum.accumulate((x - x[0]) / (x[-1] - x[0]))
    found: Doubles = np.interp(places, share + np.arange(400) * 1e-9, angle)
    return found


def mouth_grid(chart: Chart, dense: Dense) -> Grid:
    """Columns from the middle above over the left corner to the middle below."""
    hole = chart.flat[chart.mouth]
    centre = np.array([0.0, (hole[:, 1].max() + hole[:, 1].min()) / 2])
    seam = Polar(centre, np.array([_vertex(chart, dense, n) for n in (62, 63, 64, 65, 66)]), even=True)
    border = Polar(centre, np.array([_vertex(chart, dense, n) for n in (51, 52, 53, 54, 55, 56, 57)]), even=True)
    corner = _vertex(chart, dense, 64) - centre
    turn = float(np.arctan2(corner[1], corner[0]))
    share = _tightened(MOUTH_COLUMNS)
    above = _angles_at(seam, chart, dense, np.pi / 2, turn, share)
    below = _angles_at(seam, chart, dense, -np.pi / 2, turn, share)
    inner_angle = np.concatenate([above, below[-2::-1]])
    corner = _vertex(chart, dense, 54) - centre
    outer_angle = _blended(inner_angle, turn, float(np.arctan2(corner[1], corner[0])))
    deep = Polar(centre, hole, even=True)
    far = Polar(centre, np.array(OUTER_MOUTH) + np.array([0, centre[1]]), even=True)
    rows = []
    for k in range(INNER_RINGS):  # from deep inside to the seam
        rows.append(_between(deep, seam, inner_angle, inner_angle, 0.06 + 0.94 * k / INNER_RINGS))
    for k in range(LIP_RINGS):
        rows.append(_between(seam, border, inner_angle, outer_angle, k / LIP_RINGS))
    for k in range(MOUTH_RINGS + 1):
        rows.append(_between(border, far, outer_angle, outer_angle, (k / MOUTH_RINGS) ** 1.15))
    return _on_middle(Grid(np.stack(rows, axis=1), closed=False))


# Reach of the outermost ring, flat, from the mouth's centre: the nose's base, past the cheek's fold, the chin.
OUTER_MOUTH = ((0.0, 0.0315), (0.0145, 0.0285), (0.036, 0.0175), (0.049, -0.004), (0.040, -0.033),
               (0.018, -0.047), (0.0, -0.050))


def _on_middle(grid: Grid) -> Grid:
    grid.places[[0, -1], :, 0] = 0.0
    return grid


def _tightened(count: int) -> Doubles:
    """Shares 0..1 that lie closer together towards the corner."""
    t = np.arange(count + 1) / count
    return t + 0.12 * np.sin(np.pi * t) * t


def _blended(angle: Doubles, old: float, new: float) -> Doubles:
    """Angles whose corner moves from old to new while the middles stay."""
    near = np.exp(-(((angle - old) / 0.7) ** 2))
    moved: Doubles = angle + (new - old) * near
    return moved


def _between(inner: Polar, outer: Polar, first: Doubles, last: Doubles, share: float) -> Doubles:
    """A ring a share of the way (in log radius) from one curve to the other."""
    angle = (1 - share) * first + share * last
    radius = inner.radius(angle) ** (1 - share) * outer.radius(angle) ** share
    place: Doubles = inner.centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return place


def eye_grid(chart: Chart, dense: Dense) -> Grid:
    """Columns from the inner corner over the upper lid to the outer corner and back over the lower lid."""
    hole = chart.flat[chart.eye]
    centre = hole.mean(axis=0)
    lid = Polar(centre, hole, even=False)
    inner, outer = (_vertex(chart, dense, n) - centre for n in (42, 45))
    start, end = float(np.arctan2(inner[1], inner[0])) % (2 * np.pi), float(np.arctan2(outer[1], outer[0]))
    share = _evened(EYE_COLUMNS)
    above = _angles_at(lid, chart, dense, start, end, share)
    below = _angles_at(lid, chart, dense, start - 2 * np.pi, end, share)
    angle = np.concatenate([above, below[-2:0:-1]])
    far = Polar(centre, centre + np.array(OUTER_EYE), even=False)
    rows = [_between(lid, far, angle, angle, (k / EYE_RINGS) ** 1.1) for k in range(EYE_RINGS + 1)]
    return Grid(np.stack(rows, axis=1), closed=True)


OUTER_EYE = ((-0.0185, -0.002), (-0.0150, 0.0120), (-0.006, 0.0185), (0.006, 0.0200), (0.0185, 0.0160),
             (0.0225, 0.0040), (0.0180, -0.0110), (0.006, -0.0190), (-0.006, -0.0185), (-0.0150, -0.0130))


def _evened(count: int) -> Doubles:
    """Shares 0..1, closer together at both corners, where the opening turns."""
    t = np.arange(count + 1) / count
    return 0.55 * t + 0.45 * (1 - np.cos(np.pi * t)) / 2
