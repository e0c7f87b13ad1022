"""What cameras, files and detectors do to faces, drawn for each picture: quick enough for training on a CPU.

All draws come from torch's generator, so that a seed repeats them.
"""

import torch
from torch import Tensor
from torch.nn import functional

from sentio.affect.backbones.aligned import LUMA

GREY_P, COARSE_P, NOISE_P, COVER_P, SHADE_P = 0.25, 0.5, 0.4, 0.25, 0.5
BENDS, BEND = 5, 0.02
"""Places along a side that are shifted on their own, and how far (deviation, of half the side): no two faces are built
alike."""
GROUPS = 4
"""Parts of a batch that share the draw of what cannot be drawn for each picture alone: how coarse it becomes."""
MIRRORED = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip
"""The landmark on the other side of the face of each of the 68."""


@torch.no_grad()
def distort(faces: Tensor, marks: Tensor, size: int, strength: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Moved, mirrored, coarser, darker, greyer, noisier, partly covered faces, and where their landmarks then are.

    Args:
        faces: (N, 3, H, W) RGB in [0, 1].
        marks: (N, 68, 2) x and y of the usual 68 landmarks, -1 at the left and upper edges, 1 at the others.
        size: side of the results.
        strength: 0 only mirrors and resizes; 1 is everything.

    Returns:
        (N, 3, size, size) in [0, 1]; (N, 68, 2) landmarks on the same scale, each again of the side that its number
        means; (N,) bool, which are mirrored.
    """
    matrix, mirrored = _moves(len(faces), strength, faces.device)
    field = BEND * strength * torch.randn(len(faces), 2, BENDS, BENDS, device=faces.device)
    grid = functional.affine_grid(matrix, [len(faces), 3, size, size], align_corners=False)
    grid = grid + functional.interpolate(field, (size, size), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    result = functional.grid_sample(faces, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    result = _coloured(result, strength)
    result = _shaded(_coarse(result, strength), strength)
    back = torch.linalg.inv(matrix[:, :, :2])
    moved = torch.einsum("nij,nkj->nki", back, marks - matrix[:, None, :, 2])
    bent = functional.grid_sample(field, moved[:, None], mode="bicubic", padding_mode="border", align_corners=False)
    moved = moved - torch.einsum("nij,njk->nki", back, bent[:, :, 0])  # to first order: bends are small
    moved = torch.where(mirrored[:, None, None], moved[:, MIRRORED], moved)
    return _noisy(_covered(result, strength), strength).clamp(0, 1), moved, mirrored


def _moves(N: int, strength: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """(N, 2, 3) from places in the result to places in the face: turned, zoomed, stretched, shifted, as an inexact
    alignment leaves faces; and (N,) which are mirrored."""
    angle = 0.12 * strength * torch.randn(N, device=device)
    zoom = torch.exp(strength * (0.08 * torch.randn(N, device=device) - 0.02))
    stretch = torch.exp(0.05 * strength * torch.randn(N, device=device))
    mirrored = torch.rand(N, device=device) < 0.5
    shift = 0.05 * strength * torch.randn(N, 2, device=device)
    cos, sin, side = torch.cos(angle) / zoom, torch.sin(angle) / zoom, 1 - 2 * mirrored.float()
    rows = [side * cos * stretch, -side * sin, shift[:, 0], sin * stretch, cos, shift[:, 1]]
    return torch.stack(rows, 1).view(N, 2, 3), mirrored


def _coloured(faces: Tensor, strength: float) -> Tensor:
    """Gamma, contrast, brightness, colour cast, saturation; some without colour."""
    N = len(faces)

    def column(*shape: int) -> Tensor:
        return torch.randn(N, *(shape or (1, 1, 1)), device=faces.device) * strength

    faces = faces.clamp(1e-3, 1) ** torch.exp(0.3 * column())
    luma = torch.einsum("nchw,c->nhw", faces, faces.new_tensor(LUMA))[:, None]
    saturation = torch.exp(0.3 * column()) * (torch.rand(N, 1, 1, 1, device=faces.device) >= GREY_P * strength)
    faces = luma + (faces - luma) * saturation
    faces = faces * torch.exp(0.08 * column(3, 1, 1))
    middle = luma.mean((2, 3), keepdim=True)
    return (faces - middle) * torch.exp(0.25 * column()) + middle + 0.08 * column()


def _coarse(faces: Tensor, strength: float) -> Tensor:
    """Of few pixels, as faces far away are, or as a small file leaves them."""
    size = faces.shape[-1]
    parts = []
    for part in faces.chunk(GROUPS):
        if torch.rand(()) < COARSE_P * strength:
            side = int(size * (0.3 + 0.6 * torch.rand(())))
            small = functional.interpolate(part, (side, side), mode="bilinear", antialias=True, align_corners=False)
            part = functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)
        parts.append(part)
    return torch.cat(parts)


def _shaded(faces: Tensor, strength: float) -> Tensor:
    """Light from one side: a ramp over the picture."""
    N, size, here = len(faces), faces.shape[-1], faces.device
    angle = 2 * torch.pi * torch.rand(N, 1, 1, device=here)
    line = torch.linspace(-1, 1, size, device=here)
    ramp = torch.cos(angle) * line[None, :, None] + torch.sin(angle) * line[None, None]
    depth = strength * 0.5 * torch.rand(N, 1, 1, device=here) * (torch.rand(N, 1, 1, device=here) < SHADE_P)
    return faces * (1 + depth * ramp)[:, None]


def _covered(faces: Tensor, strength: float) -> Tensor:
    """A rectangle of some colour before the face."""
    N, size, here = len(faces), faces.shape[-1], faces.device
    place = torch.arange(size, device=here) / size
    middle, half = torch.rand(2, N, 1, device=here), 0.05 + 0.15 * torch.rand(2, N, 1, device=here)
    inside = (place - middle).abs() < half
    some = torch.rand(N, 1, 1, 1, device=here) < COVER_P * strength
    cover = (inside[0][:, :, None] & inside[1][:, None])[:, None] & some
    return torch.where(cover, torch.rand(N, 3, 1, 1, device=here), faces)


def _noisy(faces: Tensor, strength: float) -> Tensor:
    """Grain."""
    N, here = len(faces), faces.device
    some = torch.rand(N, 1, 1, 1, device=here)
    level = 0.05 * strength * some * (torch.rand(N, 1, 1, 1, device=here) < NOISE_P)
    return faces + level * torch.randn(faces.shape, device=here)
