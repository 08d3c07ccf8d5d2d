"""Splits: in proportion, nested, the same everywhere, and written down."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets import factory
from wsi_nucssl.datasets import (
    MONUSEG_2018_TRAINING,
    Dataset,
    Sample,
    Split,
    fraction,
    holdout,
    k_fold,
    open_dataset,
    organ_of,
)
from wsi_nucssl.datasets.organs import patients_of
from wsi_nucssl.errors import DatasetError, OutputExists, UsageError

FROZEN_VALIDATION = "38-6178 A7-A13E AY-A8YK B0-5698 G2-A2EK G9-6356"
SHARES = (0.1, 0.3, 0.5, 0.7, 1.0)


def no_nuclei(shape: tuple[int, int]) -> np.ndarray:
    return np.zeros(shape, np.int32)


def dataset_of(organs: dict[str, str | None]) -> Dataset:
    """A dataset in memory: one tiny image for each id, with its organ."""
    samples = [
        Sample(name, organ, Path("memory"), partial(factory.image, len(name)), no_nuclei)
        for name, organ in organs.items()
    ]
    return Dataset(Path("memory"), "folders", tuple(sorted(samples, key=lambda sample: sample.id)))


MONUSEG = dataset_of(dict(MONUSEG_2018_TRAINING))
datasets = st.lists(st.sampled_from(["breast", "liver", "colon", None]), min_size=2, max_size=25).map(
    lambda organs: dataset_of({f"image-{n:02d}": organ for n, organ in enumerate(organs)})
)


def test_the_thirty_patients_have_seven_organs() -> None:
    assert Counter(MONUSEG_2018_TRAINING.values()) == {
        "breast": 6,
        "liver": 6,
        "kidney": 6,
        "prostate": 6,
        "bladder": 2,
        "colon": 2,
        "stomach": 2,
    }
    assert organ_of("TCGA-HE-7129-01Z-00-DX1") == "kidney"
    assert organ_of("TCGA-HE-7129X") is organ_of("image01") is None


@pytest.mark.parametrize("seed", range(5))
def test_holdout_is_24_to_6_and_organs_are_in_proportion(seed: int) -> None:
    split = holdout(MONUSEG, seed=seed)
    assert (len(split.train), len(split.validation)) == (24, 6)
    held = Counter(entry.organ for entry in split.validation)
    assert {held[organ] for organ in ("breast", "liver", "kidney", "prostate")} == {1}
    assert sorted(held[organ] for organ in ("bladder", "colon", "stomach")) == [0, 1, 1]


def test_seeds_matter() -> None:
    assert len({holdout(MONUSEG, seed=seed).validation_ids for seed in range(8)}) == 8


@given(datasets, st.integers(0, 5), st.data())
def test_holdout_quotas(dataset: Dataset, seed: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(dataset) - 1))
    split = holdout(dataset, validation=size, seed=seed)
    assert sorted(split.train_ids + split.validation_ids) == list(dataset.ids)
    held, total = Counter(e.organ for e in split.validation), Counter(s.organ for s in dataset)
    assert held.total() == size
    for organ, count in total.items():
        assert abs(held[organ] - count * size / len(dataset)) < 1


@given(datasets, st.integers(0, 5), st.data())
def test_folds_are_even_and_cover_everything_once(dataset: Dataset, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(2, len(dataset)))
    folds = k_fold(dataset, k=k, seed=seed)
    assert sorted(name for fold in folds for name in fold.validation_ids) == list(dataset.ids)
    for organ in {None, *(sample.organ for sample in dataset)}:
        counts = [sum(entry.organ == organ for entry in fold.validation) for fold in folds]
        assert max(counts) - min(counts) <= 1
    assert all(sorted(fold.train_ids + fold.validation_ids) == list(dataset.ids) for fold in folds)
    assert max(len(f.validation) for f in folds) - min(len(f.validation) for f in folds) <= 1


def with_patients(sizes: list[int]) -> Dataset:
    """A dataset whose patient n has sizes[n] images, of two organs by turns."""
    plain = dataset_of(
        {f"{n:02d}_{i}": ("breast", None)[n % 2] for n, size in enumerate(sizes) for i in range(size)}
    )
    samples = tuple(replace(sample, patient=sample.id[:2]) for sample in plain)
    return Dataset(plain.path, plain.layout, samples)


patients = st.lists(st.integers(1, 6), min_size=2, max_size=9).map(with_patients)


def sides(split: Split) -> tuple[set[str], set[str]]:
    """Patients that train and patients that validate."""
    return {name[:2] for name in split.train_ids}, {name[:2] for name in split.validation_ids}


@given(patients, st.integers(0, 3), st.data())
def test_no_patient_straddles_folds(dataset: Dataset, seed: int, data: st.DataObject) -> None:
    sizes = Counter(sample.patient for sample in dataset)
    folds = k_fold(dataset, k=data.draw(st.integers(2, len(sizes))), seed=seed)
    assert sorted(name for fold in folds for name in fold.validation_ids) == list(dataset.ids)
    assert all(fold.train and fold.validation and not set.intersection(*sides(fold)) for fold in folds)
    lengths = [len(fold.validation) for fold in folds]
    assert max(lengths) - min(lengths) <= max(sizes.values())


@given(patients, st.integers(0, 3), st.data())
def test_no_patient_is_held_out_in_part(dataset: Dataset, seed: int, data: st.DataObject) -> None:
    smallest = min(Counter(sample.patient for sample in dataset).values())
    wanted = data.draw(st.integers(1, len(dataset) - 1))
    split = holdout(dataset, validation=wanted, seed=seed)
    assert not set.intersection(*sides(split))
    assert split.train
    assert 0 < len(split.validation) <= max(wanted, smallest)
    assert split.name == f"holdout-{len(split.validation)}"


def test_folds_of_fewer_patients_than_folds_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot make 3 folds of 9 images of 2 patients"):
        k_fold(with_patients([4, 5]), k=3)
    with pytest.raises(UsageError, match="cannot hold 2 images of 5 images of 1 patient out"):
        holdout(with_patients([5]), validation=2)


def test_real_patients_stay_whole(tnbc: Path) -> None:
    dataset = open_dataset(tnbc)
    assert Counter(sample.patient for sample in dataset) == {
        "01": 7, "02": 3, "03": 5, "04": 8, "05": 4, "06": 3
    }  # fmt: skip
    folds = k_fold(dataset)
    assert all(not set.intersection(*sides(fold)) for fold in folds)
    assert sorted(len(fold.validation) for fold in folds) == [4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("ids", "wanted"),
    [
        (["01_1", "01_2", "2_1"], ["01", "01", "2"]),
        (["01_1", "01_2"], [None, None]),
        (["01_1", "02_1", "x"], [None, None, None]),
        (["TCGA-18-5592-01Z-00-DX1", "02_1"], ["TCGA-18-5592", None]),
    ],
)
def test_patients_by_id(ids: list[str], wanted: list[str | None]) -> None:
    assert patients_of(ids) == wanted


FROZEN = "c9573aaeb71a8d5798ef8b333cdb4d71ed28fd85f10cebae36eed154007b5fd5"
"""SHA-256 over splits of the 30 real images as they were when no patient or dataset was looked at."""


def test_splits_of_the_thirty_images_are_what_they_were(monuseg: Path) -> None:
    real, seen = open_dataset(monuseg), hashlib.sha256()
    tiny = (replace(sample, read_image=factory.image, read_labels=no_nuclei) for sample in real)
    dataset = Dataset(real.path, real.layout, tuple(tiny))
    for seed in range(4):
        for k in (2, 3, 5, 7):
            folds = [(fold.name, fold.validation_ids) for fold in k_fold(dataset, k=k, seed=seed)]
            seen.update(repr(folds).encode())
        for validation in (1, 6, 11):
            split = holdout(dataset, validation=validation, seed=seed)
            parts = [fraction(split, share).train_ids for share in (0.1, 0.3, 0.5)]
            seen.update(repr((split.name, split.validation_ids, parts)).encode())
    assert seen.hexdigest() == FROZEN


@given(datasets, st.integers(0, 5))
def test_fractions_are_nested(dataset: Dataset, seed: int) -> None:
    split = holdout(dataset, validation=1, seed=seed)
    parts = [fraction(split, share) for share in SHARES]
    count = len(split.train)
    assert [len(part.train) for part in parts] == [
        math.ceil(count * tenths / 10) for tenths in (1, 3, 5, 7, 10)
    ]
    for smaller, larger in itertools.pairwise(parts):
        assert set(smaller.train_ids) <= set(larger.train_ids)
    assert parts[-1].train == split.train
    assert all(part.validation == split.validation for part in parts)


def test_fractions_of_24_images() -> None:
    split = holdout(MONUSEG)
    parts = [fraction(split, share) for share in SHARES]
    assert [len(part.train) for part in parts] == [3, 8, 12, 17, 24]
    assert parts[0].name == "holdout-6-labels-10%"
    assert len({entry.organ for entry in parts[0].train}) == 3


def test_the_draw_is_the_same_in_any_order_and_process() -> None:
    names = list(MONUSEG_2018_TRAINING)
    random.Random(0).shuffle(names)
    shuffled = dataset_of({name: MONUSEG_2018_TRAINING[name] for name in names})
    assert holdout(shuffled) == holdout(MONUSEG)
    script = (
        "from tests.datasets.test_splits import MONUSEG, fraction, holdout, k_fold;"
        "print(holdout(MONUSEG).validation_ids, fraction(holdout(MONUSEG), 0.3).train_ids,"
        "k_fold(MONUSEG)[2].validation_ids)"
    )
    root = Path(__file__).parents[2]
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_the_draw_does_not_change_between_versions() -> None:
    assert holdout(MONUSEG, seed=0).validation_ids == tuple(
        f"TCGA-{patient}" for patient in FROZEN_VALIDATION.split()
    )


def test_written_read_and_verified(tmp_path: Path) -> None:
    dataset = open_dataset(factory.write_folders(tmp_path / "data", "a", "b", "c"))
    split = holdout(dataset, validation=1, seed=3)
    split.write(tmp_path / "split.json")
    assert Split.read(tmp_path / "split.json") == split
    with pytest.raises(OutputExists, match="`overwrite`"):
        holdout(dataset, validation=1, seed=4).write(tmp_path / "split.json")
    assert Split.read(tmp_path / "split.json") == split
    split.write(tmp_path / "split.json", overwrite=True)
    split.verify(dataset)
    changed = split.train_ids[0]
    factory.write_png(tmp_path / "data" / "labels" / f"{changed}.png", np.ones(factory.SHAPE, np.uint8))
    with pytest.raises(DatasetError, match=f"the labels of {changed} differ"):
        split.verify(dataset)
    with pytest.raises(DatasetError, match="no image of id"):
        split.verify(dataset.subset(split.validation_ids))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "other"}, "format 'other'"),
        ({"train": [{"id": "a"}]}, "missing"),
        ({"name": None, "train": None}, "not a split file"),
    ],
)
def test_a_damaged_split_file(tmp_path: Path, change: dict[str, object], says: str) -> None:
    file = tmp_path / "split.json"
    holdout(MONUSEG).write(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DatasetError, match=says):
        Split.read(file)


def test_a_split_file_that_leaks_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    holdout(MONUSEG).write(file)
    content = json.loads(file.read_text())
    content["validation"].append(content["train"][0])
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="both trains and validates"):
        Split.read(file)
    file.write_text("{")
    with pytest.raises(DatasetError, match="not a split file"):
        Split.read(file)
    file.unlink()
    with pytest.raises(DatasetError, match="No such file"):
        Split.read(file)


def test_impossible_splits() -> None:
    for size in (0, 30):
        with pytest.raises(UsageError, match="cannot hold"):
            holdout(MONUSEG, validation=size)
    for k in (1, 31):
        with pytest.raises(UsageError, match="cannot make"):
            k_fold(MONUSEG, k=k)
    for of_labels in (0.0, 1.1, math.nan):
        with pytest.raises(UsageError, match="fraction of the labels"):
            fraction(holdout(MONUSEG), of_labels)
