"""A million nuclei: made into tiles in bounded memory, all on the page, found by the pointer and by a filter."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.viewer.chromium import Page, browser, in_browser
from tests.viewer.making import write_slide
from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.slide import open_slide
from wsi_nucssl.viewer.batch import Batch
from wsi_nucssl.viewer.server import ViewerServer
from wsi_nucssl.viewer.sites import Site, TiledSet
from wsi_nucssl.viewer.tiling import write_tiles

pytest.importorskip("aiohttp")

SIDE, PITCH, VERTICES = 1000, 7, 30
PX = SIDE * PITCH
MOST_BYTES = 200 << 20


def _batches() -> Iterator[Batch]:
    """A row of nuclei at a time, on a lattice; the value of each is its row."""
    turn = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    ring = 3 * np.column_stack([np.cos(turn), -np.sin(turn)])
    for row in range(SIDE):
        centres = np.column_stack([np.arange(SIDE), np.full(SIDE, row)]) * PITCH + PITCH / 2
        ids = np.random.default_rng(row).integers(0, 256, (SIDE, 16), np.uint8)
        values = {"Row": np.full(SIDE, float(row)), "Area µm^2": np.full(SIDE, 7.0)}
        xy = (centres[:, None] + ring).reshape(-1, 2)
        ones = np.ones(SIDE, np.int64)
        yield Batch(ids, xy, ones * VERTICES, ones, values, [("", (0, 0, 0))] * SIDE)


@pytest.mark.slow
def test_a_million_nuclei(tmp_path: Path) -> None:
    browser()
    tracemalloc.start()
    count = write_tiles(
        tmp_path / "t", _batches(), Size(PX, PX), Mpp.square(0.5), {"header": {}, "doubts": []}
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == SIDE * SIDE
    assert peak < MOST_BYTES

    with open_slide(write_slide(tmp_path / "slide.png", (PX, PX)), mpp=0.5) as slide:
        server = ViewerServer(Site(slide, "a million", (TiledSet("n", tmp_path / "t"),), mpp=slide.mpp))

        async def doing(page: Page) -> None:
            await page.open(server.url)
            assert await page.run("wsiNucssl.sets[0].shown") == count
            assert "1,000,000 nuclei" in await page.run("document.getElementById('shown').innerText")
            await page.run("document.getElementById('filter-by').value = 'Row'")
            await page.run("document.getElementById('filter-by').dispatchEvent(new Event('change'))")
            await page.run("document.getElementById('to').value = 99")
            await page.run("document.getElementById('to').dispatchEvent(new Event('change'))")
            await page.until(f"wsiNucssl.sets[0].shown === {100 * SIDE}")
            await page.open(f"{server.url}#at=3503.5,353.5,2&color=Row")
            await page.mouse("mouseMoved", 550, 450)  # the middle: nucleus 500 of row 50
            await page.until("!document.getElementById('tip').hidden")
            assert "Row\t50" in await page.run("document.getElementById('tip').innerText")
            assert page.errors == []

        try:
            in_browser(doing)
        finally:
            server.close()
