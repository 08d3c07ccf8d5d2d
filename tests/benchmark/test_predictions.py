"""Anybody's predictions: label images in every format, and GeoJSON to the pixel."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from wsi_nucssl.benchmark.predictors import PredictionFolder
from wsi_nucssl.datasets.geojson_labels import read_geojson_labels
from wsi_nucssl.errors import DatasetError, InputError
from wsi_nucssl.export.geojson import write_geojson
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.seams import extract_block
from wsi_nucssl.nuclei.settings import InstanceConfig

IMAGE = np.zeros((6, 9, 3), np.uint8)
LABELS = np.random.default_rng(0).integers(0, 5, (6, 9)).astype(np.uint16)


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = set(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) and (0, 0) in pairs


def as_png(folder: Path) -> None:
    (folder / "a.png").write_bytes(imagecodecs.png_encode(LABELS))


def as_npy(folder: Path) -> None:
    np.save(folder / "a.npy", LABELS.astype(np.int64))


def as_mat(folder: Path) -> None:
    savemat(folder / "a.mat", {"inst_map": LABELS.astype(float)})


def as_tif(folder: Path) -> None:
    tifffile.imwrite(folder / "a.tif", LABELS)


@pytest.mark.parametrize("save", [as_png, as_npy, as_mat, as_tif])
def test_label_images_of_every_format(tmp_path: Path, save: Callable[[Path], None]) -> None:
    save(tmp_path)
    (tmp_path / "notes.md").write_text("not a prediction")
    folder = PredictionFolder.open(tmp_path)
    np.testing.assert_array_equal(folder.label_image("a", IMAGE, 0.25), LABELS)
    assert folder.name == tmp_path.name


def test_what_is_missing_doubled_or_of_another_size_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        PredictionFolder.open(tmp_path / "none")
    with pytest.raises(DatasetError, match="no predictions"):
        PredictionFolder.open(tmp_path)
    as_png(tmp_path)
    folder = PredictionFolder.open(tmp_path)
    with pytest.raises(DatasetError, match="no prediction for b"):
        folder.label_image("b", IMAGE, 0.25)
    with pytest.raises(DatasetError, match="9 × 6 px, the image 9 × 7"):
        folder.label_image("a", np.zeros((7, 9, 3), np.uint8), 0.25)
    as_npy(tmp_path)
    with pytest.raises(DatasetError, match="two predictions for a"):
        PredictionFolder.open(tmp_path)


def write(path: Path, *geometries: Mapping[str, object]) -> Path:
    features = [
        {"type": "Feature", "properties": {"objectType": "detection"}, "geometry": geometry}
        for geometry in geometries
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def square(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def test_coordinates_are_pixel_corners(tmp_path: Path) -> None:
    path = write(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": [square(1, 2, 4, 5)]})
    expected = np.zeros((6, 9), int)
    expected[2:5, 1:4] = 1
    np.testing.assert_array_equal(read_geojson_labels(path, (6, 9)), expected)


def test_holes_stay_holes_and_parts_are_one_nucleus(tmp_path: Path) -> None:
    ring = {"type": "Polygon", "coordinates": [square(0, 0, 5, 5), square(1, 1, 4, 4)]}
    inner = {"type": "Polygon", "coordinates": [square(2, 2, 3, 3)]}
    parts = {"type": "MultiPolygon", "coordinates": [[square(6, 0, 7, 2)], [square(8, 4, 9, 6)]]}
    labels = read_geojson_labels(write(tmp_path / "a.geojson", ring, inner, parts), (6, 9))
    expected = np.zeros((6, 9), int)
    expected[:5, :5] = 1
    expected[1:4, 1:4] = 0
    expected[2, 2] = 2
    expected[0:2, 6] = expected[4:6, 8] = 3
    np.testing.assert_array_equal(labels, expected)


def test_the_earlier_polygon_keeps_the_pixel_and_what_lies_outside_is_cut(tmp_path: Path) -> None:
    first = {"type": "Polygon", "coordinates": [square(-3, -3, 2, 2)]}
    second = {"type": "Polygon", "coordinates": [square(1, 1, 99, 3)]}
    far = {"type": "Polygon", "coordinates": [square(50, 50, 60, 60)]}
    labels = read_geojson_labels(write(tmp_path / "a.geojson", first, second, far), (6, 9))
    expected = np.zeros((6, 9), int)
    expected[1:3, 1:] = 2
    expected[:2, :2] = 1
    np.testing.assert_array_equal(labels, expected)


def test_collections_lists_features_compressed_or_not(tmp_path: Path) -> None:
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [square(0, 0, 2, 2)]}}
    contents = [[feature], feature, {"type": "FeatureCollection", "features": [feature]}]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.geojson.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
        (tmp_path / f"plain{number}.json").write_text(json.dumps(content))
    folder = PredictionFolder.open(tmp_path)
    for name in folder.files:
        assert folder.label_image(name, IMAGE, 0.25).sum() == 4
    (tmp_path / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    assert not PredictionFolder.open(tmp_path).label_image("empty", IMAGE, 0.25).any()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "7",
        "{}",
        '{"type": "FeatureCollection", "features": [{"geometry": null}]}',
        '[{"geometry": {"type": "Point", "coordinates": [1, 2]}}]',
        '[{"geometry": {"type": "Polygon", "coordinates": []}}]',
        '[{"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}]',
        '[{"geometry": {"type": "Polygon", "coordinates": [[0, 0, 1]]}}]',
        '[{"geometry": {"type": "Polygon", "coordinates": [[[1], [2], [3]]]}}]',
    ],
)
def test_what_is_no_geojson_of_polygons_is_named(tmp_path: Path, text: str) -> None:
    for path, data in (
        (tmp_path / "a.geojson", text.encode()),
        (tmp_path / "a.geojson.gz", gzip.compress(text.encode())),
        (tmp_path / "b.geojson.gz", b"not gzip"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError) as caught:
            read_geojson_labels(path, (6, 9))
        assert caught.value.path == str(path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**16))
def test_our_own_geojson_comes_back_to_the_pixel(tmp_path: Path, seed: int) -> None:
    planes = np.random.default_rng(seed).integers(0, 256, (3, 12, 15)).astype(np.uint8)
    planes = planes.repeat(3, axis=1).repeat(3, axis=2)
    planes[1] //= 2
    extent = Box(0, 0, planes.shape[2], planes.shape[1])
    config = InstanceConfig(body=0.5, foreground=0.4, regrow_px=3, min_marker_px=2, min_area_px=3)
    table = extract_block(lambda box: planes[:, *box.rc], extent, extent, config, halo=48, max_halo=512)
    path = tmp_path / "a.geojson"
    write_geojson(path, [table], CanvasTransform(1.0, 1.0), mpp=Mpp.square(0.25), identity="s", header={})
    labels = read_geojson_labels(path, planes.shape[1:])
    assert same_partition(labels, label_instances(planes, config))


def test_polygons_that_all_lie_elsewhere_are_no_empty_prediction(tmp_path: Path) -> None:
    square = [[[900, 900], [910, 900], [910, 910], [900, 900]]]
    features = [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": square}}]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(DatasetError, match=r"none of its 1 polygons covers a pixel"):
        PredictionFolder.open(tmp_path).label_image("a", IMAGE, 0.25)
