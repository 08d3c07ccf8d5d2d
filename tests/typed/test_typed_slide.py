"""A slide with types, from windows to files and back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import shapely

from tests.segment import fakes
from tests.typed import toys
from wsi_nucssl.result import Result
from wsi_nucssl.result.reading import read_nuclei
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.region import segment
from wsi_nucssl.segment.run import segment_slide

mpl.use("Agg")

HEIGHT, WIDTH = 300, 1300
"""Two windows side by side."""
IMAGE, LABELS, TYPES = toys.scene(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.write_slide(tmp_path_factory.mktemp("slide") / "toy.tif", IMAGE)


@pytest.fixture(scope="module")
def files(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("out")
    paths = {name: folder / f"n.{name}" for name in ("geojson", "csv")}
    options = SegmentOptions(keep_probabilities=True)
    segment_slide(str(slide), paths.values(), toys.model(), options, engine=toys.ByColour())
    return paths


@pytest.fixture(scope="module")
def result(slide: Path) -> Result:
    return segment(slide, model=toys.model(), engine=toys.ByColour())


def _truth(result: Result) -> list[str]:
    """The type under the middle of each nucleus."""
    return [TYPES[int(LABELS[int(point.y), int(point.x)])] for point in shapely.centroid(result.polygons)]


def test_every_nucleus_has_the_type_that_its_colour_says(result: Result) -> None:
    assert len(result) == len(TYPES)
    assert result.table.type.tolist() == _truth(result)
    assert {*result.table.type} == {toys.BLUE, toys.GREEN}
    assert (result.table.type_probability > 0.75).all()


def test_files_say_what_the_region_says(result: Result, files: dict[str, Path]) -> None:
    document = json.loads(files["geojson"].read_text())
    looks = [feature["properties"]["classification"] for feature in document["features"]]
    assert [look["name"] for look in looks] == result.table.type.tolist()
    colours = {each.name: [*each.color] for each in toys.model().info.schema.types}
    assert all(look["color"] == colours[look["name"]] for look in looks)
    assert document["wsi_nucssl"]["types"] == toys.model().info.schema.types_header()
    with files["csv"].open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["type"] for row in table] == result.table.type.tolist()
    assert [float(row["type_probability"]) for row in table] == result.table.type_probability.tolist()


def test_what_was_written_is_read_back(result: Result, files: dict[str, Path], tmp_path: Path) -> None:
    again = read_nuclei(files["geojson"])
    assert list(again.table) == list(result.table)
    assert again.table.equals(result.table)
    some = result[result.table.type == toys.GREEN]
    assert read_nuclei(some.to_geojson(tmp_path / "some.geojson")).table.equals(some.table)
    assert again.features == result.features


def test_a_class_that_was_taken_away_reads_as_none(files: dict[str, Path], tmp_path: Path) -> None:
    document = json.loads(files["geojson"].read_text())
    del document["features"][0]["properties"]["classification"]
    (tmp_path / "edited.geojson").write_text(json.dumps(document))
    assert read_nuclei(tmp_path / "edited.geojson").table.type[0] == ""


def test_a_slide_in_one_window_has_the_same_types(result: Result) -> None:
    """As an image, which is one block; seams of windows and blocks change no type."""
    whole = segment(IMAGE, mpp=0.25, model=toys.model(), engine=toys.ByColour())
    assert whole.table.type.tolist() == result.table.type.tolist()
    assert whole.table.type_probability.tolist() == result.table.type_probability.tolist()


def test_probabilities_are_kept_with_their_names(files: dict[str, Path]) -> None:
    import zarr

    kept = zarr.open_array(str(files["geojson"]) + ".run/probabilities.zarr", mode="r")
    assert kept.attrs["planes"] == [
        "body",
        "boundary",
        "type Neoplastic",
        "type Inflammatory",
        "hematoxylin_od",
    ]
    planes = np.asarray(kept)
    assert planes.shape == (5, HEIGHT, WIDTH)
    inside = LABELS > 0
    assert (planes[2].astype(int) + planes[3])[inside].min() >= 254


def test_a_plot_shows_types_in_their_colours(result: Result) -> None:
    ax = result.plot(color_by="type")
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [toys.BLUE, toys.GREEN]
    (nuclei,) = ax.collections
    first = {each.name: each.color for each in toys.model().info.schema.types}[result.table.type[0]]
    assert np.asarray(nuclei.get_edgecolor())[0, :3] == pytest.approx(np.array(first) / 255)


def test_a_model_without_types_says_nothing_of_them(slide: Path, tmp_path: Path) -> None:
    plain = segment(slide, model=fakes.model(), engine=fakes.DarkIsNucleus())
    assert "type" not in plain.table
    assert "types" not in plain.header
    assert "type" not in read_nuclei(plain.to_geojson(tmp_path / "plain.geojson")).table
