"""Every format that is installed holds the contract: whole or absent, the same nuclei, the same bytes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.nuclei.scenes import configs, scenes
from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei, export
from wsi_nucssl.export.columns import COLUMNS
from wsi_nucssl.export.csv import COLUMN_NAMES
from wsi_nucssl.export.registry import EXPORTERS, endings, format_of, in_order
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.files import sha256_tree
from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.schema import NucleusType

CONTEXT = ExportContext(
    CanvasTransform(2.0, 0.5, 10.0, 4.0), Mpp(0.25, 0.3), "slide", {"version": "1"}, extent=Size(60, 40)
)


@pytest.fixture
def nuclei() -> Nuclei:
    """Two squares, one of them with a hole that is not in its middle."""
    body = np.zeros((40, 60), np.uint8)
    body[2:20, 3:21] = 255
    body[5:8, 6:9] = 0
    body[24:28, 30:38] = 255
    scene = np.stack([body, np.zeros_like(body), np.full_like(body, 50)])
    return extract_nuclei(scene, InstanceConfig(regrow_px=0, min_marker_px=0, min_area_px=0))


@pytest.fixture(params=EXPORTERS.own_names)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_same_tables_give_the_same_bytes_however_cut(name: str, nuclei: Nuclei, tmp_path: Path) -> None:
    exporter, one, two = EXPORTERS.get(name), tmp_path / f"one.{name}", tmp_path / f"two.{name}"
    assert export({one: exporter}, [nuclei], CONTEXT) == 2
    assert export({two: exporter}, [Nuclei.empty(), *nuclei.slices(1), Nuclei.empty()], CONTEXT) == 2
    assert sha256_tree(one) == sha256_tree(two)
    export({two: exporter}, [Nuclei.concatenate([nuclei, nuclei])], CONTEXT)
    assert sha256_tree(one) != sha256_tree(two)
    assert sorted(path.name for path in tmp_path.iterdir()) == [one.name, two.name]


def test_what_is_not_whole_does_not_appear(name: str, nuclei: Nuclei, tmp_path: Path) -> None:
    def broken() -> Iterator[Nuclei]:
        yield nuclei
        raise RuntimeError

    path = tmp_path / f"n.{name}"
    with pytest.raises(RuntimeError):
        export({path: EXPORTERS.get(name)}, broken(), CONTEXT)
    assert not list(tmp_path.iterdir())
    export({path: EXPORTERS.get(name)}, [], CONTEXT)
    before = sha256_tree(path)
    with pytest.raises(RuntimeError):
        export({path: EXPORTERS.get(name)}, broken(), CONTEXT)
    assert sha256_tree(path) == before
    assert list(tmp_path.iterdir()) == [path]


@contextmanager
def fails_at_the_end(path: Path, _: ExportContext) -> Iterator[WriteNuclei]:
    with path.open("w") as file:
        yield lambda nuclei: file.write(str(len(nuclei)))
    raise RuntimeError


def test_one_that_fails_keeps_the_others_from_appearing(nuclei: Nuclei, tmp_path: Path) -> None:
    outputs = {tmp_path / name: EXPORTERS.get(name) for name in EXPORTERS.own_names}
    outputs[tmp_path / "last"] = Exporter(fails_at_the_end)
    with pytest.raises(RuntimeError):
        export(outputs, [nuclei], CONTEXT)
    assert not list(tmp_path.iterdir())


def test_tables_are_taken_once_for_all_formats(nuclei: Nuclei, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    for name in EXPORTERS.own_names:
        export({alone / f"n.{name}": EXPORTERS.get(name)}, [nuclei], CONTEXT)
    outputs = {together / f"n.{name}": EXPORTERS.get(name) for name in EXPORTERS.own_names}
    assert export(outputs, iter([nuclei]), CONTEXT) == 2
    assert sha256_tree(alone) == sha256_tree(together)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_says_what_the_geojson_says(nuclei: Nuclei, tmp_path: Path) -> None:
    paths = {name: tmp_path / f"n.{name}" for name in ("geojson", "csv")}
    export({path: EXPORTERS.get(name) for name, path in paths.items()}, [nuclei], CONTEXT)
    table = rows(paths["csv"])
    features = json.loads(paths["geojson"].read_text())["features"]
    assert tuple(table[0]) == COLUMN_NAMES
    for row, feature in zip(table, features, strict=True):
        assert row["id"] == feature["id"]
        for column in COLUMNS:
            assert float(row[column.name]) == feature["properties"]["measurements"][column.qupath]
        centroid = shapely.geometry.shape(feature["geometry"]).centroid
        px = float(row["centroid_x_px"]), float(row["centroid_y_px"])
        assert px == pytest.approx((centroid.x, centroid.y), abs=0.0051)
        um = float(row["centroid_x_um"]), float(row["centroid_y_um"])
        assert um == pytest.approx((centroid.x * 0.125, centroid.y * 0.6), abs=1e-4)


def test_csv_marks_what_was_truncated(nuclei: Nuclei, tmp_path: Path) -> None:
    flagged = Nuclei(
        nuclei.seed_xy,
        nuclei.ring_xy,
        nuclei.ring_offsets,
        nuclei.polygon_offsets,
        nuclei.measurements,
        np.array([False, True]),
    )
    export({tmp_path / "n.csv": EXPORTERS.get("csv")}, [flagged], CONTEXT)
    assert [row["truncated"] for row in rows(tmp_path / "n.csv")] == ["0", "1"]


def with_types(nuclei: Nuclei) -> Nuclei:
    """The two nuclei of the fixture with types of their own, and probabilities of three."""
    probability = np.array([[0.25, 0.75, 0.0], [0.5, 0.12341, 0.37659]], np.float32)
    return replace(nuclei, type_id=np.array([1, 0], np.int16), type_probability=probability)


TYPES = (
    NucleusType('round, "small"', (1, 2, 3)),
    NucleusType("long", (0, 255, 7)),
    NucleusType("no", (9, 9, 9)),
)


def test_types_are_classes_in_every_format(nuclei: Nuclei, tmp_path: Path) -> None:
    paths = {name: tmp_path / f"n.{name}" for name in ("geojson", "csv")}
    context = replace(CONTEXT, types=TYPES)
    export({path: EXPORTERS.get(name) for name, path in paths.items()}, [with_types(nuclei)], context)
    table = rows(paths["csv"])
    features = json.loads(paths["geojson"].read_text())["features"]
    looks = [feature["properties"]["classification"] for feature in features]
    assert looks == [{"name": "long", "color": [0, 255, 7]}, {"name": 'round, "small"', "color": [1, 2, 3]}]
    own = [feature["properties"]["measurements"]["Type probability"] for feature in features]
    assert own == [0.75, 0.5]
    assert [(row["type"], float(row["type_probability"])) for row in table] == [
        ("long", 0.75),
        ('round, "small"', 0.5),
    ]
    assert tuple(table[0]) == (*COLUMN_NAMES, "type", "type_probability")


def test_types_change_nothing_else(nuclei: Nuclei, tmp_path: Path) -> None:
    for name, context in (("without", CONTEXT), ("with", replace(CONTEXT, types=TYPES))):
        export({tmp_path / f"{name}.geojson": EXPORTERS.get("geojson")}, [with_types(nuclei)], context)
    without, typed = (json.loads((tmp_path / f"{name}.geojson").read_text()) for name in ("without", "with"))
    assert all(each["properties"]["classification"]["name"] == "Nucleus" for each in without["features"])
    for plain, feature in zip(without["features"], typed["features"], strict=True):
        feature["properties"]["classification"] = plain["properties"]["classification"]
        del feature["properties"]["measurements"]["Type probability"]
    assert typed == without


def test_a_nucleus_without_a_type_keeps_the_common_class(nuclei: Nuclei, tmp_path: Path) -> None:
    """As nuclei of a model without types do, among those of a schema that has some."""
    export({tmp_path / "n.geojson": EXPORTERS.get("geojson")}, [nuclei], replace(CONTEXT, types=TYPES))
    features = json.loads((tmp_path / "n.geojson").read_text())["features"]
    assert {feature["properties"]["classification"]["name"] for feature in features} == {"Nucleus"}


@settings(max_examples=50, deadline=None)
@given(scenes(), configs, st.integers(0, 200_000))
def test_centroids_are_those_of_the_polygons(
    scene: NDArray[np.uint8], config: InstanceConfig, far: int
) -> None:
    table = extract_nuclei(scene, config)
    moved = Nuclei(
        table.seed_xy + far,
        table.ring_xy + np.int32(far),
        table.ring_offsets,
        table.polygon_offsets,
        table.measurements,
        table.truncated,
    )
    assert table.centroids_xy().shape == (len(table), 2)
    for index, centroid in enumerate(moved.centroids_xy()):
        exterior, *holes = (ring.astype(float) - far for ring in moved.rings(index))
        expected = shapely.Polygon(exterior, holes).centroid
        np.testing.assert_allclose(centroid - far, (expected.x, expected.y), atol=1e-6)


def test_units_follow_the_px(nuclei: Nuclei) -> None:
    """Of px that are 2 µm wide and 3 µm high, areas count sixfold, lengths by its root, ratios not at all."""
    one = ExportContext(CONTEXT.transform, Mpp(1, 1), "slide", {}).measured(nuclei)
    other = ExportContext(CONTEXT.transform, Mpp(2, 3), "slide", {}).measured(nuclei)
    factors = {"µm²": 6, "µm": 6**0.5, "": 1}
    expected = one * [factors[column.unit] for column in COLUMNS]
    np.testing.assert_allclose(other, expected, atol=3.01)


def test_names_end_in_their_unit() -> None:
    suffix = {"µm²": "_um2", "µm": "_um", "": ""}
    for column in COLUMNS:
        assert column.name == column.measurement + suffix[column.unit]


def test_endings_name_formats() -> None:
    assert format_of(Path("a.b/n.geojson")) == "geojson"
    assert format_of(Path("n.geojson.gz")) == "geojson.gz"
    assert format_of(Path("n.csv")) == "csv"
    assert format_of(Path("geojson")) is None
    assert format_of(Path("n.CSV")) is None
    assert endings() == ".geojson, .geojson.gz or .csv"
    assert in_order(["csv", "geojson", "csv"]) == ("geojson", "csv")
    assert in_order([]) == ()
    with pytest.raises(UsageError, match=r"no format 'cvs'\. Choose one of geojson, geojson.gz, csv"):
        in_order(["geojson", "cvs"])


def test_names_cost_no_import() -> None:
    code = (
        "import sys; from wsi_nucssl.export.registry import EXPORTERS; assert len(EXPORTERS.names) > 2\n"
        "assert not {'numpy', 'orjson', 'numba'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_documentation_lists_every_format() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "extending.md"
    listed = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    for plugin in EXPORTERS:
        assert f"| `{plugin.name}` | {plugin.help} |" in listed
