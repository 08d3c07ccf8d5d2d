"""What is drawn in QuPath trains: cells, classes, regions, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.datasets import factory, geojson
from tests.datasets.geojson import feature
from wsi_nucssl.datasets import open_dataset, open_datasets
from wsi_nucssl.doubts import DoubtWarning
from wsi_nucssl.errors import DatasetError, UsageError

SIDE = 40
ONE, TWO = (3.0, 4.0, 11.0, 9.0), (20.0, 21.0, 29.0, 33.0)


def boxes(*drawn: geojson.Box) -> np.ndarray:
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, (x0, y0, x1, y1) in enumerate(drawn, start=1):
        labels[int(y0) : int(y1), int(x0) : int(x1)] = number
    return labels


def tile(folder: Path, *features: Any, name: str = "a", **envelope: Any) -> Path:
    factory.write_png(folder / f"{name}.png", np.full((SIDE, SIDE, 3), 200, np.uint8))
    geojson.write(folder / f"{name}.geojson", features, **envelope)
    return folder


def test_a_cell_gives_its_nucleus_and_parents_and_tiles_are_left_out(tmp_path: Path) -> None:
    folder = tile(
        tmp_path,
        feature((0, 0, SIDE, SIDE)),
        feature((0, 0, 30, 30), "tile"),
        feature((1, 1, 15, 15), "cell", nucleusGeometry=geojson.polygon(ONE)),
        feature(TWO, "detection"),
    )
    with pytest.warns(DoubtWarning, match="2 annotations, tiles or TMA cores were left out"):
        labels = open_dataset(folder)["a"].labels()
    np.testing.assert_array_equal(labels, boxes(ONE, TWO))


def test_classes_choose_nuclei_and_take_their_subclasses(tmp_path: Path) -> None:
    new = {"properties": {"objectType": "annotation", "classification": {"names": ["Tumor", "Positive"]}}}
    folder = tile(
        tmp_path,
        feature(ONE, name="Stroma"),
        {**feature(TWO), **new},
        feature((0, 12, 4, 16), name="Ignore*"),
    )
    for classes, drawn in (
        ((), (ONE, TWO)),
        ("Tumor", (TWO,)),
        ("tumor: positive", (TWO,)),
        (["Stroma"], (ONE,)),
        ("Stroma, Tumor", (ONE, TWO)),
    ):
        np.testing.assert_array_equal(open_dataset(folder, classes=classes)["a"].labels(), boxes(*drawn))


def test_a_class_that_nobody_has_is_refused_and_those_there_are_named(tmp_path: Path) -> None:
    folder = tile(tmp_path, feature(ONE, name="Tumor"), feature(TWO, name="Stroma"))
    with pytest.raises(DatasetError, match=r"'Tumour'.*Stroma, Tumor"):
        open_dataset(folder, classes="Tumour")
    for classes in (3, [""], [None]):
        with pytest.raises(UsageError, match="a name"):
            open_dataset(folder, classes=classes)  # type: ignore[arg-type]


def test_classes_of_labels_that_have_none_are_refused(tmp_path: Path) -> None:
    factory.write_png(tmp_path / "a.png", factory.image())
    np.save(tmp_path / "a_mask.npy", factory.labels())
    with pytest.raises(DatasetError, match="Tumor"):
        open_dataset(tmp_path, classes="Tumor")
    folds = tmp_path / "fold"
    folds.mkdir()
    np.save(folds / "images.npy", np.zeros((1, 8, 8, 3)))
    np.save(folds / "masks.npy", np.zeros((1, 8, 8, 6)))
    with pytest.raises(UsageError, match="pannuke"):
        open_dataset(folds, classes="Tumor")


def test_um_are_refused_by_name(tmp_path: Path) -> None:
    small = [feature((x, y, x + 3, y + 3)) for x in (1, 6, 11) for y in (1, 7)]
    with pytest.raises(DatasetError, match="seem to be in µm"):
        open_dataset(tile(tmp_path, *small))["a"].labels()


def test_an_image_without_nuclei_is_one(tmp_path: Path) -> None:
    assert not open_dataset(tile(tmp_path))["a"].labels().any()


def test_a_gzipped_file_is_read_as_well(tmp_path: Path) -> None:
    import gzip

    folder = tile(tmp_path, feature(ONE))
    plain = folder / "a.geojson"
    (folder / "a.geojson.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    np.testing.assert_array_equal(open_dataset(folder)["a"].labels(), boxes(ONE))


def test_proposals_train_only_when_somebody_has_exported_them_again(tmp_path: Path) -> None:
    header: dict[str, Any] = {"wsi_nucssl": {"kind": "proposal", "model": "m"}}
    tile(tmp_path, feature(ONE), **header)
    tile(tmp_path, feature(ONE), name="b", **header)
    with pytest.raises(DatasetError, match="all 2 annotations are as propose wrote them"):
        open_dataset(tmp_path)
    tile(tmp_path, feature(TWO), name="b")
    dataset = open_dataset(tmp_path)
    assert dataset.ids == ("b",)
    assert dataset.notes[0].startswith("1 of 2 images were left out")
    np.testing.assert_array_equal(dataset["b"].labels(), boxes(TWO))


class TestRegions:
    REGION = feature((2, 2, 32, 36), name="Region")

    def test_what_lies_outside_is_not_there_and_what_crosses_is_cut(self, tmp_path: Path) -> None:
        folder = tile(tmp_path, self.REGION, feature((0, 4, 11, 9)), feature((34, 0, 39, 9)), feature(TWO))
        (sample,) = open_dataset(folder)
        assert sample.id == "a-x2-y2"
        np.testing.assert_array_equal(sample.labels(), boxes((0, 4, 11, 9), TWO)[2:36, 2:32])

    def test_their_class_can_be_another(self, tmp_path: Path) -> None:
        folder = tile(tmp_path, feature((2, 2, 32, 36), name="done"), feature(ONE))
        assert open_dataset(folder).layout == "beside"
        assert open_dataset(folder, regions="Done").layout == "regions"
        assert open_datasets([folder], regions="Done").ids == ("a-x2-y2",)

    @pytest.mark.parametrize("drawn", ["Region", "Region*", "region"])
    @pytest.mark.parametrize("asked", ["Region", "Region*"])
    def test_the_star_of_the_class_in_the_list_of_qupath_does_not_matter(
        self, tmp_path: Path, drawn: str, asked: str
    ) -> None:
        folder = tile(
            tmp_path, feature((2, 2, 32, 36), name=drawn), feature(TWO), feature(ONE, name="Ignore*")
        )
        (sample,) = open_dataset(folder, regions=asked)
        assert sample.id == "a-x2-y2"
        np.testing.assert_array_equal(sample.labels(), boxes(TWO)[2:36, 2:32])

    def test_the_slide_says_its_mpp_and_bounds_do_not_matter(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
        per_cm = (1e4 / 0.5, 1e4 / 0.5)
        tifffile.imwrite(
            tmp_path / "s.tif", pixels, photometric="rgb", tile=(64, 64), resolution=per_cm, resolutionunit=3
        )
        geojson.write(
            tmp_path / "s.geojson",
            [feature((100, 50, 180, 120), name="Region"), feature((110, 60, 130, 85), "detection")],
        )
        (sample,) = open_dataset(tmp_path)
        assert (sample.mpp, sample.mpp_source, sample.patient) == (0.5, "slide", None)
        image, labels = sample.pair()
        np.testing.assert_array_equal(image, pixels[50:120, 100:180])
        expected = np.zeros((70, 80), np.int32)
        expected[10:35, 10:30] = 1
        np.testing.assert_array_equal(labels, expected)
        with pytest.raises(DatasetError, match=r"given were 0\.25"):
            open_dataset(tmp_path, mpp=0.25)

    def test_those_of_one_slide_stay_together_where_there_are_several(self, tmp_path: Path) -> None:
        for name in "ab":
            tile(tmp_path, self.REGION, feature((0, 0, 9, 9), name="Region"), name=name)
        assert [sample.patient for sample in open_dataset(tmp_path)] == ["a", "a", "b", "b"]

    def test_a_slide_without_one_is_named(self, tmp_path: Path) -> None:
        tile(tmp_path, self.REGION)
        tile(tmp_path, feature(ONE), name="b")
        with pytest.raises(DatasetError, match=r"b\.geojson: no annotation is of the class 'Region'"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize(
        ("geometry", "message"),
        [
            (geojson.polygon((2, 2, 99, 20)), "not within the slide"),
            (geojson.polygon((-3, 2, 9, 20)), "not within the slide"),
            (
                {"type": "Polygon", "coordinates": [[[9, 2], [20, 13], [9, 24], [2, 13], [9, 2]]]},
                "no upright rectangle",
            ),
            ({"type": "Point", "coordinates": [4, 4]}, "a Point, not one rectangle"),
            (
                {
                    "type": "MultiPolygon",
                    "coordinates": [geojson.polygon(b)["coordinates"] for b in (ONE, TWO)],
                },
                "a MultiPolygon, not one rectangle",
            ),
        ],
    )
    def test_others_than_rectangles_on_the_slide_are_refused(
        self, tmp_path: Path, geometry: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(DatasetError, match=message):
            open_dataset(tile(tmp_path, {**self.REGION, "geometry": geometry}, feature(ONE)))

    def test_um_are_refused_by_name(self, tmp_path: Path) -> None:
        pixels = np.full((400, 400, 3), 200, np.uint8)
        per_cm = (1e4 / 0.25, 1e4 / 0.25)
        tifffile.imwrite(
            tmp_path / "s.tif", pixels, photometric="rgb", tile=(64, 64), resolution=per_cm, resolutionunit=3
        )
        small = [feature((x, 5, x + 6, 11), "detection") for x in (3, 12, 22, 40)]
        geojson.write(tmp_path / "s.geojson", [feature((0, 0, 90, 90), name="Region"), *small])
        with pytest.raises(DatasetError, match="seem to be in µm"):
            open_dataset(tmp_path)["s-x0-y0"].labels()
