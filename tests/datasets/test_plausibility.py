"""Nuclei of an impossible size are questioned, real ones at their own resolution are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wsi_nucssl.datasets import Dataset, Sample, doubtful_mpp, implausible, open_dataset


def squares(side: int, count: int) -> np.ndarray:
    labels = np.zeros((40, 40 * count), np.int32)
    for place in range(count):
        labels[:side, 40 * place : 40 * place + side] = 3 * place + 5
    return labels


def sample(mpp: float | None, source: str = "given") -> Sample:
    return Sample(
        id="a",
        organ=None,
        source=Path("memory"),
        read_image=lambda: np.zeros((1, 1, 3), np.uint8),
        read_labels=lambda shape: np.zeros(shape, np.int32),
        mpp=mpp,
        mpp_source=source,
    )


@pytest.mark.parametrize(
    ("side", "mpp", "likelier"),
    [
        (20, 0.25, None),
        (10, 0.5, None),
        (10, 0.25, "0.5"),
        (5, 0.25, "1"),
        (40, 0.25, "0.125"),
        (20, 1.0, "0.25"),
    ],
)
def test_the_likelier_mpp_is_a_power_of_two_away(side: int, mpp: float, likelier: str | None) -> None:
    doubt = doubtful_mpp(sample(mpp), squares(side, 6))
    if likelier is None:
        assert doubt is None
    else:
        assert doubt is not None
        assert doubt.startswith(
            f"a: the median nucleus has {(side * mpp) ** 2:.3g} µm² at {mpp:g} µm per px (given)"
        )
        assert f"at {likelier} it would have" in doubt


def test_what_nobody_states_is_said_to_be_assumed() -> None:
    doubt = doubtful_mpp(sample(None, ""), squares(10, 6))
    assert doubt is not None
    assert "at 0.25 µm per px (assumed, since nobody states it)" in doubt
    assert doubtful_mpp(sample(None, ""), squares(10, 6), default=0.5) is None


def test_few_nuclei_or_none_say_nothing() -> None:
    assert doubtful_mpp(sample(0.25), squares(3, 4)) is None
    assert doubtful_mpp(sample(0.25), np.zeros((9, 9), np.int32)) is None


def test_the_real_images_at_20x_are_questioned_if_taken_for_40x(monuseg: Path) -> None:
    dataset = open_dataset(monuseg)
    assert implausible(dataset) == []
    taken = Dataset(
        dataset.path,
        dataset.layout,
        tuple(replace(sample, mpp=0.25, mpp_source="given") for sample in dataset),
    )
    doubts = implausible(taken)
    assert [doubt.split("-01Z")[0] for doubt in doubts] == ["TCGA-HE-7128", "TCGA-HE-7129", "TCGA-HE-7130"]
    assert all("at 0.5 it would have" in doubt for doubt in doubts)


def test_other_real_images_pass(tnbc: Path, gbm40: Path, monuseg_bonus: Path) -> None:
    for folder in (tnbc, gbm40, monuseg_bonus):
        assert implausible(open_dataset(folder)) == []
    assert len(implausible(open_dataset(gbm40), default=1.0)) == 40
