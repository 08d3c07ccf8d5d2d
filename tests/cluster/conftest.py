"""A slide, what the plain run makes of it, and clusters whose workers have an engine that gets into trouble."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("distributed", reason="dask.distributed is not installed")

from tests.cluster.head import SMALL
from tests.cluster.outer import ROOT, Outer, outer_cluster
from tests.cluster.troubled import FOLDER, POISON, at_work
from tests.outside import installed
from tests.segment import fakes
from wsi_nucssl.cluster.connecting import pool_of
from wsi_nucssl.cluster.executor import steps_on
from wsi_nucssl.cluster.pool import Pool
from wsi_nucssl.engines.registry import ENGINES
from wsi_nucssl.files import sha256_file
from wsi_nucssl.geometry import Box
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.slides import segment_slides
from wsi_nucssl.slide import RGB, open_slide


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Dask leaves sockets to the garbage collector."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def tissue() -> RGB:
    """1100 × 900 px of the sample slide, without glass around."""
    with open_slide(ROOT / "sample_slides" / "sample.svs") as slide:
        return slide.read_level(0, Box(500, 500, 1600, 1400))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides and the site with the engine."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="session", autouse=True)
def _engine(folder: Path) -> Iterator[None]:
    """The engine `troubled`, in this process and all that it starts."""
    site = folder / "site"
    site.mkdir()
    (folder / "troubles").mkdir()
    code = "from tests.cluster.troubled import open_troubled\n"
    with (
        pytest.MonkeyPatch.context() as patch,
        installed(site, ENGINES, "troubled_engine", "troubled = troubled_engine:open_troubled", code),
    ):
        patch.setenv(FOLDER, str(folder / "troubles"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (site, ROOT, ROOT / "cli"))))
        yield


@pytest.fixture(autouse=True)
def troubles(folder: Path, _engine: None) -> Path:
    """The folder of troubles, empty."""
    for each in (folder / "troubles").iterdir():
        each.unlink()
    return folder / "troubles"


@pytest.fixture(scope="session")
def slide(folder: Path, tissue: RGB) -> Path:
    """A slide of 12 windows and some blocks."""
    return fakes.write_slide(folder / "slide.tif", tissue)


@pytest.fixture(scope="session")
def poisoned(folder: Path, tissue: RGB) -> Path:
    """The same with a pixel that its workers die of."""
    image = np.array(tissue)
    image[420:440, 610:630] = POISON
    return fakes.write_slide(folder / "poisoned.tif", image)


def run(slides: Mapping[Location, Path], steps: Steps, **how: Any) -> None:
    """Segment slides with the engine that gets into trouble; a slide that fails alone raises."""
    segment_slides(
        dict(slides),
        load_model(),
        SegmentOptions(engine="troubled", device="cpu", **how.pop("options", {})),
        on_slide=how.pop("on_slide", lambda _: lambda _: None),
        on_summary=how.pop("on_summary", lambda *_: None),
        on_failure=how.pop("on_failure", lambda *_: None),
        steps=steps,
        **how,
    )


@pytest.fixture(scope="session")
def plain(folder: Path, slide: Path) -> str:
    """The SHA-256 of what threads of one process make of the slide."""
    (folder / "troubles" / "slow").unlink(missing_ok=True)
    output = folder / "plain.geojson"
    run({slide: output}, Steps(make_plan=SMALL))
    return sha256_file(output)


@pytest.fixture(scope="session")
def local(_engine: None) -> Iterator[Pool]:
    """Two workers on this machine."""
    with pool_of("local:2") as pool:
        yield pool


@pytest.fixture
def on_pool(local: Pool) -> Callable[..., Steps]:
    """Steps on a pool of the local workers, with settings of its own.

    Both are there and at rest: what an earlier test gave up would meet the troubles of this one.
    """
    until = time.monotonic() + 120
    while sorted(local.client.run(at_work).values()) != [0, 0]:
        assert time.monotonic() < until
        local.keep_up()
        time.sleep(0.2)

    def steps(**how: Any) -> Steps:
        return steps_on(Pool(local.client, keep_up=local.keep_up, **how), Steps(make_plan=SMALL))

    return steps


@pytest.fixture
def in_small_windows() -> Steps:
    """Steps whose windows are small, so that the slide has many."""
    return Steps(make_plan=SMALL)


@pytest.fixture
def outer(tmp_path: Path) -> Iterator[Outer]:
    """Nothing yet, but scheduler and workers can be started."""
    with outer_cluster(tmp_path / "outer", dict(os.environ)) as cluster:
        yield cluster
