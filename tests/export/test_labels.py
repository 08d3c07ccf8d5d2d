"""The label image: the px are the masks that outlines were traced from, at every place of the shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.export.test_stored import STORED
from tests.nuclei.scenes import configs, scenes
from wsi_nucssl.errors import InputError
from wsi_nucssl.export import labels
from wsi_nucssl.export.base import export
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.export.stored import read_stored
from wsi_nucssl.geometry import Size
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.polygons import trace_polygons
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei
from wsi_nucssl.testing.exporters import CONTEXT


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small scene has many."""
    monkeypatch.setattr(labels, "_SHARD_PX", 16)
    monkeypatch.setattr(labels, "_CHUNK_PX", 8)


def level(path: Path, number: int = 0) -> NDArray[np.int32]:
    return np.asarray(zarr.open_array(path / labels.LABELS / str(number), mode="r")[:])


def drawn(masks: NDArray[np.int32], path: Path, tables: list[Nuclei]) -> NDArray[np.int32]:
    context = replace(CONTEXT, extent=Size(masks.shape[1], masks.shape[0]))
    export({path: labels.ZARR}, tables, context)
    return level(path)


def blobs(seed: int, side: int) -> NDArray[np.int32]:
    """Masks of round nuclei, some with a hole that holds another nucleus, some that touch."""
    rng = np.random.default_rng(seed)
    masks: NDArray[np.int32] = np.zeros((side, side), np.int32)
    for number in range(1, side // 2):
        x, y = rng.integers(0, side, 2).tolist()
        cv2.circle(masks, (x, y), int(rng.integers(2, 14)), number, int(rng.choice([-1, 3])))
    parts: NDArray[np.int32] = np.zeros_like(masks)
    for number in np.unique(masks)[1:].tolist():
        count, found = cv2.connectedComponents((masks == number).astype(np.uint8), connectivity=4)
        parts[found > 0] = found[found > 0] + parts.max()
        assert count > 1
    return parts


def table_of(masks: NDArray[np.int32]) -> Nuclei:
    count = int(masks.max())
    polygons = trace_polygons(masks, count)
    return Nuclei(
        np.stack([np.arange(count), np.arange(count)], axis=1),
        polygons.ring_xy,
        polygons.ring_offsets,
        polygons.polygon_offsets,
        np.ones((count, len(MEASUREMENTS)), np.float32),
        np.zeros(count, np.bool_),
    )


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("seed", range(5))
def test_px_are_the_masks_with_holes_and_touching_nuclei(seed: int, tmp_path: Path) -> None:
    masks = blobs(seed, 70)
    table = table_of(masks)
    assert len(table) > 10
    np.testing.assert_array_equal(drawn(masks, tmp_path / "n.zarr", [*table.slices(7)]), masks)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(scenes(), configs, st.integers(1, 5))
@pytest.mark.usefixtures("small_shards")
def test_px_are_those_of_the_instances(
    tmp_path: Path, scene: NDArray[np.uint8], config: InstanceConfig, size: int
) -> None:
    nuclei = extract_nuclei(scene, config)
    expected = np.zeros(scene.shape[1:], np.int32)
    for index, ring in enumerate(nuclei.rings(each) for each in range(len(nuclei))):
        assert len(ring) >= 1
        expected[_inside(ring, expected.shape)] = index + 1
    found = drawn(expected, tmp_path / "n.zarr", [*nuclei.slices(size)])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found > 0, label_instances(scene, config) > 0)


def _inside(rings: list[NDArray[np.int32]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A plain reference: the parity of vertical edges left of each px."""
    inside = np.zeros(shape, np.bool_)
    for ring in rings:
        for (x, y), (next_x, next_y) in zip(ring[:-1].tolist(), ring[1:].tolist(), strict=True):
            if x == next_x:
                inside[min(y, next_y) : max(y, next_y), x:] ^= True
    return inside


@pytest.mark.usefixtures("small_shards")
def test_each_level_is_every_second_px_of_the_one_before(tmp_path: Path) -> None:
    masks = blobs(1, 71)
    drawn(masks, tmp_path / "n.zarr", [table_of(masks)])
    ome: Any = zarr.open_group(tmp_path / "n.zarr" / labels.LABELS, mode="r").attrs["ome"]
    paths = [each["path"] for each in ome["multiscales"][0]["datasets"]]
    assert ome["image-label"] == {"source": {"image": "../../"}}
    assert paths == ["0", "1", "2", "3", "4"]
    for number in range(1, len(paths)):
        np.testing.assert_array_equal(level(tmp_path / "n.zarr", number), masks[:: 2**number, :: 2**number])


@pytest.mark.usefixtures("small_shards")
def test_shards_without_nuclei_take_no_space(tmp_path: Path) -> None:
    masks: NDArray[np.int32] = np.zeros((64, 64), np.int32)
    masks[20:24, 36:40] = 1
    drawn(masks, tmp_path / "n.zarr", [table_of(masks)])
    shards = [path for path in (tmp_path / "n.zarr" / labels.LABELS / "0").rglob("*") if path.is_file()]
    assert sorted(path.name for path in shards) == ["2", "zarr.json"]
    assert not [path for path in (tmp_path / "n.zarr" / "0").iterdir() if path.name != "zarr.json"]


def test_a_file_gives_the_image_that_the_run_gives(tmp_path: Path) -> None:
    """Where nobody knows the extent, it ends with the last nucleus."""
    masks = blobs(2, 70)
    table = table_of(masks)
    source = tmp_path / "n.geojson"
    export({source: EXPORTERS.get("geojson")}, [table], STORED)
    context, tables = read_stored(source)
    export({tmp_path / "n.zarr": labels.ZARR}, tables, context)
    found = level(tmp_path / "n.zarr")
    rows, cols = found.shape
    np.testing.assert_array_equal(found, masks[:rows, :cols])
    assert not masks[rows:].any()
    assert not masks[:, cols:].any()
    assert dict(zarr.open_group(tmp_path / "n.zarr").attrs)["wsi_nucssl"] == {**STORED.header}


def test_outlines_that_were_drawn_by_hand_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "n.geojson"
    wrong = replace(STORED, header={**STORED.header, "scale_l0": [1.9, 0.5]})
    export({source: EXPORTERS.get("geojson")}, [table_of(blobs(2, 70))], wrong)
    context, tables = read_stored(source)
    with pytest.raises(InputError, match="do not follow the px"):
        export({tmp_path / "n.zarr": labels.ZARR}, tables, context)
    assert not (tmp_path / "n.zarr").exists()


@pytest.fixture
def nodes(tmp_path: Path) -> list[Any]:
    """What ome-zarr-py finds in a store."""
    reader = pytest.importorskip("ome_zarr.reader", reason="ome-zarr is not installed")
    from ome_zarr.io import parse_url

    masks = blobs(3, 70)
    drawn(masks, tmp_path / "n.zarr", [table_of(masks)])
    return [*reader.Reader(parse_url(tmp_path / "n.zarr"))()]


@pytest.mark.usefixtures("small_shards")
def test_napari_shows_image_and_labels(tmp_path: Path) -> None:
    reader = pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    masks = blobs(3, 70)
    drawn(masks, tmp_path / "n.zarr", [table_of(masks)])
    read = reader.napari_get_reader(str(tmp_path / "n.zarr"))
    layers = {kind: np.asarray(data[0]) for data, _, kind in read(str(tmp_path / "n.zarr"))}
    assert layers.keys() == {"image", "labels"}
    np.testing.assert_array_equal(layers["labels"], masks)


@pytest.mark.usefixtures("small_shards")
def test_ome_zarr_finds_image_and_labels(nodes: list[Any]) -> None:
    image, _, found = nodes
    np.testing.assert_array_equal(np.asarray(found.data[0]), blobs(3, 70))
    assert [each.shape for each in found.data] == [each.shape for each in image.data]
    assert found.metadata["axes"][0]["unit"] == "micrometer"
