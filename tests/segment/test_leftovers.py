"""A result is replaced as a whole: nothing of an earlier run stays beside nuclei that it does not belong to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.segment import fakes
from wsi_nucssl.errors import OutputExists, OutputLocked, SlideError
from wsi_nucssl.files import sha256_tree
from wsi_nucssl.geometry import Box
from wsi_nucssl.locks import locked
from wsi_nucssl.models.weights import Model
from wsi_nucssl.report.slide_report import SlideReport
from wsi_nucssl.segment.leftovers import RECORD
from wsi_nucssl.segment.outputs import run_path
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB, open_slide

Segment = Callable[..., SegmentSummary]
REPORTING = Steps(report=SlideReport)


@pytest.fixture(scope="module")
def slide(tissue: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.write_slide(tmp_path_factory.mktemp("slide") / "tissue.tif", tissue[:500, :600])


@pytest.fixture(scope="module")
def other_slide(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with open_slide(sample) as opened:
        pixels = opened.read_level(0, Box(1500, 1400, 2100, 1900))
    return fakes.write_slide(tmp_path_factory.mktemp("other") / "tissue.tif", pixels)


@pytest.fixture(scope="module")
def other_model() -> Model:
    """Its nuclei are others."""
    return fakes.model(min_area_px=200)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def finished(segment: Segment, slide: Path, tmp_path: Path) -> Path:
    """A folder with a result in three formats, and its page."""
    paths = [tmp_path / f"n.{name}" for name in ("geojson", "csv", "zarr")]
    segment(slide, paths, steps=REPORTING)
    assert names(tmp_path) == {"n.geojson", "n.csv", "n.zarr", "n.geojson.run", "n.report.html"}
    return tmp_path


def test_formats_that_are_not_made_again_go_and_so_does_the_page(
    segment: Segment, slide: Path, finished: Path, other_model: Model
) -> None:
    summary = segment(slide, finished / "n.geojson", model=other_model, overwrite=True)
    assert names(finished) == {"n.geojson", "n.geojson.run"}
    assert {path.name for path in summary.dropped} == {"n.csv", "n.zarr", "n.report.html"}
    assert not (finished / "n.geojson.run" / RECORD).exists()
    assert sha256_tree(finished / "n.geojson") == summary.sha256
    again = segment(slide, finished / "n.geojson", model=other_model, resume=True)
    assert again == summary
    assert again.dropped == ()


def test_a_page_that_is_written_again_stays(segment: Segment, slide: Path, finished: Path) -> None:
    summary = segment(slide, finished / "n.csv", overwrite=True, steps=REPORTING)
    assert summary.sha256 in (finished / "n.report.html").read_text()


def test_a_page_that_fails_is_no_reason_to_keep_the_old_one(
    segment: Segment, slide: Path, finished: Path, other_model: Model
) -> None:
    def fails(_: object) -> SlideReport:
        raise ValueError("no luck")

    summary = segment(
        slide, finished / "n.geojson", model=other_model, overwrite=True, steps=Steps(report=fails)
    )
    assert [doubt.kind for doubt in summary.doubts] == ["no-report"]
    assert not (finished / "n.report.html").exists()


def test_a_run_of_other_formats_goes_where_its_nuclei_are_others(
    segment: Segment, slide: Path, finished: Path, other_model: Model
) -> None:
    segment(slide, finished / "n.parquet", model=other_model, overwrite=True)
    assert names(finished) == {"n.parquet", "n.parquet.run"}


def test_a_run_of_other_formats_stays_where_its_nuclei_are_the_same(
    segment: Segment, slide: Path, finished: Path
) -> None:
    before = sha256_tree(finished / "n.geojson.run")
    summary = segment(slide, finished / "n.parquet", overwrite=True, steps=REPORTING)
    assert summary.dropped == ()
    assert {"n.geojson", "n.csv", "n.zarr", "n.geojson.run", "n.parquet"} < names(finished)
    assert sha256_tree(finished / "n.geojson.run") == before


def test_a_run_whose_output_is_written_anew_goes(segment: Segment, slide: Path, tmp_path: Path) -> None:
    segment(slide, tmp_path / "n.csv")
    segment(slide, [tmp_path / "n.csv", tmp_path / "n.geojson"], overwrite=True)
    assert names(tmp_path) == {"n.csv", "n.geojson", "n.geojson.run"}


def test_another_slides_result_of_the_name_stays_unless_its_files_are_taken(
    segment: Segment, other_slide: Path, finished: Path
) -> None:
    segment(other_slide, finished / "n.parquet", overwrite=True)
    assert {"n.geojson", "n.csv", "n.zarr", "n.geojson.run"} < names(finished)
    segment(other_slide, finished / "n.geojson", overwrite=True)
    assert names(finished) == {"n.geojson", "n.geojson.run", "n.parquet", "n.parquet.run"}


def test_what_somebody_changed_is_not_removed(
    segment: Segment, slide: Path, finished: Path, other_model: Model
) -> None:
    before = sha256_tree(finished / "n.geojson")
    (finished / "n.csv").write_text("corrected by hand")
    with pytest.raises(OutputExists, match=r"n\.csv: an earlier run wrote it, it was changed since"):
        segment(slide, finished / "n.geojson", model=other_model, overwrite=True)
    assert sha256_tree(finished / "n.geojson") == before
    assert (finished / "n.csv").read_text() == "corrected by hand"
    both = [finished / "n.geojson", finished / "n.csv"]
    assert len(segment(slide, both, model=other_model, overwrite=True).outputs) == 2


def test_files_that_no_run_wrote_are_spared(segment: Segment, slide: Path, finished: Path) -> None:
    for name in ("n.parquet", "n.txt", "n2.csv"):
        (finished / name).write_text("mine")
    (finished / "n.report.html").write_text("<html>mine</html>")
    segment(slide, finished / "n.geojson", overwrite=True)
    assert names(finished) >= {"n.parquet", "n.txt", "n2.csv", "n.report.html"}


def test_a_page_without_its_result_is_not_left_to_a_new_one(
    segment: Segment, slide: Path, finished: Path
) -> None:
    for path in finished.iterdir():
        if path.name != "n.report.html":
            path.rename(path.with_name(f"moved {path.name}"))
    with pytest.raises(OutputExists, match=r"the page of an earlier result is there.*`overwrite`"):
        segment(slide, finished / "n.geojson")
    assert not (finished / "n.geojson").exists()
    segment(slide, finished / "n.geojson", overwrite=True)
    page = finished / "n.report.html"
    assert page.exists()  # the same bytes: it is about these nuclei


@pytest.mark.parametrize("at", ["export", "drop"])
def test_an_interrupted_run_removes_what_it_replaces_when_it_is_resumed(
    segment: Segment,
    slide: Path,
    finished: Path,
    other_model: Model,
    at: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dies(*_args: object, **_named: object) -> None:
        raise KeyboardInterrupt

    where = {"export": "wsi_nucssl.segment.run.export", "drop": "wsi_nucssl.segment.leftovers.remove_path"}
    with monkeypatch.context() as patch:
        patch.setattr(where[at], dies)
        with pytest.raises(KeyboardInterrupt):
            segment(slide, finished / "n.geojson", model=other_model, overwrite=True)
    assert {"n.csv", "n.zarr", "n.report.html"} < names(finished)
    segment(slide, finished / "n.geojson", model=other_model, resume=True)
    assert names(finished) == {"n.geojson", "n.geojson.run"}


def test_a_run_that_is_at_work_is_not_removed(
    segment: Segment, slide: Path, finished: Path, other_model: Model
) -> None:
    old = run_path(finished / "n.geojson")
    with locked(old), pytest.raises(OutputLocked):
        segment(slide, finished / "n.parquet", model=other_model, overwrite=True)
    assert (old / "manifest.json").exists()
    segment(slide, finished / "n.parquet", model=other_model, resume=True)
    assert names(finished) == {"n.parquet", "n.parquet.run"}


def test_a_doubtful_result_replaces_nothing(segment: Segment, slide: Path, finished: Path) -> None:
    before = {path.name: sha256_tree(path) for path in finished.iterdir() if path.suffix != ".run"}
    doubtful = {"mpp": 0.6, "force_mpp": True, "strict": True}
    with pytest.raises(SlideError):
        segment(slide, finished / "n.geojson", overwrite=True, **doubtful)
    assert before.items() <= {path.name: sha256_tree(path) for path in finished.iterdir()}.items()
