"""How far a projected head's outline is from masks of the head in pictures: a loss for gradient descent on torch.

Two ways to the same end. `SoftMasks` draws the mesh as pytorch3d's soft silhouette and compares pixels; it is used
where pytorch3d is installed. `DistanceMasks` needs torch alone: no vertex may lie outside the mask, and each point of
the mask's outline wants a vertex near it. Both take vertices in the masks' pixels (x right, y down) and give pixels;
neither knows a head, weights or files.
"""

from __future__ import annotations

from typing import Any

import numpy as np

OUTLINE = 160  # points of a mask's outline that are looked at
PULL_CAP = 12.0  # pixels: hair, hands and shoulders that no vertex explains pull no harder than this
FEW = 10.0  # most vertices are never near the outline: those that cross it weigh more
SOFT_SIDE, SOFT_SIGMA, SOFT_FACES = 96, 1e-4, 20  # pytorch3d: picture's side, blur in its units, faces a pixel


def has_pytorch3d() -> bool:
    """Whether pytorch3d can be imported (a broken build counts as none)."""
    try:
        import pytorch3d.renderer  # noqa: F401
    except Exception:  # a build for another torch fails with whatever its library raises
        return False
    return True


class DistanceMasks:
    """Pure torch. masks: [T, H, W], True on the head."""

    def __init__(self, masks: Any) -> None:
        import torch

        self._torch = torch
        masks = np.asarray(masks, bool)
        self._height, self._width = masks.shape[1:]
        self._away = torch.tensor(np.stack([_distance_outside(mask) for mask in masks]))[:, None]
        self._outline = torch.tensor(np.stack([_outline(mask) for mask in masks]))
        self._seen = torch.tensor(masks.any(axis=(1, 2)).astype(np.float32))  # an empty mask says nothing

    def loss(self, places: Any) -> Any:
        """The mean over the frames of `losses`."""
        return self.losses(places).mean()

    def losses(self, places: Any) -> Any:
        """places: [T, V, 2] in pixels -> [T], the mean distance that is missing, in pixels."""
        functional = self._torch.nn.functional
        size = places.new_tensor([self._width, self._height])
        # pixel k has its middle at k + 0.5; what lies outside the picture counts as its border
        grid = (places / size * 2 - 1)[:, None]
        outside = functional.grid_sample(self._away, grid, mode="bilinear", padding_mode="border", align_corners=False)
        inside = outside[:, 0, 0].clamp(max=PULL_CAP).mean(dim=1) * FEW
        with self._torch.no_grad():  # which vertex is nearest; gradients of all distances would take ten times as long
            nearest = self._torch.cdist(self._outline, places).argmin(dim=2)
        found = places.gather(1, nearest[..., None].expand(-1, -1, 2))
        near = ((found - self._outline).square().sum(dim=2) + 1e-6).sqrt().clamp(max=PULL_CAP)
        return (inside + near.mean(dim=1)) * self._seen


class SoftMasks:
    """pytorch3d's soft silhouette. triangles: [F, 3]."""

    def __init__(self, masks: Any, triangles: Any) -> None:
        import torch
        from pytorch3d.renderer import BlendParams, RasterizationSettings

        self._torch = torch
        masks = torch.tensor(np.asarray(masks, np.float32))[:, None]
        self._height, self._width = masks.shape[2:]
        side = max(self._height, self._width)  # pytorch3d's picture is square
        masks = torch.nn.functional.pad(masks, (0, side - self._width, 0, side - self._height))
        self._masks = torch.nn.functional.interpolate(masks, size=(SOFT_SIDE, SOFT_SIDE), mode="area")[:, 0]
        self._side, self._pixel = side, side / SOFT_SIDE
        self._triangles = torch.tensor(np.asarray(triangles, np.int64))
        self._blend = BlendParams(sigma=SOFT_SIGMA)
        self._settings = RasterizationSettings(
            image_size=SOFT_SIDE, blur_radius=float(np.log(1 / 1e-4 - 1) * SOFT_SIGMA), faces_per_pixel=SOFT_FACES,
            bin_size=0)

    def drawn(self, places: Any) -> Any:
        """How much of each pixel the head covers: [T, side, side], 0 to 1."""
        from pytorch3d.renderer.blending import sigmoid_alpha_blend
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes

        torch = self._torch
        # its x grows to the left and its y upwards, from -1 to 1; what is covered matters, not what is nearer
        flat = 1 - places / self._side * 2
        solid = torch.cat([flat, torch.ones_like(flat[..., :1])], dim=-1)
        meshes = Meshes(verts=list(solid), faces=[self._triangles] * len(solid))
        s = self._settings
        found = rasterize_meshes(meshes, image_size=s.image_size, blur_radius=s.blur_radius,
                                 faces_per_pixel=s.faces_per_pixel, bin_size=s.bin_size)
        fragments = _Fragments(*found)
        return sigmoid_alpha_blend(torch.ones_like(fragments.bary_coords), fragments, self._blend)[..., 3]

    def loss(self, places: Any) -> Any:
        """The mean over the frames of `losses`."""
        return self.losses(places).mean()

    def losses(self, places: Any) -> Any:
        """Pixels that differ [T], as the width of a band along the outline."""
        wrong = (self.drawn(places) - self._masks).square().sum(dim=(1, 2))
        around = self._masks.sum(dim=(1, 2)).sqrt() * 3.5  # a disk's outline is 3.54 times the root of its area
        return wrong / around.clamp(min=1.0) * (around > 0) * self._pixel


class _Fragments:
    """What pytorch3d's blending reads of a rasterised mesh."""

    def __init__(self, pix_to_face: Any, zbuf: Any, bary_coords: Any, dists: Any) -> None:
        self.pix_to_face, self.zbuf, self.bary_coords, self.dists = pix_to_face, zbuf, bary_coords, dists


def _distance_outside(mask: Any) -> Any:
    """Pixels from each pixel to the mask; 0 on it."""
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    return distance_transform_edt(~mask).astype(np.float32)


def _outline(mask: Any) -> Any:
    """Middles of pixels on the mask's border [OUTLINE, 2], evenly among them; the picture's own border is none."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    rows, columns = np.nonzero(mask & ~inner)
    if not len(rows):
        return np.zeros((OUTLINE, 2), np.float32)
    turn = np.argsort(np.arctan2(rows - rows.mean(), columns - columns.mean()))
    chosen = turn[np.linspace(0, len(turn) - 1, OUTLINE).round().astype(int)]
    return np.stack([columns[chosen] + 0.5, rows[chosen] + 0.5], axis=1).astype(np.float32)
