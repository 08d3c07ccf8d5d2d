"""Windows that were promised and are not there: waited for, given back, predicted again."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from wsi_nucssl.cluster import tasks
from wsi_nucssl.cluster.facts import Facts, NetworkSpec
from wsi_nucssl.cluster.work import SlideSpec, SourceSpec, appears
from wsi_nucssl.geometry import Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.schema import UNTYPED
from wsi_nucssl.segment.probabilities import ProbabilityStore
from wsi_nucssl.segment.windows import window_grid
from wsi_nucssl.slide.part import PartChoice


@pytest.fixture
def spec(tmp_path: Path) -> SlideSpec:
    """Four windows of one block."""
    return SlideSpec(
        source=SourceSpec(tmp_path / "slide.tif", "", "tiff", PartChoice(), 1.0, 1.0),
        network=NetworkSpec(tmp_path / "weights", "", "cpu", "openvino", 1),
        facts=Facts("", "", "", 0, 1, ""),
        store=tmp_path / "windows.zarr",
        blocks=tmp_path / "blocks",
        grid=window_grid(Size(384, 384), core=192),
        schema=UNTYPED,
        config=InstanceConfig(),
        batch_size=1,
        filled=False,
        token=str(tmp_path),
    )


@pytest.fixture
def store(spec: SlideSpec) -> ProbabilityStore:
    """The head's, with all four windows."""
    made = ProbabilityStore(spec.store, spec.grid, tuple(spec.grid))
    side = spec.grid.tile.width + 2 * spec.grid.blend
    for tile in spec.grid:
        made.write(tile, np.full((len(spec.schema.stored), side, side), 7, np.uint8))
    return made


def chunk(spec: SlideSpec) -> Path:
    return spec.store / "c" / "1" / "0" / "0" / "0" / "0"


def extracted(spec: SlideSpec, store: ProbabilityStore) -> tasks.Extracted:
    """What a worker says of the one block."""
    (block,) = TileGrid(Size(384, 384), Size(384, 384))
    spec.blocks.mkdir(exist_ok=True)
    return tasks.extract(spec, block, tuple(spec.grid), store.noted(block.core))


@pytest.mark.parametrize("harm", ["gone", "of another place"])
def test_a_window_that_is_not_there_is_given_back_and_predicted_again(
    spec: SlideSpec, store: ProbabilityStore, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "SEEN_AFTER_S", 0.2)
    kept = chunk(spec).read_bytes()
    if harm == "gone":
        chunk(spec).unlink()
    else:
        chunk(spec).write_bytes(kept[:-4] + b"else")
    assert extracted(spec, store) == tasks.Extracted(None, ((1, 0),))
    assert [(tile.row, tile.col) for tile in store.forget([(1, 0)])] == [(1, 0)]
    assert [(tile.row, tile.col) for tile in store.missing()] == [(1, 0)]
    assert not chunk(spec).exists()
    side = spec.grid.tile.width + 2 * spec.grid.blend
    store.write(spec.grid.at(1, 0), np.full((len(spec.schema.stored), side, side), 7, np.uint8))
    assert chunk(spec).read_bytes() == kept
    assert extracted(spec, store).nuclei is not None


def test_a_window_that_a_shared_file_system_shows_late_is_waited_for(
    spec: SlideSpec, store: ProbabilityStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "SEEN_AFTER_S", 20.0)
    kept = chunk(spec).read_bytes()
    chunk(spec).unlink()
    late = threading.Timer(0.5, chunk(spec).write_bytes, [kept])
    late.start()
    begun = time.monotonic()
    assert extracted(spec, store).nuclei is not None
    assert time.monotonic() - begun >= 0.3
    late.join()


def test_a_file_that_never_appears_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    assert not appears(tmp_path / "a", 0.1)
    assert not appears(tmp_path / "no folder" / "a", 0.1)
    (tmp_path / "a").touch()
    assert appears(tmp_path / "a", 0.0)
