"""Plans: what slides are and what they cost, in fields that everybody shares; what cannot be done is said."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from tests.segment import fakes
from wsi_nucssl.errors import SomeSlidesFailed, UsageError
from wsi_nucssl.forecast.inventory import COLUMNS, SlideForecast
from wsi_nucssl.forecast.pace import Pace, Piece
from wsi_nucssl.forecast.planning import Forecast, plan_slides
from wsi_nucssl.geometry import Box
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.plan import make_plan
from wsi_nucssl.segment.run import Steps, segment_slide
from wsi_nucssl.slide import open_slide

SAMPLE = Path(__file__).parent.parent.parent / "sample_slides" / "sample.svs"
STEPS = Steps(
    open_engine=lambda *_: fakes.DarkIsNucleus(seconds=0.05),
    make_plan=partial(make_plan, core=192, block_px=384),
)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of some tissue, one of glass, one without an mpp, and one that is none."""
    folder = tmp_path_factory.mktemp("slides")
    with open_slide(SAMPLE) as slide:
        pixels = slide.read_level(0, Box(700, 700, 2100, 1900))
    fakes.write_slide(folder / "good.tif", pixels)
    fakes.write_slide(folder / "small.tif", pixels[:500, :400])
    fakes.write_slide(folder / "glass.tif", np.full((600, 600, 3), 244, np.uint8))
    fakes.write_slide(folder / "silent.tif", pixels[:400, :400], mpp=(1e6, 1e6))
    (folder / "broken.svs").write_bytes(b"II*\0 nothing")
    return folder


@pytest.fixture
def plan(slides: Path) -> Callable[..., Forecast]:
    def run(*names: str, seconds: float = 0.5, **options: object) -> Forecast:
        from wsi_nucssl.jobs.planning import plan_slides as face

        return face([slides / name for name in names], model=None, seconds=seconds, steps=STEPS, **options)  # type: ignore[arg-type]

    return run


def test_a_slide_is_described_and_costed(plan: Callable[..., Forecast]) -> None:
    found = plan("good.tif")
    (slide,) = found.slides
    assert (slide.state, slide.reader, slide.width, slide.height) == ("ready", "tiff", 1400, 1200)
    assert slide.mpp == 0.25
    assert slide.windows > 10
    assert 0.05 < slide.tissue_mm2 < 0.11
    assert slide.seconds > 0
    assert slide.seconds_error > 0  # how large is the machine's affair
    assert slide.disk_bytes > slide.output_bytes > 0
    assert slide.memory_bytes > 50e6
    assert found.seconds >= slide.seconds
    found.refuse_impossible()


def test_regions_cost_what_lies_in_them(plan: Callable[..., Forecast], tmp_path: Path) -> None:
    ring = [[[400, 400], [500, 400], [500, 500], [400, 500], [400, 400]]]
    for name in ("good", "glass"):
        (tmp_path / f"{name}.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": ring}))
    whole, part, glass = *plan("good.tif").slides, *plan("good.tif", "glass.tif", roi=tmp_path).slides
    assert 0 < part.windows <= 9 < whole.windows
    assert 0 < part.tissue_mm2 <= 100**2 * 0.25**2 / 1e6
    assert part.seconds < whole.seconds
    assert (glass.state, glass.windows, glass.tissue_mm2) == ("doubtful", 0, 0)
    with pytest.raises(UsageError, match=r"1 of 2 slides: small\.tif"):
        plan("good.tif", "small.tif", roi=tmp_path)


def test_the_forecast_is_near_the_truth(slides: Path, tmp_path: Path, double_model: Model) -> None:
    """The engine double waits for most of a window's time, so that a busy machine changes little."""
    slow = Steps(open_engine=lambda *_: fakes.DarkIsNucleus(seconds=0.3), make_plan=STEPS.make_plan)
    output = tmp_path / "good.geojson"
    target: dict[Location, list[Path]] = {slides / "good.tif": [output]}
    found = plan_slides(target, double_model, SegmentOptions(), seconds=2, steps=slow)
    begun = perf_counter()
    engine = fakes.DarkIsNucleus(seconds=0.3)
    segment_slide(slides / "good.tif", output, double_model, SegmentOptions(), engine=engine, steps=slow)
    taken = perf_counter() - begun
    assert found.seconds == pytest.approx(taken, rel=0.3)
    assert found.slides[0].output_bytes == pytest.approx(output.stat().st_size, rel=0.5)


def test_what_cannot_be_done_stays_apart(plan: Callable[..., Forecast]) -> None:
    found = plan("good.tif", "broken.svs", "silent.tif", "glass.tif", "gone.tif")
    states = {Path(each.path).name: each.state for each in found.slides}
    assert states == {
        "good.tif": "ready",
        "broken.svs": "cannot",
        "silent.tif": "cannot",
        "glass.tif": "doubtful",
        "gone.tif": "cannot",
    }
    assert all(each.problem and each.remedy for each in found.slides if each.state != "ready")
    glass = next(each for each in found.slides if each.path.endswith("glass.tif"))
    assert glass.windows == 0
    assert found.able
    with pytest.raises(SomeSlidesFailed, match="3 of 5 slides cannot be segmented: broken"):
        found.refuse_impossible()
    assert plan("glass.tif", strict=True).slides[0].state == "cannot"


def test_folders_are_taken_apart(slides: Path, plan: Callable[..., Forecast]) -> None:
    found = plan("")
    assert [Path(each.path).name for each in found.slides] == sorted(path.name for path in slides.iterdir())


def test_planning_writes_nothing(slides: Path, plan: Callable[..., Forecast]) -> None:
    before = {path: path.stat().st_mtime_ns for path in slides.rglob("*")}
    plan("good.tif", formats=["geojson", "csv", "zarr"])
    assert {path: path.stat().st_mtime_ns for path in slides.rglob("*")} == before


def test_more_formats_take_more_disk(plan: Callable[..., Forecast]) -> None:
    one, both = plan("good.tif").slides[0], plan("good.tif", formats=["geojson", "csv"]).slides[0]
    assert both.output_bytes > 1.05 * one.output_bytes


def test_the_pace_is_the_mean_by_windows_with_two_standard_errors() -> None:
    pieces = [
        Piece(8, 100, 2.5, 0.5, 800, 80),
        Piece(4, 10, 1.5, 0.3, 400, 40),
        Piece(8, 30, 1.7, 0.1, 800, 80),
    ]
    pace = Pace.of(pieces)
    assert pace.seconds == pytest.approx(4.8 / 20)
    mean = 4.8 / 20
    variance = (8 * (0.25 - mean) ** 2 + 4 * (0.3 - mean) ** 2 + 8 * (0.2 - mean) ** 2) / 20 * 3 / 2
    assert pace.spread == pytest.approx(2 * math.sqrt(variance) / mean)
    assert pace.error == pytest.approx(pace.spread / math.sqrt(3))
    assert (pace.run_bytes, pace.output_bytes, pace.nuclei) == (100, 10, 7)
    assert pace.seconds_of(100) == pytest.approx(0.3 + 24)
    assert Pace.of([]).seconds_of(5) == pace.seconds_of(0) == 0


def test_too_little_disk_is_a_problem_of_all(
    monkeypatch: pytest.MonkeyPatch, plan: Callable[..., Forecast]
) -> None:
    class Full:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Full)
    found = plan("good.tif")
    assert [doubt.kind for doubt in found.problems] == ["disk"]
    with pytest.raises(SomeSlidesFailed, match="GB of disk"):
        found.refuse_impossible()


def test_columns_are_the_fields() -> None:
    assert tuple(each.name for each in fields(SlideForecast)) == COLUMNS


def test_the_table_the_csv_and_the_json_say_the_same(
    cli: Callable[..., object], slides: Path, tmp_path: Path
) -> None:
    def ended(*argv: object) -> tuple[int, str]:
        done = cli(*argv)
        return done.code, done.out  # type: ignore[attr-defined]

    code, table = ended("plan", slides, "--seconds", "0.2")
    assert code == 3
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "cannot: broken.svs" in table
    code, text = ended("plan", slides, "--seconds", "0.2", "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert code == 3
    assert tuple(rows[0]) == COLUMNS
    code, text = ended("segment", slides / "good.tif", "-o", tmp_path / "a.geojson", "--dry-run")
    assert code == 0
    assert "1 of 1 slides" in text
    assert not [*tmp_path.iterdir()]
    code, text = ended("plan", slides, "--seconds", "0.2", "--json")
    told = json.loads(text)
    assert code == 3
    assert [each["path"] for each in told["slides"]] == [row["path"] for row in rows]
    assert [each["windows"] for each in told["slides"]] == [int(row["windows"]) for row in rows]


def test_a_dry_run_sees_outputs_that_are_there(
    cli: Callable[..., object], slides: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.geojson").write_text("mine")
    done = cli("segment", slides / "good.tif", "-o", tmp_path / "a.geojson", "--dry-run")
    assert done.code == 3  # type: ignore[attr-defined]
    assert "the output is there already" in done.out  # type: ignore[attr-defined]
    assert (tmp_path / "a.geojson").read_text() == "mine"
