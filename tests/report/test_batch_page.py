"""The page of a batch: each slide once, linked, and those that stand out marked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from wsi_nucssl.batch import Batch, Outcome
from wsi_nucssl.doubts import DoubtWarning
from wsi_nucssl.ledger import Ledger, Row
from wsi_nucssl.locations import Location
from wsi_nucssl.report.batch_report import NAME, _stacked, batch_reported, lines_of, write_batch

DENSITIES = [4000, 4200, 3900, 4100, 4050, 3950, 12_000]


def rows(densities: Sequence[float]) -> list[Row]:
    return [
        Row(f"/slides/s{i}.svs", f"s{i}.geojson", "done", nuclei=100, per_mm2=each, tissue_mm2=0.02)
        for i, each in enumerate(densities)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ledger = Ledger(tmp_path)
    for row in (*rows(DENSITIES), Row("/slides/<b>&.svs", "bad.geojson", "failed", error="it is <torn>")):
        ledger.put(row)
    for number in range(len(DENSITIES)):
        run = tmp_path / f"s{number}.geojson.run"
        run.mkdir()
        (run / "summary.json").write_text(json.dumps({"outputs": {}, "median_um2": 30.0 + number / 10}))
    (tmp_path / "s0.report.html").write_text("a page")
    return tmp_path


def test_a_slide_far_from_the_others_stands_out(folder: Path) -> None:
    lines = lines_of(folder, [*Ledger(folder).rows().values()])
    assert [sorted(line.strange) for line in lines] == [[]] * 6 + [["per_mm2"]] + [[]]
    assert [line.median_um2 for line in lines[:2]] == [30.0, 30.1]
    assert [line.link for line in lines] == ["s0.report.html"] + [""] * 7


@pytest.mark.parametrize("densities", [[1, 9000], [4000] * 30, [4000, 4040] * 10])
def test_few_slides_and_like_slides_do_not_stand_out(densities: list[float], tmp_path: Path) -> None:
    assert not any(line.strange for line in lines_of(tmp_path, rows(densities)))


def test_the_page_has_each_slide_and_nothing_from_outside(folder: Path) -> None:
    page = write_batch(folder).read_text()
    body = page[page.index("</thead>") : page.index("</table>")]
    assert body.count("<tbody") == 8
    assert "&lt;b&gt;&amp;.svs" in body
    assert "<b>&.svs" not in page
    assert "it is &lt;torn&gt;" in body
    assert '<a href="#r7">&lt;b&gt;&amp;.svs</a>. Why' in page  # the one that failed
    assert body.count(" telling") == 2  # it, and the one that stands out
    assert not re.findall(r"(?:src|href)=\"(?!s0\.report\.html|#|data:)[^\"]+\"", page)


def test_the_page_is_written_however_a_batch_ends(tmp_path: Path) -> None:
    slides: dict[Location, Path] = {
        Path("/a.svs"): tmp_path / "a.geojson",
        Path("/b.svs"): tmp_path / "b.geojson",
    }
    batch = Batch(slides, Ledger(tmp_path))
    batch.start()
    batch.keep(Path("/a.svs"), lambda: 0, lambda _: Outcome(nuclei=7), "1")
    with pytest.raises(KeyboardInterrupt), batch_reported(batch):
        raise KeyboardInterrupt
    page = (tmp_path / NAME).read_text()
    assert "1 of 2" in page
    assert "waiting" in page


def test_a_page_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    batch = Batch({Path("/a.svs"): tmp_path / "a.geojson", Path("/b.svs"): tmp_path / "b"}, Ledger(tmp_path))
    batch.start()
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "mine").write_text("keep")
    with pytest.warns(DoubtWarning, match=NAME), batch_reported(batch):
        pass
    assert (tmp_path / NAME / "mine").read_text() == "keep"


def test_no_page_where_none_is_wanted_or_the_slide_is_alone(tmp_path: Path) -> None:
    for slides, wanted in (({"a"}, True), ({"a", "b"}, False)):
        batch = Batch({Path(name): tmp_path / f"{name}.geojson" for name in slides}, Ledger(tmp_path))
        with batch_reported(batch, wanted=wanted):
            batch.start()
    assert not (tmp_path / NAME).exists()


def test_a_page_of_an_earlier_command_does_not_outlive_what_it_tells(tmp_path: Path) -> None:
    slides: dict[Location, Path] = {Path(f"/{name}.svs"): tmp_path / f"{name}.geojson" for name in ("a", "b")}
    with batch_reported(Batch(slides, Ledger(tmp_path))):
        Batch(slides, Ledger(tmp_path)).start()
    assert "0 of 2" in (tmp_path / NAME).read_text()
    lone = Batch({Path("/a.svs"): tmp_path / "a.geojson"}, Ledger(tmp_path))
    with batch_reported(lone):
        lone.start()
        lone.keep(Path("/a.svs"), lambda: 0, lambda _: Outcome(nuclei=7), "1")
    assert "1 of 2" in (tmp_path / NAME).read_text()
    with batch_reported(lone, wanted=False):
        pass
    assert not (tmp_path / NAME).exists()
    (tmp_path / NAME).write_text("<html>somebody's</html>")
    with batch_reported(lone, wanted=False):
        pass
    with batch_reported(lone):
        pass
    assert (tmp_path / NAME).read_text() == "<html>somebody's</html>"


@pytest.mark.parametrize(
    ("places", "stacked"),
    [
        ([0.0, 1.0, 2.0, 3.0, 50.0], [0, 1, 0, 1, 0]),
        ([5.0] * 10, [0, 1, 2, 3, 4, 5, 6, 7, 7, 7]),
        ([1.0, 3.0, 5.0], [0, 0, 0]),
    ],
)
def test_dots_that_would_hide_each_other_are_stacked(places: list[float], stacked: list[int]) -> None:
    assert _stacked(places) == stacked


def test_a_slide_says_where_it_lies_and_how_long_it_took(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for folder, seconds in (("a", 9.0), ("b", 90.0), ("c", 5400.0)):
        ledger.put(Row(f"/s/{folder}/x.svs", f"{folder}/x.geojson", "done", seconds=seconds))
    lines = lines_of(tmp_path, [*Ledger(tmp_path).rows().values()])
    assert [(line.folder, line.name, line.took) for line in lines] == [
        ("a", "x.svs", "9.0 s"),
        ("b", "x.svs", "1.5 min"),
        ("c", "x.svs", "1.5 h"),
    ]
