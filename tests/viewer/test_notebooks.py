"""`Result.view`: the page of a result in memory, in a frame."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.viewer.making import TYPES, write_nuclei, write_slide
from wsi_nucssl import read_nuclei
from wsi_nucssl.errors import UsageError
from wsi_nucssl.result.picture import ArrayPicture
from wsi_nucssl.viewer.notebooks import batch_of
from wsi_nucssl.viewer.server import NOTEBOOKS

PLACES = [(400, 300, 40), (600, 300, 60), (400, 500, 30)]


def _get(url: str) -> tuple[int, bytes, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 0, timeout=10)
    connection.request("GET", parts.path)
    answer = connection.getresponse()
    found = answer.status, answer.read(), str(answer.getheader("Content-Security-Policy"))
    connection.close()
    return found


def test_a_frame_shows_the_page_until_it_is_closed(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.png")
    path = write_nuclei(tmp_path / "n.geojson", slide, PLACES, typed=True)
    frame = read_nuclei(path, slide=slide).view(height=500)
    try:
        found = re.search(r'<iframe src="([^"]+)".* height="500"', frame._repr_html_())
        assert found
        assert found[1] == frame.url
        status, _, policy = _get(frame.url)
        assert status == 200
        assert policy.endswith(f"frame-ancestors {NOTEBOOKS}")
        index = json.loads(_get(f"{frame.url}nuclei/0/index.json")[1])
        assert index["count"] == 3
        assert {each["name"] for each in index["columns"][0]["classes"]} == {each.name for each in TYPES}
        assert _get(f"{frame.url}slide/11/0_0.jpg")[0] == 200
    finally:
        frame.close()
    with pytest.raises(OSError, match="refused"):
        _get(frame.url)


def test_the_image_of_a_result_in_memory_is_the_slide(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.png")
    result = read_nuclei(write_nuclei(tmp_path / "n.parquet", slide, PLACES), slide=slide)
    vars_of = {**{name: getattr(result, name) for name in result.__dataclass_fields__}}
    image = np.full((700, 800, 3), 90, np.uint8)
    in_memory = type(result)(**{**vars_of, "picture": ArrayPicture(image)})
    frame = in_memory.view()
    try:
        view = json.loads(_get(f"{frame.url}view.json")[1])
        assert (view["slide"]["width"], view["slide"]["height"]) == (800, 700)
        assert view["slide"]["mpp"] == [0.5, 0.5]
    finally:
        frame.close()


def test_batches_of_results_have_their_outlines_and_values(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.png")
    result = read_nuclei(write_nuclei(tmp_path / "n.geojson", slide, PLACES))
    batch = batch_of(result)
    assert batch.rings.tolist() == [1, 2, 1]
    assert batch.vertices.tolist() == [4, 4, -4, 4]
    np.testing.assert_allclose(batch.places()[1], [polygon.area for polygon in result.polygons])
    assert batch.values["Area µm^2"].tolist() == result.table.area_um2.tolist()


def test_nuclei_of_no_known_slide_are_refused(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.png")
    result = read_nuclei(write_nuclei(tmp_path / "n.geojson", slide, PLACES))
    with pytest.raises(UsageError, match="slide"):
        result.view()
    with pytest.raises(UsageError, match="height"):
        result.view(height=-1)
