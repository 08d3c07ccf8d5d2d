"""Options are refused where they enter, by their parameter's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from wsi_nucssl.checks import as_number, as_whole, one_of, path, shown, whole, within
from wsi_nucssl.errors import UsageError
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.pretext.groups import TileSettings
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.tiles.ingest import TileConfig
from wsi_nucssl.train.job import SplitChoice
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe


def _pretrain(**changes: Any) -> PretrainJob:
    return PretrainJob((Path("slide.svs"),), PretrainRecipe(), **changes)


def _tile(**changes: Any) -> TileConfig:
    return TileConfig(**{"mpp": 0.25, **changes})


WRONG = [
    (SegmentOptions, "origin", "foo"),
    (SegmentOptions, "device", "gpu"),
    (SegmentOptions, "engine", "onnx"),
    (SegmentOptions, "views", 3),
    (SegmentOptions, "views", True),
    (SegmentOptions, "mpp", float("nan")),
    (SegmentOptions, "mpp", "0.25"),
    (SegmentOptions, "workers", 0),
    (SegmentOptions, "workers", 1.5),
    (SegmentOptions, "batch_size", 0),
    (SegmentOptions, "block_px", 63),
    (_tile, "mpp", -1),
    (_tile, "tile_px", 15),
    (_tile, "tile_px", 512.0),
    (_tile, "min_tissue", 1.1),
    (_tile, "min_tissue", float("nan")),
    (_tile, "codec", "gzip"),
    (TileSettings, "mpp", 0),
    (TileSettings, "slide_mpp", float("inf")),
    (TileSettings, "tile_px", 10),
    (TileSettings, "min_tissue", -0.1),
    (TileSettings, "mpp_factor", 9),
    (InstanceConfig, "body", 0),
    (InstanceConfig, "foreground", 1.5),
    (InstanceConfig, "regrow_px", -1),
    (InstanceConfig, "min_area_px", 1.5),
    (_pretrain, "task", "sudoku"),
    (_pretrain, "mpp", -1),
    (_pretrain, "slide_mpp", 0),
    (_pretrain, "seed", -1),
    (SplitChoice, "seed", 0.5),
]


@pytest.mark.parametrize(("make", "name", "value"), WRONG)
def test_a_wrong_option_is_refused_by_name(make: Callable[..., object], name: str, value: object) -> None:
    make()
    with pytest.raises(UsageError, match=f"`{name}`"):
        make(**{name: value})


def test_literals_and_lists_are_choices_of_their_own_type() -> None:
    one_of("side", "left", Literal["left", "right"])
    one_of("views", 2, (1, 2))
    for value in ("up", None, 1):
        with pytest.raises(UsageError, match=r"`side`.* Choose one of left, right"):
            one_of("side", value, Literal["left", "right"])


def test_numbers_are_those_that_people_type_and_numpy_gives() -> None:
    whole("seed", np.int64(3), 0)
    within("part", np.float32(0.5), 0, 1)
    within("part", 0, 0, 1)
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        within("part", 0, 0, 1, above=True)
    assert as_whole(np.uint8(7)) == 7
    assert as_number(np.float32(0.5)) == 0.5
    assert [as_whole(value) for value in (2.0, True, "2", None, np.zeros(1, int))] == [None] * 5
    assert [as_number(value) for value in (True, "2", None, float("nan"), float("inf"), 1j)] == [None] * 6


def test_a_path_is_text_or_a_path() -> None:
    assert path("run", "a/b") == path("run", Path("a/b")) == "a/b"
    for value in (None, 3, b"a", ["a"]):
        with pytest.raises(UsageError, match="`run` must be a path, not"):
            path("run", value)


def test_messages_repeat_short_values_alone() -> None:
    assert shown((1, 2)) == "(1, 2)"
    assert shown(np.zeros((4, 5), np.uint8)) == "uint8 ndarray of shape (4, 5)"
    assert shown(["long"] * 99) == "an object of type list"
