"""The page in a real browser: what is on the screen, what the pointer and keys do, and that nothing else is asked for.

Only with a browser installed, of Debian for instance: apt-get install chromium.
"""

from __future__ import annotations

import functools
import http.server
import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.viewer.chromium import Page, in_browser
from tests.viewer.making import COLOR, TYPES, write_nuclei, write_slide
from wsi_nucssl.viewer.exporting import write_site
from wsi_nucssl.viewer.opening import SlideChoice, open_site
from wsi_nucssl.viewer.server import ViewerServer
from wsi_nucssl.viewer.sites import Site

pytest.importorskip("aiohttp")

SQUARES = [(400, 300, 40), (600, 300, 60), (400, 500, 30), (640, 520, 40)]
SECOND = [(404, 300, 40), (640, 520, 40), (700, 400, 40)]
PLAIN = (20, 215, 120)
BOTH, ONLY_FIRST, ONLY_SECOND = (0, 114, 178), (230, 120, 0), (204, 60, 160)
AT = "at=600,450,1"


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_slide(tmp_path / "slide.png")


@pytest.fixture
def site(tmp_path: Path, slide: Path) -> Iterator[Site]:
    path = write_nuclei(tmp_path / "n.geojson", slide, SQUARES, window_px=[528, 428], margin_px=64)
    with open_site(slide, [path], choice=SlideChoice(mpp=0.5)) as opened:
        yield opened


async def shot(page: Page) -> NDArray[np.int64]:
    """The window as RGB."""
    return np.asarray(Image.open(io.BytesIO(await page.picture())).convert("RGB")).astype(np.int64)


async def screen(page: Page, x: float, y: float) -> tuple[int, int]:
    """Where a level-0 place is on the screen."""
    script = (
        "(() => { const v = wsiNucssl.panes[0].view; return [(X - v.x) * v.zoom, (Y - v.y) * v.zoom] })()"
    )
    found = await page.run(script.replace("X", str(x)).replace("Y", str(y)))
    return round(found[0]), round(found[1])


async def color_at(page: Page, x: float, y: float) -> tuple[int, ...]:
    """The colour on the screen at a level-0 place."""
    at = await screen(page, x, y)
    return tuple((await shot(page))[at[1], at[0]].tolist())


def near(color: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Equal but for JPEG and rounding."""
    return max(abs(a - b) for a, b in zip(color, expected, strict=True)) <= 6


def look(site: Site, doing: Callable[[Page, str], Awaitable[None]]) -> None:
    """Serve a site, do something with its page, and see that nothing failed and nobody else was asked."""
    server = ViewerServer(site)

    async def watched(page: Page) -> None:
        await doing(page, server.url)
        assert page.errors == []
        own = (server.url, "about:", "blob:", "data:")
        assert [url for url in page.requests if not url.startswith(own)] == []
        assert any(url.endswith(".jpg") for url in page.requests)

    try:
        in_browser(watched)
    finally:
        server.close()


def test_nuclei_lie_where_they_are_near_by_and_from_afar(site: Site) -> None:
    async def doing(page: Page, url: str) -> None:
        await page.open(f"{url}#{AT}&color=&fill=1&layers=nuclei,outline")
        for number, (x, y, side) in enumerate(SQUARES):
            rim, middle = (x + side / 6, y + side / 6), (x + side / 2, y + side / 2)
            assert near(await color_at(page, *rim), PLAIN)
            assert near(
                await color_at(page, *middle), COLOR if number % 2 else PLAIN
            )  # every second has a hole
            assert near(await color_at(page, x - 4, y - 4), COLOR)
        await page.open(f"{url}#at=600,450,0.1&color=&layers=nuclei")
        mixed = await color_at(page, 420, 320)
        assert mixed[1] > mixed[0], "a green point from afar"

    look(site, doing)


SLOWLY = """void (() => {
  const pane = wsiNucssl.panes[0];
  Object.defineProperty(pane, "moving", { get: () => true, set() {}, configurable: true });
  Object.assign(pane, { cost: 1e7, isFresh: false, drawnAt: performance.now() });
})()"""
AT_REST = """void (() => {
  const pane = wsiNucssl.panes[0];
  delete pane.moving;
  pane.viewer.raiseEvent("animation-finish");
})()"""


def test_nuclei_move_with_the_slide_where_drawing_them_anew_takes_long(site: Site) -> None:
    async def doing(page: Page, url: str) -> None:
        await page.open(f"{url}#{AT}&color=&fill=1&layers=nuclei,outline")
        await page.run(SLOWLY)
        await page.run("void wsiNucssl.panes[0].show(640, 470, 1.3)")
        await page.still()
        assert "scale(1.3" in await page.run("wsiNucssl.panes[0].overlays[1].style.transform")
        for x, y, side in SQUARES:
            assert near(await color_at(page, x + side / 6, y + side / 6), PLAIN)
            assert near(await color_at(page, x - 6, y - 6), COLOR)
        await page.run(AT_REST)
        await page.still()
        assert await page.run("wsiNucssl.panes[0].overlays[1].style.transform") == ""
        for x, y, side in SQUARES:
            assert near(await color_at(page, x + side / 6, y + side / 6), PLAIN)

    look(site, doing)


def test_pointer_filter_and_fill(site: Site) -> None:
    async def doing(page: Page, url: str) -> None:
        await page.open(f"{url}#{AT}&color=&fill=1")
        await page.mouse("mouseMoved", *await screen(page, 420, 320))
        await page.until("!document.getElementById('tip').hidden")
        said = await page.run("document.getElementById('tip').innerText")
        assert "Area\t400 µm²" in said  # 40 × 40 px of 0.5 µm
        assert "Mean probability\t0.5" in said
        await page.mouse("mouseMoved", *await screen(page, 500, 420))
        await page.until("document.getElementById('tip').hidden")
        await page.click(*await screen(page, 605, 305))
        await page.until("!document.getElementById('selected').hidden")
        assert "900 µm²" in await page.run("document.getElementById('values').innerText")

        await page.run("document.getElementById('from').value = 300")
        await page.run("document.getElementById('from').dispatchEvent(new Event('change'))")
        await page.until("wsiNucssl.sets[0].shown === 3")
        await page.still()
        assert near(await color_at(page, 405, 510), COLOR)  # 225 µm²
        assert near(await color_at(page, 405, 305), PLAIN)
        assert "3 of 4 nuclei" in await page.run("document.getElementById('shown').innerText")
        await page.run("document.getElementById('unfilter').click()")
        await page.until("wsiNucssl.sets[0].shown === 4")

    look(site, doing)


def test_keys_layers_and_the_link_to_a_place(site: Site) -> None:
    async def doing(page: Page, url: str) -> None:
        await page.open(f"{url}#{AT}&color=&fill=1", dark=True)
        await page.key("n")
        await page.still()
        assert near(await color_at(page, 405, 305), COLOR)
        await page.key("n")
        await page.key("s")
        await page.until("wsiNucssl.files.seams")
        await page.still()
        assert not near(await color_at(page, 400, 420), COLOR) or not near(
            await color_at(page, 400, 427), COLOR
        )
        await page.key("t")
        await page.until("wsiNucssl.files.tissue")
        await page.key("?")
        assert await page.run("document.getElementById('help').open")
        await page.run("document.getElementById('help').close()")
        await page.key("+")
        await page.still()
        place = "(({ x, y, zoom }) => [x, y, zoom])(wsiNucssl.panes[0].view)"
        before = await page.run(place)
        link = await page.run("location.href")
        assert "tissue" in link
        assert "seams" in link
        await page.open(link, dark=True)
        after = await page.run(place)
        np.testing.assert_allclose(after, before, atol=1)

    look(site, doing)


def test_types_have_their_colours_and_can_be_hidden(tmp_path: Path, slide: Path) -> None:
    path = write_nuclei(tmp_path / "n.geojson", slide, SQUARES, typed=True)

    async def doing(page: Page, url: str) -> None:
        await page.open(f"{url}#{AT}&fill=1", width=800)
        assert near(await color_at(page, 405, 505), TYPES[0].color)
        assert near(await color_at(page, 605, 305), TYPES[1].color)
        legend = await page.run("document.getElementById('legend').innerText")
        assert "round" in legend
        assert "flat" in legend
        await page.run("document.querySelector('#legend input').click()")
        await page.until("wsiNucssl.sets[0].shown === 2")
        await page.still()
        assert near(await color_at(page, 405, 505), COLOR)

    with open_site(slide, [path]) as site:
        look(site, doing)


def test_two_results_as_difference_and_side_by_side(tmp_path: Path, slide: Path) -> None:
    files = [write_nuclei(tmp_path / f"{n}.geojson", slide, p) for n, p in (("a", SQUARES), ("b", SECOND))]

    async def doing(page: Page, url: str) -> None:
        await page.open(f"{url}#{AT}&fill=1&mode=difference")
        assert near(await color_at(page, 408, 305), BOTH)
        assert near(await color_at(page, 605, 305), ONLY_FIRST)
        assert near(await color_at(page, 705, 405), ONLY_SECOND)
        await page.key("m")
        await page.key("m")
        await page.key("m")
        await page.until("wsiNucssl.panes.length === 2")
        await page.still()
        views = await page.run("wsiNucssl.panes.map((p) => [p.view.x, p.view.y, p.view.zoom])")
        np.testing.assert_allclose(views[0], views[1], atol=1)

    with open_site(slide, files) as site:
        look(site, doing)


def test_a_slide_alone_is_a_page_too(slide: Path) -> None:
    async def doing(page: Page, url: str) -> None:
        await page.open(f"{url}#{AT}")
        assert near(await color_at(page, 600, 450), COLOR)
        assert await page.run("document.getElementById('nuclei-section').hidden")

    with open_site(slide) as site:
        look(site, doing)


def test_an_exported_page_works_on_any_web_server(tmp_path: Path, site: Site) -> None:
    write_site(site, tmp_path / "page")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "page"))
    plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=plain.serve_forever, daemon=True).start()

    async def doing(page: Page) -> None:
        await page.open(f"http://127.0.0.1:{plain.server_port}/#{AT}&color=&fill=1")
        assert near(await color_at(page, 405, 305), PLAIN)
        assert page.errors == []

    try:
        in_browser(doing)
    finally:
        plain.shutdown()
        plain.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass
