"""The table of nuclei on disk and in pieces."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.nuclei.scenes import configs, scenes, typed_scenes
from wsi_nucssl.errors import InputError
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei


def assert_same(one: Nuclei, other: Nuclei) -> None:
    for field in fields(Nuclei):
        left, right = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype


@settings(max_examples=40, deadline=None)
@given(scenes(), configs, st.integers(1, 5))
def test_slices_concatenate_to_the_whole(scene: NDArray[np.uint8], config: InstanceConfig, size: int) -> None:
    nuclei = extract_nuclei(scene, config)
    pieces = list(nuclei.slices(size))
    assert_same(Nuclei.concatenate(pieces), nuclei)
    for index in range(len(nuclei)):
        for ours, whole in zip(pieces[index // size].rings(index % size), nuclei.rings(index), strict=True):
            np.testing.assert_array_equal(ours, whole)


@settings(max_examples=40, deadline=None)
@given(typed_scenes(), configs, st.data())
def test_rows_are_taken_in_any_order(
    scene: NDArray[np.uint8], config: InstanceConfig, data: st.DataObject
) -> None:
    """As one table of one nucleus after another."""
    nuclei = extract_nuclei(scene, config)
    alone = list(nuclei.slices(1))
    rows = data.draw(st.lists(st.integers(0, len(nuclei) - 1), max_size=8)) if alone else []
    taken = nuclei.take(np.array(rows, np.intp))
    assert_same(taken, Nuclei.concatenate([nuclei.take(np.zeros(0, np.intp)), *(alone[row] for row in rows)]))
    assert taken.types == nuclei.types


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


@pytest.fixture
def nuclei() -> Nuclei:
    return extract_nuclei(
        np.random.default_rng(0).integers(0, 256, (3, 80, 80), dtype=np.uint8),
        InstanceConfig(min_marker_px=0, min_area_px=0),
    )


def test_saved_and_loaded(tmp_path: Path, nuclei: Nuclei) -> None:
    assert len(nuclei) > 10
    for name in ("a.npz", "b.npz"):
        nuclei.save(tmp_path / name)
    assert_same(Nuclei.load(tmp_path / "a.npz"), nuclei)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_damaged_files_are_named(tmp_path: Path, nuclei: Nuclei) -> None:
    whole = tmp_path / "whole.npz"
    nuclei.save(whole)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole.read_bytes()[:-200])
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, something=np.zeros(3))
    arrays = {field.name: getattr(nuclei, field.name) for field in fields(Nuclei)}
    unfit = tmp_path / "unfit.npz"
    np.savez(unfit, **arrays | {"truncated": np.zeros(1, bool)})
    for path in (cut, foreign, unfit, tmp_path / "absent.npz"):
        with pytest.raises(InputError, match=path.name):
            Nuclei.load(path)


@pytest.mark.parametrize(
    "name", ["seed_xy", "ring_xy", "ring_offsets", "polygon_offsets", "measurements", "truncated", "type_id"]
)
@pytest.mark.parametrize("fewer", [True, False])
def test_arrays_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, nuclei: Nuclei, name: str, fewer: bool
) -> None:
    arrays = {field.name: getattr(nuclei, field.name) for field in fields(Nuclei)}
    whole = arrays[name]
    arrays[name] = whole[:-1] if fewer else np.concatenate([whole, whole[-1:]])
    np.savez(tmp_path / "unfit.npz", **arrays)
    with pytest.raises(InputError, match="do not fit"):
        Nuclei.load(tmp_path / "unfit.npz")


@pytest.mark.parametrize("name", ["ring_offsets", "polygon_offsets"])
@pytest.mark.parametrize("moved", [(0, 1), (2, 10**6), (2, -1)])
def test_offsets_that_do_not_ascend_from_nought_are_refused(
    tmp_path: Path, nuclei: Nuclei, name: str, moved: tuple[int, int]
) -> None:
    arrays = {field.name: getattr(nuclei, field.name) for field in fields(Nuclei)}
    place, value = moved
    arrays[name] = arrays[name].copy()
    arrays[name][place] = value
    np.savez(tmp_path / "unfit.npz", **arrays)
    with pytest.raises(InputError, match="do not fit"):
        Nuclei.load(tmp_path / "unfit.npz")


def test_empty(tmp_path: Path) -> None:
    Nuclei.empty().save(tmp_path / "empty.npz")
    assert len(Nuclei.load(tmp_path / "empty.npz")) == 0
    assert len(Nuclei.concatenate([])) == 0
