"""The type of a nucleus is that of the largest sum over its px, by a loop; tables carry it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from tests.nuclei.scenes import configs, typed_scenes
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.nuclei.types import type_planes, types_in

CONFIG = InstanceConfig(regrow_px=2, min_marker_px=1, min_area_px=1)


def squares(*types: tuple[int, ...]) -> NDArray[np.uint8]:
    """A square of 4 px a side for each tuple, which are its type planes' bytes."""
    scene = np.zeros((3 + len(types[0]), 8, 8 * len(types)), np.uint8)
    for place, values in enumerate(types):
        px = np.s_[2:6, 8 * place + 2 : 8 * place + 6]
        scene[0][px] = 255
        for plane, value in enumerate(values):
            scene[2 + plane][px] = value
    return scene


@settings(max_examples=50, deadline=None)
@given(typed_scenes(), configs)
def test_types_are_those_of_a_plain_loop(scene: NDArray[np.uint8], config: InstanceConfig) -> None:
    labels, nuclei = label_instances(scene, config), extract_nuclei(scene, config)
    planes = type_planes(scene)
    assert nuclei.types == len(planes) == len(scene) - 3
    for index in range(len(nuclei)):
        px = [plane[labels == index + 1].tolist() for plane in planes]
        sums = [sum(values) for values in px]
        assert nuclei.type_id[index] == sums.index(max(sums))
        mean = [total / len(values) / 255 for total, values in zip(sums, px, strict=True)]
        assert nuclei.type_probability[index] == pytest.approx(mean, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(typed_scenes(), configs)
def test_types_have_no_say_in_anything_else(scene: NDArray[np.uint8], config: InstanceConfig) -> None:
    typed, untyped = (extract_nuclei(each, config) for each in (scene, scene[[0, 1, -1]]))
    assert np.array_equal(typed.ring_xy, untyped.ring_xy)
    assert np.array_equal(typed.measurements, untyped.measurements)
    assert (untyped.type_id == -1).all()
    assert untyped.type_probability.shape == (len(typed), 0)


def test_the_first_of_equals() -> None:
    nuclei = extract_nuclei(squares((9, 9, 3), (0, 7, 7), (0, 0, 0)), CONFIG)
    assert nuclei.type_id.tolist() == [0, 1, 0]
    assert nuclei.type_id.dtype == np.int16
    assert nuclei.type_probability.dtype == np.float32


def test_one_byte_decides() -> None:
    """Sums that float32 cannot tell apart are told apart."""
    labels = np.ones((4100, 4100), np.int32)
    planes = np.full((2, 4100, 4100), 255, np.uint8)
    planes[0, 0, 0] = 254
    type_id, probability = types_in(labels, planes, 1)
    assert probability[0, 0] == probability[0, 1]
    assert type_id.tolist() == [1]


def test_tables_carry_types(tmp_path: Path) -> None:
    first = extract_nuclei(squares((1, 200), (200, 1)), CONFIG)
    empty = extract_nuclei(np.zeros((5, 8, 8), np.uint8), CONFIG)
    assert empty.types == 2
    for nuclei in (first, empty):
        nuclei.save(tmp_path / "a.npz")
        again = Nuclei.load(tmp_path / "a.npz")
        assert again.type_id.tolist() == nuclei.type_id.tolist()
        assert np.array_equal(again.type_probability, nuclei.type_probability)
    joined = Nuclei.concatenate([empty, first, Nuclei.empty(), first])
    assert joined.type_id.tolist() == [1, 0, 1, 0]
    assert joined.types == 2
    assert Nuclei.concatenate([empty, Nuclei.empty()]).types == 2
    assert [part.type_id.tolist() for part in joined.slices(3)] == [[1, 0, 1], [0]]
    assert [part.type_probability.shape for part in joined.slices(3)] == [(3, 2), (1, 2)]


def test_nuclei_of_unlike_models_are_no_table() -> None:
    typed, untyped = extract_nuclei(squares((1, 200)), CONFIG), extract_nuclei(squares(()), CONFIG)
    with pytest.raises(UsageError, match="0 and of 2 types"):
        Nuclei.concatenate([typed, untyped])


def test_a_file_of_a_former_version_has_no_types(tmp_path: Path) -> None:
    extract_nuclei(squares((), ()), CONFIG).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(arrays.files) == sorted(
            ["seed_xy", "ring_xy", "ring_offsets", "polygon_offsets", "measurements", "truncated"]
        )
    assert Nuclei.load(tmp_path / "a.npz").type_id.tolist() == [-1, -1]


@pytest.mark.parametrize("byte", range(0, 4))
def test_a_damaged_name_of_an_array_is_noticed(tmp_path: Path, byte: int) -> None:
    """Types do not go unnoticed."""
    path = tmp_path / "a.npz"
    extract_nuclei(squares((1, 200)), CONFIG).save(path)
    data = bytearray(path.read_bytes())
    data[data.rfind(b"type_id.npy") + byte] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a table of nuclei"):
        Nuclei.load(path)


def test_types_that_do_not_fit_are_noticed(tmp_path: Path) -> None:
    nuclei = extract_nuclei(squares((1, 200)), CONFIG)
    nuclei.type_id[0] = 2
    nuclei.save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="do not fit"):
        Nuclei.load(tmp_path / "a.npz")
