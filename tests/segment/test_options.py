"""Choices are checked once, at their bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wsi_nucssl.errors import UsageError
from wsi_nucssl.segment.options import SegmentOptions


@pytest.mark.parametrize(
    "given",
    [
        {"workers": 1},
        {"batch_size": 1},
        {"block_px": 64},
        {"memory": 1},
        *({"views": views} for views in (1, 2, 4, 8)),
        {"origin": "level0"},
        {"engine": "torch", "device": "cpu"},
        {"mpp": 0.5, "force_mpp": True},
        {"scene": 0, "focus": 0},
    ],
)
def test_what_is_possible_is_taken_as_it_is(given: dict[str, Any]) -> None:
    options = SegmentOptions(**given)
    assert {name: getattr(options, name) for name in given} == given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": None}, "workers"),
        ({"batch_size": 0}, "batch_size"),
        ({"block_px": 63}, "block_px"),
        ({"views": 3}, "views"),
        ({"origin": "centre"}, "origin"),
        ({"engine": "abacus"}, "engine"),
        ({"device": "tpu"}, "device"),
        ({"mpp": -1.0}, "mpp"),
        ({"scene": -1}, "scene"),
        ({"focus": -1}, "focus"),
        ({"roi_class": "Tumor"}, "regions of no file"),
    ],
)
def test_what_is_impossible_is_refused_by_its_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SegmentOptions(**given)


def test_without_a_word_two_workers_do_all_by_default() -> None:
    options = SegmentOptions()
    assert (options.workers, options.views, options.engine, options.origin) == (2, 1, "auto", "qupath")
    flags = (options.force_mpp, options.strict, options.keep_probabilities)
    assert flags == (False, False, False)
    assert (options.batch_size, options.block_px, options.memory, options.roi_class) == (None, None, None, ())


def test_one_class_of_regions_is_a_list_of_one() -> None:
    options = SegmentOptions(roi=Path("r.geojson"), roi_class="Tumor")
    assert options.roi_class == ("Tumor",)
    assert SegmentOptions(roi=Path("r.geojson"), roi_class=["a", "b"]).roi_class == ("a", "b")
