"""What a finished run keeps of itself, and what is believed of it later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import OutputExists
from wsi_nucssl.files import sha256_tree
from wsi_nucssl.segment.seam_figure import SeamFigure
from wsi_nucssl.segment.summary import (
    SUMMARY,
    SegmentSummary,
    finished_summary,
    keep_summary,
    kept_median,
    kept_outputs,
)


def summary_of(*outputs: Path, nuclei: int = 30, tissue_mm2: float = 1.5) -> SegmentSummary:
    return SegmentSummary(
        outputs={path: sha256_tree(path) for path in outputs},
        nuclei=nuclei,
        tissue_mm2=tissue_mm2,
        seconds=4.0,
        network_seconds=3.0,
        seams=SeamFigure(1, 2, 3, 4),
        median_um2=31.5,
        doubts=(Doubt("kind", "what", "remedy"),),
        slide_px=(800, 600),
        origin_l0=(5.0, 7.0),
        dropped=(Path("gone.csv"),),
    )


@pytest.fixture
def outputs(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("n.geojson", "n.csv")]
    for path in paths:
        path.write_text(path.name)
    return paths


def test_a_summary_comes_back_as_it_was_and_says_that_it_is_an_earlier_ones(
    outputs: list[Path], tmp_path: Path
) -> None:
    summary = summary_of(*outputs)
    assert (summary.output, summary.sha256) == (outputs[0], sha256_tree(outputs[0]))
    keep_summary(tmp_path, summary)
    found = finished_summary(tmp_path, outputs)
    assert found == summary
    assert found is not None
    assert (found.earlier, summary.earlier, found.dropped) == (True, False, ())
    assert kept_outputs(tmp_path) == {path.name: sha256_tree(path) for path in outputs}
    assert kept_median(tmp_path) == 31.5


def test_nothing_is_in_doubt_or_dropped_by_default() -> None:
    plain = SegmentSummary({}, 0, 0.0, 0.0, 0.0, SeamFigure())
    assert (plain.median_um2, plain.doubts, plain.earlier, plain.dropped) == (0, (), False, ())
    assert (plain.seams.crossing, plain.seams.truncated) == (0, 0)
    assert (plain.seams.on_seams_px, plain.seams.on_controls_px) == (0, 0)


@pytest.mark.parametrize(("nuclei", "mm2", "per_mm2"), [(30, 1.5, 20.0), (30, 0.0, 0.0), (0, 2.0, 0.0)])
def test_nuclei_per_mm2_are_0_where_no_area_is_known(nuclei: int, mm2: float, per_mm2: float) -> None:
    assert summary_of(nuclei=nuclei, tissue_mm2=mm2).per_mm2 == per_mm2


def test_what_is_said_of_formats_that_were_written_earlier_stays(outputs: list[Path], tmp_path: Path) -> None:
    keep_summary(tmp_path, summary_of(outputs[0]))
    with pytest.raises(OutputExists, match="the run did not write it"):
        finished_summary(tmp_path, outputs)
    keep_summary(tmp_path, summary_of(outputs[1]))
    assert {*kept_outputs(tmp_path)} == {"n.geojson", "n.csv"}
    outputs[0].unlink()
    assert finished_summary(tmp_path, outputs) is None
    assert finished_summary(tmp_path, outputs[1:]) is not None
    outputs[1].write_text("by hand")
    for asked in (outputs, outputs[1:]):
        with pytest.raises(OutputExists, match="changed after it was finished"):
            finished_summary(tmp_path, asked)


@pytest.mark.parametrize(
    ("content", "names", "median"),
    [
        (None, [], None),
        ("{", [], None),
        ("[1, 2]", [], None),
        ("3", [], None),
        ("{}", [], None),
        ('{"median_um2": 5}', [], None),  # it says nothing of outputs: none of ours
        ('{"outputs": ["n.csv"], "median_um2": 5}', [], 5.0),
        ('{"outputs": {"n.csv": "0"}, "median_um2": true}', ["n.csv"], None),
        ('{"outputs": {"n.csv": "0"}, "median_um2": "5"}', ["n.csv"], None),
        ('{"outputs": {}, "median_um2": 5.5}', [], 5.5),
    ],
)
def test_of_a_damaged_summary_nothing_is_believed(
    tmp_path: Path, content: str | None, names: list[str], median: float | None
) -> None:
    if content is not None:
        (tmp_path / SUMMARY).write_text(content)
    assert [*kept_outputs(tmp_path)] == names
    assert kept_median(tmp_path) == median


def test_a_summary_of_before_places_were_kept_is_read(outputs: list[Path], tmp_path: Path) -> None:
    keep_summary(tmp_path, summary_of(*outputs))
    content = json.loads((tmp_path / SUMMARY).read_text())
    assert "dropped" not in content
    for name in ("slide_px", "origin_l0", "doubts"):
        del content[name]
    (tmp_path / SUMMARY).write_text(json.dumps(content))
    found = finished_summary(tmp_path, outputs)
    assert found is not None
    assert (found.slide_px, found.origin_l0, found.doubts) == (None, None, ())
