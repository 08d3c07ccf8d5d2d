"""A batch of two slides, a stopped run, a tile store and weights, made once with the engine double."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.segment import fakes
from wsi_nucssl.batch import Batch
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.ledger import Ledger
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.segment.executor import SlideProgress
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.outputs import outputs
from wsi_nucssl.segment.plan import make_plan
from wsi_nucssl.segment.run import Steps, segment_slide
from wsi_nucssl.segment.slides import first_outputs, segment_slides
from wsi_nucssl.slide import open_slide
from wsi_nucssl.tiles.ingest import TileConfig, ingest
from wsi_nucssl.verification.examination import Verification

SAMPLE = Path(__file__).parent.parent.parent / "sample_slides" / "sample.svs"
FORMATS = ("geojson", "csv", "parquet", "zarr", "h5ad", "spatialdata.zarr")
STEPS = Steps(
    open_engine=lambda *_: fakes.DarkIsNucleus(), make_plan=partial(make_plan, core=192, block_px=384)
)
"""Small windows, so that a small slide has many."""


@dataclass(frozen=True)
class World:
    """What there is, in a folder of its own.

    Attributes
    ----------
    slides, batch, store, stopped : Path
        A folder of two slides, the folder of their outputs, a tile store of the first, a run of it that was stopped.
    weights : Path
        Of the double.
    """

    slides: Path
    batch: Path
    store: Path
    stopped: Path
    weights: Path

    @classmethod
    def below(cls, root: Path) -> World:
        return cls(
            root / "slides",
            root / "batch",
            root / "tiles" / "one.zarr",
            root / "stopped" / "one.geojson.run",
            root / "double.safetensors",
        )

    @property
    def one(self) -> Path:
        return self.slides / "one.tif"


class StoppedByTest(Exception):
    pass


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    world = World.below(root)
    for folder in (world.slides, world.batch, world.store.parent, world.stopped.parent):
        folder.mkdir()
    with open_slide(SAMPLE) as slide:
        for name, x in (("one", 1000), ("two", 1400)):
            fakes.write_slide(world.slides / f"{name}.tif", slide.read_level(0, Box(x, 1000, x + 700, 1500)))
    info = fakes.model().info
    save_model(world.weights, build(info.arch), info, "int8")
    model = load_model(world.weights)
    _segment(world, model)
    _stop(world, model)
    with open_slide(world.one) as slide:
        ingest(slide, world.store, TileConfig(Mpp.square(0.25), 128, 0.1), workers=1)
    return root


def _segment(world: World, model: Model) -> None:
    def fail(_: object, error: Exception) -> None:
        raise error

    targets = outputs([world.one, world.slides / "two.tif"], world.batch, FORMATS)
    segment_slides(
        targets,
        model,
        SegmentOptions(),
        on_slide=lambda _: lambda _: None,
        on_summary=lambda *_: None,
        on_failure=fail,
        steps=STEPS,
        batch=Batch(first_outputs(targets), Ledger(world.batch)),
    )


def _stop(world: World, model: Model) -> None:
    """Stop a run when its blocks are there and its output is not."""

    def stop(progress: SlideProgress) -> None:
        if progress.blocks_done == progress.blocks:
            raise StoppedByTest

    output = world.stopped.with_name("one.geojson")
    with pytest.raises(StoppedByTest):
        segment_slide(world.one, output, model, SegmentOptions(), on_progress=stop, steps=STEPS)


@pytest.fixture
def world(made: Path, tmp_path: Path) -> World:
    """A copy to damage. The ledger's paths lead to the slides of the copy."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    table = tmp_path / "batch" / "batch.csv"
    table.write_text(table.read_text().replace(str(made), str(tmp_path)))
    return World.below(tmp_path)


@pytest.fixture
def verify() -> Callable[..., Verification]:
    """`wn.verify` with the engine double for repairs."""
    from wsi_nucssl.jobs.verifying import verify as run

    def verified(*paths: Path, **options: Any) -> Verification:
        return run(paths, steps=STEPS, **options)

    return verified
