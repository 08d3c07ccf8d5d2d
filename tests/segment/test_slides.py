"""Many slides: what is written for each and where, what the ledger says of it, and what belongs to a slide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.segment import fakes
from wsi_nucssl.batch import Batch
from wsi_nucssl.errors import OutputExists, SomeSlidesFailed, UsageError, WsiNucsslError
from wsi_nucssl.ledger import Ledger
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.executor import OnProgress
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.slides import first_outputs, held_paths, segment_batch, segment_slides
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB
from wsi_nucssl.slide_list import ListedSlide

opened: list[tuple[object, ...]] = []


def open_engine(*asked: object) -> fakes.DarkIsNucleus:
    opened.append(asked)
    return fakes.DarkIsNucleus()


STEPS = Steps(open_engine=open_engine)


@pytest.fixture
def slides(tissue: RGB, tmp_path: Path) -> list[Path]:
    """Two small ones, and one of glass, of which nothing is found."""
    opened.clear()
    pictures = {"a": tissue[:300, :400], "b": tissue[300:640, 200:500], "glass": np.full_like(tissue, 243)}
    return [fakes.write_slide(tmp_path / f"{name}.tif", each) for name, each in pictures.items()]


def done(
    targets: Any, model: Model, options: SegmentOptions | None = None, **more: Any
) -> dict[Location, SegmentSummary]:
    """The summaries; slides are done one after another."""
    found: dict[Location, SegmentSummary] = {}
    under_way: set[Location] = set()

    def begins(slide: Location) -> OnProgress:
        assert not under_way
        under_way.add(slide)
        return lambda _: None

    def ends(slide: Location, summary: SegmentSummary) -> None:
        under_way.remove(slide)
        found[slide] = summary

    def fails(slide: Location, error: WsiNucsslError) -> None:
        under_way.remove(slide)
        on_failure(slide, error)

    on_failure = more.pop("on_failure", lambda *_: None)
    segment_slides(
        targets,
        model,
        options or SegmentOptions(),
        on_slide=begins,
        on_summary=ends,
        on_failure=fails,
        steps=STEPS,
        **more,
    )
    return found


def batch_of(
    slides: list[Path], output: Path, *formats: str, **more: Any
) -> tuple[dict[Location, tuple[Path, ...]], Batch]:
    return segment_batch(
        [ListedSlide(each) for each in slides], output, formats, options=SegmentOptions(), **more
    )


def test_the_ledger_has_what_the_summaries_say(
    slides: list[Path], tmp_path: Path, double_model: Model
) -> None:
    output = tmp_path / "out"
    targets, batch = batch_of(slides, output, "csv", "geojson")
    assert targets == {
        each: (output / f"{each.stem}.geojson", output / f"{each.stem}.csv") for each in slides
    }
    found = done(targets, double_model, batch=batch)
    assert opened == [(double_model, "auto", "auto", 1)]
    rows = Ledger(output).rows()
    assert [*rows] == ["a.geojson", "b.geojson", "glass.geojson"]
    assert [*found] == slides
    for slide in slides:
        summary, row = found[slide], rows[f"{slide.stem}.geojson"]
        assert (row.state, row.nuclei, row.sha256) == ("done", summary.nuclei, summary.sha256)
        assert row.per_mm2 == float(f"{summary.per_mm2:.1f}")
        assert row.tissue_mm2 == float(f"{summary.tissue_mm2:.4f}")
        assert row.seconds == float(f"{summary.seconds:.2f}")
        assert row.versions.endswith(f"; double {'0' * 8}; double")
        assert "numpy" in row.versions
    assert rows["a.geojson"].warnings == ""
    assert "no tissue was found" in rows["glass.geojson"].warnings
    assert found[slides[0]].nuclei > 20


def test_a_resumed_batch_finds_what_is_done_as_it_was_left(
    slides: list[Path], tmp_path: Path, double_model: Model
) -> None:
    output = tmp_path / "out"
    targets, batch = batch_of(slides[:2], output)
    first = done(targets, double_model, batch=batch)
    before = Ledger(output).rows()
    targets, batch = batch_of(slides[:2], output, resume=True)
    again = done(targets, double_model, batch=batch, resume=True)
    assert again == first
    assert [each.earlier for each in again.values()] == [True, True]
    assert Ledger(output).rows() == before
    with pytest.raises(OutputExists, match="there already"):
        done({slides[0]: output / "a.geojson"}, double_model)


def test_a_slide_that_fails_does_not_stop_the_others_and_is_tried_again(
    slides: list[Path], tmp_path: Path, double_model: Model
) -> None:
    output, failed = tmp_path / "out", []
    whole = slides[0].read_bytes()
    slides[0].write_bytes(whole[: len(whole) // 3])
    targets, batch = batch_of(slides[:2], output)
    with pytest.raises(SomeSlidesFailed, match=r"1 of 2 slides failed:\n.*a\.tif"):
        done(targets, double_model, batch=batch, on_failure=lambda slide, _: failed.append(slide))
    assert failed == slides[:1]
    assert [row.state for row in Ledger(output).rows().values()] == ["failed", "done"]
    slides[0].write_bytes(whole)
    targets, batch = batch_of(slides[:2], output, retry_failed=True)
    assert [*done(targets, double_model, batch=batch, resume=True)] == slides[:1]
    assert [row.state for row in Ledger(output).rows().values()] == ["done", "done"]


def test_each_slide_has_its_own_resolution_tissue_and_name(
    tissue: RGB, tmp_path: Path, double_model: Model
) -> None:
    slides = [fakes.write_slide(tmp_path / f"{name}.tif", tissue[:300, :400], mpp=0.3) for name in "ab"]
    listed = [ListedSlide(slides[0], output="site/x"), ListedSlide(slides[1])]
    options = SegmentOptions(mpp=0.25, force_mpp=True, write_tissue=tmp_path / "tissue")
    targets, batch = segment_batch(listed, tmp_path / "out", options=options)
    names: dict[Location, str] = {slides[0]: "site/x"}
    found = done(targets, double_model, options, batch=batch, names=names, mpps={slides[1]: 0.35})
    assert [
        path.relative_to(tmp_path).as_posix() for path in sorted((tmp_path / "tissue").rglob("*.geojson"))
    ] == [
        "tissue/b.geojson",
        "tissue/site/x.geojson",
    ]
    outputs = [tmp_path / "out" / "site" / "x.geojson", tmp_path / "out" / "b.geojson"]
    assert [each.output for each in found.values()] == outputs
    mpps = [json.loads(path.read_bytes())["wsi_nucssl"]["slide_mpp"] for path in outputs]
    assert mpps == [[0.25, 0.25], [0.35, 0.35]]


def test_one_file_takes_one_slides_tissue(slides: list[Path], tmp_path: Path, double_model: Model) -> None:
    for place in (tmp_path / "t.geojson", tmp_path / "old"):
        place.unlink(missing_ok=True)
        options = SegmentOptions(write_tissue=place)
        done({slides[0]: tmp_path / f"{place.name}.csv"}, double_model, options)
    assert (tmp_path / "t.geojson").is_file()
    assert (tmp_path / "old" / "a.geojson").is_file()


def test_a_part_of_the_slides_is_done_and_the_others_wait(
    slides: list[Path], tmp_path: Path, double_model: Model
) -> None:
    output = tmp_path / "out"
    parts = [batch_of(slides, output, shard=f"{number}/2") for number in (1, 2)]
    assert sorted(str(slide) for targets, _ in parts for slide in targets) == sorted(map(str, slides))
    targets, batch = max(parts, key=lambda part: len(part[0]))
    assert {*done(targets, double_model, batch=batch)} == {*targets}
    states = {name: row.state for name, row in Ledger(output).rows().items()}
    assert states == {f"{each.stem}.geojson": "done" if each in targets else "waiting" for each in slides}


@pytest.mark.parametrize("more", [{"shard": "1/2"}, {"retry_failed": True}])
def test_parts_and_ledgers_are_of_folders(slides: list[Path], tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="a batch goes into a folder"):
        batch_of(slides[:1], tmp_path / "n.geojson", **more)
    targets, _ = batch_of(slides[:1], tmp_path / "n.geojson", "csv", "geojson")
    assert targets == {slides[0]: (tmp_path / "n.geojson", tmp_path / "n.csv")}


def test_nothing_begins_where_an_output_is_one_of_the_slides_or_no_file_of_ours(
    slides: list[Path], tmp_path: Path, double_model: Model
) -> None:
    other = tmp_path / "x.csv"
    other.write_text("a slide of a kind of its own")
    with pytest.raises(OutputExists, match=r"x\.csv.*input"):
        done({slides[0]: tmp_path / "n.geojson", slides[1]: other, other: tmp_path / "y.csv"}, double_model)
    with pytest.raises(UsageError, match="must end in"):
        done({slides[0]: tmp_path / "n.geojson", slides[1]: slides[0]}, double_model)
    assert opened == []
    assert not (tmp_path / "n.geojson").exists()


def test_what_a_run_leaves_and_what_it_may_replace(tmp_path: Path) -> None:
    given = [tmp_path / "n.csv", tmp_path / "n.geojson"]
    mine = ["n.geojson", "n.csv", "n.report.html", "n.geojson.run", ".n.geojson.run.new"]
    assert [path.name for path in held_paths(given)] == mine
    assert [path.name for path in held_paths(given[0])] == [
        *("n.csv", "n.report.html", "n.csv.run", ".n.csv.run.new")
    ]
    found = [path.name for path in held_paths(given, replaces=True)]
    assert found[:5] == mine
    assert {"n.parquet", "n.geojson.gz", "n.csv.run", "n.parquet.run"} <= {*found[5:]}
    assert len(found) == len(set(found))
    assert first_outputs({Path("a.tif"): given, Path("b.tif"): given[0]}) == {
        Path("a.tif"): given[1],
        Path("b.tif"): given[0],
    }
