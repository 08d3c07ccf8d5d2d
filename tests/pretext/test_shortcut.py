"""How much of the answer resampling gives away, on real tissue."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from wsi_nucssl.pretext.batches import PretextBatches
from wsi_nucssl.pretext.groups import TileSettings
from wsi_nucssl.pretext.settings import ShortcutAugmentation, TaskSettings
from wsi_nucssl.pretext.sources import open_source
from wsi_nucssl.pretext.triplet_rank import TripletRank

LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]


def fraction_ordered_by_laplacian_variance(images: Path, *, deshortcut: bool) -> float:
    """Fraction of triplets whose positive has the larger Laplacian variance."""
    settings = TaskSettings(view_px=256, deshortcut=ShortcutAugmentation(enabled=deshortcut))
    with open_source([images], TileSettings(tile_px=333)) as source:
        views = PretextBatches(source, TripletRank(settings), 60, 0)
        seen = views.views(views.batch(0)).images.mean(dim=1, keepdim=True)
    variance = F.conv2d(seen, LAPLACIAN).var(dim=(1, 2, 3))
    _, positive, negative = variance.chunk(3)
    return float((positive > negative).float().mean())


def test_one_number_solves_the_plain_task_and_hardly_helps_without_the_shortcut(monuseg: Path) -> None:
    assert fraction_ordered_by_laplacian_variance(monuseg / "images", deshortcut=False) > 0.97
    assert fraction_ordered_by_laplacian_variance(monuseg / "images", deshortcut=True) < 0.65
