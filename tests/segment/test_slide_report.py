"""The page of a slide: what it shows is what was written, and it never harms a run."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import shapely

from tests.segment import fakes
from tests.segment.features import read_features
from wsi_nucssl.errors import OutputExists
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.report.slide_report import SlideReport
from wsi_nucssl.segment.reporting import Subject, report_path
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB

Segment = Callable[..., SegmentSummary]
SAMPLE = (
    r'(?s)<svg viewBox="0 0 (\d+) (\d+)" preserveAspectRatio="none">((?:<path[^>]*>)*)</svg>'
    r'.*?class="place">x (\d+), y (\d+)'
)
STEPS = Steps(report=SlideReport)


@pytest.fixture(scope="module")
def slide(tissue: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.write_slide(tmp_path_factory.mktemp("slide") / "tissue & <more>.tif", tissue)


def without_times(page: str) -> str:
    return re.sub(r"(?s)<h3 style=\"margin-top:16px\">Time.*?</table>| on 20\d\d-.*? UTC", "", page)


@pytest.mark.parametrize("blocks", [256, None])
def test_the_page_shows_what_was_written(
    segment: Segment, slide: Path, tmp_path: Path, blocks: int | None
) -> None:
    summary = segment(slide, tmp_path / "n.geojson", steps=STEPS, block_px=blocks)
    path = report_path(summary.output)
    page = path.read_text()
    assert path.name == "n.report.html"
    assert path.stat().st_size < 3_000_000
    assert f"<b>{summary.nuclei:,}</b><span>nuclei" in page
    assert "tissue &amp; &lt;more&gt;.tif" in page
    assert summary.sha256[:12] in page
    assert "n.geojson</th><td>drag it onto the slide in QuPath" in page
    assert "wsi-nucssl view &#39;tissue &amp; &lt;more&gt;.tif&#39; n.geojson" in page
    assert {*re.findall(r'id="(p\d)"', page)} == {*re.findall(r'href="#(p\d)"', page)} != set()
    assert not summary.doubts
    assert not re.findall(r"(?:src|href)=\"(?!data:|#[ps]\d)[^\"]*\"|url\(|https?://(?!arxiv)", page)
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    assert len(pictures) == 2 + 9
    assert all(np.ptp(imagecodecs.jpeg8_decode(base64.b64decode(each))) > 20 for each in pictures[2:])


def test_each_sample_has_all_nuclei_that_reach_it(segment: Segment, slide: Path, tmp_path: Path) -> None:
    summary = segment(slide, tmp_path / "n.geojson", steps=STEPS)
    page = report_path(summary.output).read_text()
    shapes = [shapely.geometry.shape(each["geometry"]) for each in read_features(summary.output)]
    samples = re.findall(
        r"(?s)<svg viewBox=\"0 0 (\d+) (\d+)\"[^>]*>(<path.*?)</svg>.*?class=\"place\">x (\d+), y (\d+)", page
    )
    assert len(samples) == 9
    for width, height, paths, x, y in samples:
        box = shapely.box(int(x), int(y), int(x) + int(width), int(y) + int(height))
        reach = sum(shapely.box(*each.bounds).intersection(box).area > 0 for each in shapes)
        assert paths.count("<path") == reach


def test_a_report_takes_no_place_that_is_taken(segment: Segment, slide: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.geojson"
    mine = tmp_path / "n.report.html"
    mine.write_text("mine")
    with pytest.raises(OutputExists, match=r"n\.report\.html"):
        segment(slide, output, steps=STEPS)
    assert not output.exists()
    segment(slide, output)  # nobody reports
    assert mine.read_text() == "mine"
    segment(slide, output, steps=STEPS, resume=True)
    assert mine.read_text() == "mine"
    segment(slide, output, steps=STEPS, overwrite=True)
    assert "nuclei per mm²" in mine.read_text()


@pytest.mark.parametrize("ending", ["geojson", "geojson.gz", "parquet"])
@pytest.mark.parametrize("options", [{}, {"min_area": 30.0}])
def test_a_report_that_was_removed_is_made_again_from_the_file(
    segment: Segment, slide: Path, tmp_path: Path, ending: str, options: dict[str, Any]
) -> None:
    from wsi_nucssl.export.selection import Selection

    chosen = {"selection": Selection(min_area_um2=options["min_area"])} if options else {}
    output = tmp_path / f"n.{ending}"
    segment(slide, output, steps=STEPS, **chosen)
    first = report_path(output).read_text()
    report_path(output).unlink()
    assert not segment(slide, output, steps=STEPS, resume=True, **chosen).doubts
    again = report_path(output).read_text()
    assert re.findall(r"<path[^>]*>", again) == re.findall(r"<path[^>]*>", first)
    assert without_times(again) == without_times(first)


class Troubled:
    """A watch that fails at one step."""

    def __init__(self, _: Subject, step: str) -> None:
        self.step = step
        if step == "begin":
            raise ValueError("no luck")

    def see(self, _: Nuclei) -> None:
        if self.step == "see":
            raise MemoryError("too much")

    def write(self, *_: object) -> None:
        raise OSError("no space")


@pytest.mark.parametrize("step", ["begin", "see", "write"])
def test_trouble_with_a_report_is_a_doubt_and_no_error(
    segment: Segment, slide: Path, tmp_path: Path, step: str
) -> None:
    plain = segment(slide, tmp_path / "plain.geojson")
    steps = Steps(report=lambda subject: Troubled(subject, step))
    summary = segment(slide, tmp_path / "n.geojson", steps=steps, strict=True)
    assert summary.sha256 == plain.sha256
    (doubt,) = summary.doubts
    assert doubt.kind == "no-report"
    assert "n.report.html" in str(doubt)
    assert not report_path(summary.output).exists()
    assert not segment(
        slide, tmp_path / "n.geojson", resume=True
    ).doubts  # it is not the nuclei that are doubtful


def test_a_slide_of_glass_has_a_page_too(segment: Segment, tmp_path: Path) -> None:
    glass = fakes.write_slide(tmp_path / "glass.tif", np.full((400, 500, 3), 243, np.uint8))
    summary = segment(glass, tmp_path / "n.geojson", steps=STEPS)
    page = report_path(summary.output).read_text()
    assert [each.kind for each in summary.doubts] == ["no-tissue"]
    assert "No tissue was found" in page
    assert "What to do:" in page
    assert "⟨" not in page


def test_tables_beside_have_one_report(segment: Segment, slide: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "n.geojson", tmp_path / "n.csv"]
    summary = segment(slide, outputs, steps=STEPS)
    assert [path.name for path in tmp_path.glob("*.html")] == ["n.report.html"]
    with outputs[1].open(newline="") as file:
        areas = [float(row["area_um2"]) for row in csv.DictReader(file)]
    page = report_path(summary.output).read_text()
    median = float(re.search(r"median <b>([\d.]+)\sµm²", page)[1])  # type: ignore[index]
    assert median == pytest.approx(np.median(areas), abs=0.3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda page: page, ""),
        (lambda page: page[:-40], "cut off"),
        (
            lambda page: re.sub(rb'output" content="\w{64}', b'output" content="' + b"0" * 64, page),
            "earlier result",
        ),
        (lambda _: b"<html>somebody's own page</html>", ""),
    ],
)
def test_verify_knows_reports(
    segment: Segment, slide: Path, tmp_path: Path, change: Callable[[bytes], bytes], said: str
) -> None:
    from wsi_nucssl.verification.claims import Claims
    from wsi_nucssl.verification.runs import look_at_run

    output = segment(slide, tmp_path / "n.geojson", steps=STEPS).output
    path = report_path(output)
    path.write_bytes(change(path.read_bytes()))
    found = [
        fault for fault in look_at_run(tmp_path / "n.geojson.run", Claims()).faults if fault.kind == "report"
    ]
    assert [fault.path for fault in found] == [str(path)] * bool(said)
    assert all(said in fault.what for fault in found)
    path.unlink()
    assert not look_at_run(tmp_path / "n.geojson.run", Claims()).faults
