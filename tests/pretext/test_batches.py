from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.pretext.batches import PretextBatches
from wsi_nucssl.pretext.groups import TileSettings
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.preview import contact_sheet
from wsi_nucssl.pretext.settings import ShortcutAugmentation, TaskSettings
from wsi_nucssl.pretext.sources import open_source
from wsi_nucssl.pretext.tasks import TASKS, build_task
from wsi_nucssl.pretext.triplet_rank import TripletRank


@pytest.mark.parametrize("name", TASKS.own_names[2:])
def test_tiles_of_several_sizes_share_a_batch_and_no_view_shows_the_padding(
    tmp_path: Path, name: str
) -> None:
    for side in (130, 190, 256):
        cv2.imwrite(str(tmp_path / f"{side}.png"), np.full((side, side, 3), 200, np.uint8))
    with open_source([tmp_path], TileSettings(tile_px=256)) as source:
        batches = PretextBatches(source, build_task(name, TaskSettings(view_px=96)), 6, 0)
        batch = batches.batch(0)
        views = batches.views(batch)
    assert batch["tiles"].shape == (6, 3, 256, 256)
    assert len({int(tile.sum()) for tile in batch["tiles"]}) == 3
    assert float(views.images.std(dim=(2, 3)).max()) == 0.0


def test_views_of_a_batch_do_not_depend_on_the_number_of_threads(monuseg: Path) -> None:
    with open_source([monuseg / "images"], TileSettings(tile_px=250)) as source:
        batches = PretextBatches(source, TripletRank(TaskSettings(view_px=96)), 2, 3)
        with ThreadPoolExecutor(4) as pool:
            threaded = list(pool.map(batches.batch, range(6)))
        for index, batch in enumerate(threaded):
            again = batches.batch(index)
            assert all(np.array_equal(batch[name], again[name]) for name in again)


@pytest.mark.parametrize("deshortcut", [False, True])
def test_a_contact_sheet_shows_the_tile_and_three_views(monuseg: Path, deshortcut: bool) -> None:
    settings = TaskSettings(view_px=96, deshortcut=ShortcutAugmentation(enabled=deshortcut))
    with open_source([monuseg / "images"], TileSettings(tile_px=250)) as source:
        sheet = contact_sheet(PretextBatches(source, TripletRank(settings), 2, 0))
    assert sheet.shape == (2 * 232, 4 * 232, 3)
    assert sheet.dtype == np.uint8


def test_decorrelation_weighs_the_mean_redundancy_of_the_five_maps(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "tile.png"), noise)
    task = TripletRank(TaskSettings(view_px=64))
    encoder = build_encoder("resnet18")
    model = PretextModel(encoder, task.head(encoder.channels))
    with open_source([tmp_path], TileSettings(tile_px=256)) as source, torch.no_grad():
        plain, weighed = (PretextBatches(source, task, 2, 0, decorrelation=weight) for weight in (0.0, 3.0))
        before, logged = plain.loss(model, plain.batch(0))
        after, again = weighed.loss(model, weighed.batch(0))
    redundancies = [float(logged[f"redundancy_{level}"]) for level in range(1, 6)]
    assert all(value > 0 for value in redundancies)
    assert float(after - before) == pytest.approx(3 * np.mean(redundancies), rel=1e-4)
    assert logged.keys() == again.keys()
