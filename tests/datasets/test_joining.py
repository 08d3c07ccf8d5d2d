"""Several datasets as one: ids, patients, notes, and splits that know which is which."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.datasets import factory
from wsi_nucssl.datasets import (
    Split,
    dataset_names,
    everything,
    fraction,
    hold_out_dataset,
    holdout,
    join_datasets,
    k_fold,
    open_dataset,
)
from wsi_nucssl.errors import DatasetError, UsageError


def test_ids_say_where_images_come_from(tmp_path: Path) -> None:
    one = open_dataset(factory.write_folders(tmp_path / "one", "a", "b"))
    two = open_dataset(factory.write_folders(tmp_path / "two", "c", "a"), mpp=0.5)
    joined = join_datasets({"two": two, "one": one})
    assert joined.ids == ("one/a", "one/b", "two/a", "two/c")
    assert [sample.dataset for sample in joined] == ["one", "one", "two", "two"]
    assert (joined.path, joined.layout) == (tmp_path, "joined")
    assert joined.notes == ("two: 2 images at 0.5 µm/px (given)", "one: 2 images of unknown mpp")
    again = pickle.loads(pickle.dumps(joined))
    np.testing.assert_array_equal(again["two/a"].image(), two["a"].image())
    nested = join_datasets({"x": joined, "y": one})
    assert nested["x/two/a"].dataset == "x/two"


def test_a_lone_dataset_stays_as_it_is(tmp_path: Path) -> None:
    one = open_dataset(factory.write_folders(tmp_path, "a"))
    assert join_datasets({"one": one}) is one
    assert one["a"].dataset == ""


def test_impossible_joins(tmp_path: Path) -> None:
    one = open_dataset(factory.write_folders(tmp_path, "a"))
    with pytest.raises(UsageError, match="no dataset"):
        join_datasets({})
    for name in ("", "a/b"):
        with pytest.raises(UsageError, match="cannot be called"):
            join_datasets({name: one, "one": one})


def test_names_of_folders_are_unique(tmp_path: Path) -> None:
    paths = [
        tmp_path / "x" / "train",
        tmp_path / "y" / "train",
        tmp_path / "train-2",
        tmp_path / "z" / "train",
    ]
    assert list(dataset_names(paths)) == ["train", "train-2", "train-2-2", "train-3"]
    assert list(dataset_names(paths).values()) == paths
    with pytest.raises(UsageError, match="given twice"):
        dataset_names([tmp_path / "x", tmp_path / "y" / ".." / "x"])


def test_patients_are_kept_apart_except_those_of_tcga(tmp_path: Path) -> None:
    image = "TCGA-18-5592-01Z-00-DX1"
    one = open_dataset(factory.write_folders(tmp_path / "one", "01_1", "01_2", "02_1"))
    two = open_dataset(factory.write_folders(tmp_path / "two", "01_1", "02_1", "02_2"))
    three = open_dataset(factory.write_folders(tmp_path / "three", image))
    four = open_dataset(factory.write_folders(tmp_path / "four", image, "x"))
    joined = join_datasets({"one": one, "two": two, "three": three, "four": four})
    assert joined["one/01_2"].patient == "one/01" != joined["two/01_1"].patient
    assert joined[f"three/{image}"].patient == joined[f"four/{image}"].patient == "TCGA-18-5592"
    assert joined["four/x"].patient is None
    with pytest.raises(DatasetError, match=r"four/TCGA.* train and three/TCGA.* validate, both of patient"):
        hold_out_dataset(joined, ["three"])
    assert hold_out_dataset(joined, ["three", "four"]).validation_ids == (
        f"four/{image}",
        "four/x",
        f"three/{image}",
    )


def test_a_dataset_is_held_out_whole(tmp_path: Path) -> None:
    joined = join_datasets(
        {name: open_dataset(factory.write_folders(tmp_path / name, "a", "b")) for name in ("x", "y", "z")}
    )
    split = hold_out_dataset(joined, ["y"])
    assert split.name == "hold-out-y"
    assert split.validation_ids == ("y/a", "y/b")
    assert split.train_ids == ("x/a", "x/b", "z/a", "z/b")
    split.verify(joined)
    for names, says in ((["w"], "'w' is not one of"), ([], "some must"), (["x", "y", "z"], "some must")):
        with pytest.raises(UsageError, match=says) as caught:
            hold_out_dataset(joined, names)
        assert caught.value.remedy == "They are: x, y, z"
    with pytest.raises(UsageError, match="no name"):
        hold_out_dataset(open_dataset(tmp_path / "x"), ["x"])


def test_everything_trains(tmp_path: Path) -> None:
    dataset = open_dataset(factory.write_folders(tmp_path / "x", "a", "b"))
    split = everything(dataset)
    assert (split.train_ids, split.validation_ids) == (("a", "b"), ())
    split.write(tmp_path / "split.json")
    assert Split.read(tmp_path / "split.json") == split


def test_splits_of_joined_datasets_are_in_proportion(tmp_path: Path) -> None:
    joined = join_datasets(
        {
            name: open_dataset(factory.write_folders(tmp_path / name, *(f"i{n}" for n in range(count))))
            for name, count in (("x", 4), ("y", 8), ("z", 12))
        }
    )
    split = holdout(joined, validation=6)
    assert Counter(entry.dataset for entry in split.validation) == {"x": 1, "y": 2, "z": 3}
    half = Counter(entry.dataset for entry in fraction(split, 0.5).train)
    assert half.total() == 9
    assert half["y"] == 3
    assert (half["x"], half["z"]) in {(1, 5), (2, 4)}
    for fold in k_fold(joined, k=4):
        assert Counter(entry.dataset for entry in fold.validation) == {"x": 1, "y": 2, "z": 3}


def test_the_real_datasets_join(monuseg: Path, tnbc: Path, gbm40: Path, monuseg_bonus: Path) -> None:
    named = dataset_names([monuseg, tnbc, gbm40, monuseg_bonus])
    joined = join_datasets({name: open_dataset(path) for name, path in named.items()})
    assert len(joined) == 107
    assert joined["tnbc/01_1"].patient == "tnbc/01"
    assert joined["monuseg/TCGA-18-5592-01Z-00-DX1"].organ == "liver"
    assert any(note.startswith("monuseg_bonus: 7 of 7 images are hematoxylin") for note in joined.notes)
    assert "tnbc: 30 images of unknown mpp" in joined.notes
