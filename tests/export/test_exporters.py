"""Every format that is installed holds the contract: whole or absent, the same nuclei, the same bytes."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
import zarr

from tests.export import toys
from tests.export.dicom_slide import write_dicom_slide
from tests.outside import installed
from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.columns import COLUMNS
from wsi_nucssl.export.csv import COLUMN_NAMES
from wsi_nucssl.export.ids import spelled_ids
from wsi_nucssl.export.registry import EXPORTERS, endings, format_of, in_order
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.schema import NucleusType
from wsi_nucssl.testing.exporters import CONTEXT, ExporterTests, make_nuclei


@pytest.fixture
def nuclei() -> Nuclei:
    return make_nuclei()


class TestGeojson(ExporterTests):
    name = "geojson"

    def features(self, path: Path) -> list[Any]:
        features: list[Any] = json.loads(path.read_bytes())["features"]
        return features

    def count(self, path: Path) -> int:
        return len(self.features(path))

    def ids(self, path: Path) -> list[str]:
        return [feature["id"] for feature in self.features(path)]


class TestGeojsonGz(TestGeojson):
    name = "geojson.gz"

    def features(self, path: Path) -> list[Any]:
        features: list[Any] = json.loads(gzip.decompress(path.read_bytes()))["features"]
        return features


class TestCsv(ExporterTests):
    name = "csv"

    def count(self, path: Path) -> int:
        return len(rows(path))

    def ids(self, path: Path) -> list[str]:
        return [row["id"] for row in rows(path)]


class TestParquet(ExporterTests):
    name = "parquet"

    def count(self, path: Path) -> int:
        return len(pd.read_parquet(path))

    def ids(self, path: Path) -> list[str]:
        ids: list[str] = pd.read_parquet(path, columns=["id"]).id.tolist()
        return ids


class TestZarr(ExporterTests):
    name = "zarr"

    def count(self, path: Path) -> int:
        return int(np.max(zarr.open_array(path / "labels/nuclei/0", mode="r")[:]))

    def ids(self, path: Path) -> list[str]:
        return spelled_ids(np.asarray(zarr.open_array(path / "ids", mode="r")[:]))


class TestH5ad(ExporterTests):
    name = "h5ad"

    def read(self, path: Path) -> Any:
        return pytest.importorskip("anndata").read_h5ad(path)

    def count(self, path: Path) -> int:
        return int(self.read(path).n_obs)

    def ids(self, path: Path) -> list[str]:
        return [*self.read(path).obs_names]


class TestSpatialData(ExporterTests):
    name = "spatialdata.zarr"

    def count(self, path: Path) -> int:
        return int(zarr.open_array(path / "tables/table/X", mode="r").shape[0])

    def ids(self, path: Path) -> list[str]:
        ids: list[str] = pd.read_parquet(path / "shapes/nuclei/shapes.parquet").index.tolist()
        annotated = np.asarray(zarr.open_array(path / "tables/table/obs/nucleus", mode="r")[:])
        assert annotated.tolist() == ids
        return ids


class TestDicom(ExporterTests):
    name = "ann.dcm"

    @pytest.fixture(scope="class")
    @classmethod
    def slide(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        pytest.importorskip("highdicom", reason="DICOM annotations need highdicom")
        return write_dicom_slide(tmp_path_factory.mktemp("slide"), np.zeros((100, 90, 3), np.uint8), 0.25)

    @pytest.fixture
    def context(self, slide: Path) -> ExportContext:
        return replace(CONTEXT, slide=slide)

    def groups(self, path: Path) -> list[Any]:
        import highdicom

        return [*highdicom.ann.annread(path).AnnotationGroupSequence]

    def count(self, path: Path) -> int:
        return sum(group.NumberOfAnnotations for group in self.groups(path))

    def ids(self, path: Path) -> list[str]:
        (group,) = self.groups(path)
        ids = group.private_block(0x99, "WSI-NUCSSL")[2].value or b""
        return spelled_ids(np.frombuffer(ids, np.uint8).reshape(-1, 16))


class TestAFolderFromOutside(ExporterTests):
    name = "toy"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _installed(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        site = tmp_path_factory.mktemp("site")
        with installed(site, EXPORTERS, "toy_format", toys.ENTRY, toys.MODULE):
            yield

    def count(self, path: Path) -> int:
        return sum(1 for file in path.iterdir() if file.name != "slide.txt")


def test_every_format_of_ours_has_its_class() -> None:
    classes = (
        *(TestGeojson, TestGeojsonGz, TestCsv, TestParquet, TestZarr),
        *(TestH5ad, TestSpatialData, TestDicom),
    )
    assert [each.name for each in classes] == [*EXPORTERS.own_names]


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
    export({tmp_path / "n.csv": EXPORTERS.get("csv")}, [nuclei], CONTEXT)
    assert [row["truncated"] for row in rows(tmp_path / "n.csv")] == ["0", "1", "0"]


def with_types(nuclei: Nuclei) -> Nuclei:
    """The three nuclei of the fixture with types of their own, and probabilities of three."""
    probability = np.array([[0.25, 0.75, 0.0], [0.5, 0.12341, 0.37659], [1, 0, 0]], np.float32)
    return replace(nuclei, type_id=np.array([1, 0, 0], np.int16), type_probability=probability)


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
    small = {"name": 'round, "small"', "color": [1, 2, 3]}
    assert looks == [{"name": "long", "color": [0, 255, 7]}, small, small]
    own = [feature["properties"]["measurements"]["Type probability"] for feature in features]
    assert own == [0.75, 0.5, 1]
    assert [(row["type"], float(row["type_probability"])) for row in table] == [
        ("long", 0.75),
        ('round, "small"', 0.5),
        ('round, "small"', 1),
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
    assert format_of(Path("n.spatialdata.zarr")) == "spatialdata.zarr"
    assert format_of(Path("n.dcm")) is None
    assert endings() == ".geojson, .geojson.gz, .csv, .parquet, .zarr, .h5ad, .spatialdata.zarr or .ann.dcm"
    assert in_order(["csv", "geojson", "csv"]) == ("geojson", "csv")
    assert in_order(["labels", "csv", "zarr"]) == ("csv", "zarr")
    assert in_order(["dicom", "spatialdata", "anndata"]) == ("h5ad", "spatialdata.zarr", "ann.dcm")
    assert in_order([]) == ()
    with pytest.raises(
        UsageError, match=r"no format 'cvs'\. Choose one of geojson, geojson.gz, csv, parquet"
    ):
        in_order(["geojson", "cvs"])


def test_names_cost_no_import() -> None:
    code = (
        "import sys; from wsi_nucssl.export.registry import EXPORTERS; assert len(EXPORTERS.names) > 2\n"
        "assert not {'numpy', 'orjson', 'numba'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
