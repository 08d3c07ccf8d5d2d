"""What scanners and files do to a picture: coarse scanning, blur, the network's own mpp, sharpening, noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wsi_nucssl.train.augment.draws import Draws, to_device, white_noise
from wsi_nucssl.train.augment.separable import apply, coarsenings, gaussians, halving

if TYPE_CHECKING:
    from wsi_nucssl.train.recipe import Augmentation

_COARSEST, _FINEST = 2.0, 1.2
"""Times the mpp that a coarse scanner has."""
_MOST_BLUR_PX: Final = 1.5
_MOST_MASK_PX: Final = 1.2
_QUANTISATION: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""ITU-T T.81, table K.1."""
_YCBCR: Final = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


def coarsen(view: Tensor, settings: Augmentation, draws: Draws) -> Tensor:
    """Some of the views (N, 3, S, S) as a scanner of up to twice the mpp would have seen them."""
    size = view.shape[-1]
    sides = np.rint(size / draws.uniform(_FINEST, _COARSEST)).astype(np.int64)
    chosen = np.flatnonzero(draws.random() < settings.coarse_p)
    if not len(chosen):
        return view
    matrices = coarsenings(to_device(sides[chosen], view.device), size, round(size / _FINEST))
    return _changed(view, chosen, matrices)


def blur(view: Tensor, settings: Augmentation, draws: Draws) -> Tensor:
    """Some of the views (N, 3, S, S) out of focus."""
    sigmas = draws.uniform(0.3, _MOST_BLUR_PX)
    chosen = np.flatnonzero(draws.random() < settings.blur_p)
    if not len(chosen):
        return view
    matrices = gaussians(to_device(sigmas[chosen], view.device), view.shape[-1], _MOST_BLUR_PX)
    return _changed(view, chosen, matrices)


def sharpen(view: Tensor, settings: Augmentation, draws: Draws) -> Tensor:
    """Some of the views (N, 3, S, S) sharpened by an unsharp mask, as many scanners do on their own."""
    sigmas, amounts = draws.uniform(0.6, _MOST_MASK_PX), draws.uniform(0.3, 1.2)
    chosen = np.flatnonzero(draws.random() < settings.sharpen_p)
    if not len(chosen):
        return view
    where = to_device(chosen, view.device)
    some = view.index_select(0, where)
    soft = apply(gaussians(to_device(sigmas[chosen], view.device), view.shape[-1], _MOST_MASK_PX), some)
    strength = to_device(amounts[chosen], view.device)[:, None, None, None]
    return view.index_copy(0, where, (some + strength * (some - soft)).clamp(0, 255))


def _changed(view: Tensor, chosen: NDArray[np.intp], matrices: Tensor) -> Tensor:
    """The views with the matrices (n, S, S) applied to the chosen n of them."""
    where = to_device(chosen, view.device)
    return view.index_copy(0, where, apply(matrices, view.index_select(0, where)))


def halve(view: Tensor, settings: Augmentation, draws: Draws) -> Tensor:
    """(N, 3, S, S) at twice the mpp: (N, 3, S / 2, S / 2).

    By the triangle filter that slides are resampled with; some by the mean of four px, which is sharper, as slides are
    that were scanned at the mpp that the network sees.
    """
    chosen = (draws.random() < settings.box_p).astype(np.int64)
    boxed = to_device(chosen, view.device).bool()[:, None, None, None]
    soft = apply(halving(view.shape[-1], view.device), view)
    return torch.where(boxed, F.avg_pool2d(view, 2), soft)


def expose(view: Tensor, settings: Augmentation, draws: Draws) -> Tensor:
    """Sensor noise and JPEG on some of the views (N, 3, S, S), in 0 … 255; rounded to bytes: uint8."""
    deviation, quality = draws.uniform(1, 8), draws.uniform(50, 95)
    noisy = np.flatnonzero(draws.random() < settings.noise_p)
    packed = np.flatnonzero(draws.random() < settings.jpeg_p)
    if len(noisy):
        where = to_device(noisy, view.device)
        grain = white_noise((len(noisy), *view.shape[1:]), view.device, draws)
        deviations = to_device(deviation[noisy], view.device)
        view = view.index_add(0, where, grain * deviations[:, None, None, None])
    if len(packed):
        where = to_device(packed, view.device)
        compressed = jpeg(view.index_select(0, where), to_device(quality[packed], view.device))
        view = view.index_copy(0, where, compressed)
    return view.clamp(0, 255).round_().to(torch.uint8)


def jpeg(view: Tensor, quality: Tensor) -> Tensor:
    """What JPEG of a quality (N,) in 1 … 100 leaves of (N, 3, S, S), S a multiple of 8; without chroma subsampling.

    The luminance table serves all three planes, scaled as by the Independent JPEG Group.
    """
    count, _, height, width = view.shape
    codec = _codec(view.device)
    planes = torch.einsum("dc,ncyx->ndyx", codec.to_ycbcr, view)
    planes[:, 0] -= 128
    blocks = planes.reshape(count, 3, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    steps = (codec.table * scale[:, None, None]).round().clamp_min(1)[:, None, None, None]
    coefficients = ((codec.basis @ blocks @ codec.basis.T) / steps).round() * steps
    planes = (codec.basis.T @ coefficients @ codec.basis).permute(0, 1, 2, 4, 3, 5)
    planes = planes.reshape(count, 3, height, width)
    planes[:, 0] += 128
    return torch.einsum("dc,ncyx->ndyx", codec.to_rgb, planes).clamp(0, 255)


@dataclass(frozen=True, slots=True)
class _Codec:
    """Constants of JPEG on a device; `basis` is the orthonormal DCT-II of 8 samples, (8, 8)."""

    to_ycbcr: Tensor
    to_rgb: Tensor
    table: Tensor
    basis: Tensor


@cache
def _codec(device: torch.device) -> _Codec:
    steps = torch.arange(8, dtype=torch.float64)
    basis = torch.cos(torch.pi / 8 * (steps[None, :] + 0.5) * steps[:, None]) / 2
    basis[0] /= 2**0.5
    colours = torch.tensor(_YCBCR, dtype=torch.float64)
    each = colours, torch.linalg.inv(colours), torch.tensor(_QUANTISATION), basis
    return _Codec(*(tensor.float().to(device) for tensor in each))
