"""How much of the answer resampling gives away, on real tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wsi_nucssl.pretext.batches import PretextBatches
from wsi_nucssl.pretext.groups import TileSettings
from wsi_nucssl.pretext.settings import Deshortcut, TaskSettings
from wsi_nucssl.pretext.sources import open_source
from wsi_nucssl.pretext.triplet_rank import TripletRank

LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]


def share_ordered_by_laplacian_variance(images: Path, *, deshortcut: bool) -> float:
    """Share of triplets whose positive has the larger Laplacian variance."""
    settings = TaskSettings(view_px=256, deshortcut=Deshortcut(enabled=deshortcut))
    with open_source([images], TileSettings(tile_px=333)) as source:
        views = PretextBatches(source, TripletRank(settings), 60, 0)
        seen = views.views(views.batch(0)).images.mean(dim=1, keepdim=True)
    variance = F.conv2d(seen, LAPLACIAN).var(dim=(1, 2, 3))
    _, positive, negative = variance.chunk(3)
    return float((positive > negative).float().mean())


def test_one_number_solves_the_plain_task_and_hardly_helps_without_the_shortcut(monuseg: Path) -> None:
    assert share_ordered_by_laplacian_variance(monuseg / "images", deshortcut=False) > 0.97
    assert share_ordered_by_laplacian_variance(monuseg / "images", deshortcut=True) < 0.65


def test_views_of_a_batch_do_not_depend_on_the_number_of_threads(monuseg: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with open_source([monuseg / "images"], TileSettings(tile_px=250)) as source:
        batches = PretextBatches(source, TripletRank(TaskSettings(view_px=96)), 2, 3)
        with ThreadPoolExecutor(4) as pool:
            threaded = list(pool.map(batches.batch, range(6)))
        for index, batch in enumerate(threaded):
            again = batches.batch(index)
            assert all(np.array_equal(batch[name], again[name]) for name in again)


@pytest.mark.parametrize("deshortcut", [False, True])
def test_a_contact_sheet_shows_the_tile_and_three_views(monuseg: Path, deshortcut: bool) -> None:
    from wsi_nucssl.pretext.preview import contact_sheet

    settings = TaskSettings(view_px=96, deshortcut=Deshortcut(enabled=deshortcut))
    with open_source([monuseg / "images"], TileSettings(tile_px=250)) as source:
        sheet = contact_sheet(PretextBatches(source, TripletRank(settings), 2, 0))
    assert sheet.shape == (2 * 232, 4 * 232, 3)
    assert sheet.dtype == np.uint8
