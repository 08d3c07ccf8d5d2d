"""Which images are scored, and that nobody is scored on what it was trained on without being told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmark.factory import Copycat, known
from tests.train.tiny import write_dataset
from wsi_nucssl.benchmark.predictors import KnownSplit
from wsi_nucssl.benchmark.selection import Selection, select
from wsi_nucssl.datasets import Dataset, Split, holdout, open_dataset
from wsi_nucssl.errors import DatasetError, UsageError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_dataset(tmp_path_factory.mktemp("data"), images=6))


@pytest.fixture(scope="module")
def split(dataset: Dataset) -> Split:
    return holdout(dataset, validation=2)


def ids(selection: Selection) -> tuple[str, ...]:
    return tuple(entry.id for entry in selection.entries)


def test_without_a_split_all_images_are_scored(dataset: Dataset) -> None:
    selection = select(dataset, [Copycat(dataset)])
    assert ids(selection) == dataset.ids
    assert not selection.warnings
    assert "all 6" in selection.reason


def test_a_models_own_validation_images_are_the_default(dataset: Dataset, split: Split) -> None:
    selection = select(dataset, [Copycat(dataset, split=known(split)), Copycat(dataset, "other")])
    assert ids(selection) == split.validation_ids
    assert not selection.warnings
    assert "2 of 6" in selection.reason


@pytest.mark.parametrize(("which", "count"), [("train", 4), ("all", 4)])
def test_scores_on_training_images_come_with_a_warning(
    dataset: Dataset, split: Split, which: str, count: int
) -> None:
    selection = select(dataset, [Copycat(dataset, split=known(split))], which)  # type: ignore[arg-type]
    assert selection.seen == {"copycat": split.train_ids}
    assert f"trained on {count}" in selection.warnings[0]


def test_a_model_that_held_nothing_out_is_scored_on_what_it_never_saw(dataset: Dataset) -> None:
    hashes = [sample.hashes()[0] for sample in dataset]
    most = Copycat(dataset, split=KnownSplit(frozenset(hashes[:4]), frozenset()))
    assert ids(select(dataset, [most])) == dataset.ids[4:]
    whole = Copycat(dataset, split=KnownSplit(frozenset(hashes), frozenset()))
    with pytest.raises(UsageError, match=r"every image .* trained on.*`split` all"):
        select(dataset, [whole])
    assert len(select(dataset, [whole], "all").warnings) == 1


def test_several_models_meet_on_what_all_held_out(dataset: Dataset) -> None:
    hashes = [sample.hashes()[0] for sample in dataset]
    one = KnownSplit(frozenset(hashes[:3]), frozenset(hashes[3:]))
    other = KnownSplit(frozenset(hashes[4:]), frozenset(hashes[:4]))
    both = [Copycat(dataset, "one", split=one), Copycat(dataset, "other", split=other)]
    assert ids(select(dataset, both)) == (dataset.ids[3],)
    opposite = KnownSplit(one.validation, one.train)
    with pytest.raises(UsageError, match="share none"):
        select(dataset, [both[0], Copycat(dataset, "opposite", split=opposite)])


def test_a_split_of_other_images_is_no_split_of_these(dataset: Dataset) -> None:
    foreign = KnownSplit(frozenset({"0" * 64}), frozenset({"1" * 64}))
    assert ids(select(dataset, [Copycat(dataset, split=foreign)])) == dataset.ids
    with pytest.raises(UsageError, match="`split_file`"):
        select(dataset, [Copycat(dataset, split=foreign)], "val")


def test_a_split_file_decides_and_is_checked(dataset: Dataset, split: Split, tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    split.write(file)
    assert ids(select(dataset, [Copycat(dataset)], "auto", file)) == split.validation_ids
    assert ids(select(dataset, [Copycat(dataset)], "train", file)) == split.train_ids
    other = open_dataset(write_dataset(tmp_path / "other", images=2))
    with pytest.raises(DatasetError):
        select(other, [Copycat(other)], "auto", file)
