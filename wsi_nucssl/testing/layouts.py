"""What every layout of annotated images has to do."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from wsi_nucssl.datasets import LAYOUTS, Dataset, open_dataset
from wsi_nucssl.datasets.sample import Image, LabelImage
from wsi_nucssl.errors import DatasetError

SHAPE = (14, 19)
"""(rows, cols) of the images that a suite's `write` is given: not square, so that a transposed reader shows."""


def pairs(count: int = 3) -> list[tuple[Image, LabelImage]]:
    """Images whose channels differ, and label images that are not symmetric, skip ids and hold none in the last."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *SHAPE, 3), dtype=np.uint8)
    labels = rng.choice(np.array([0, 1, 2, 5, 7], np.int32), (count, *SHAPE))
    labels[-1] = 0
    return list(zip(images, labels, strict=True))


class LayoutTests(ABC):
    """Inherit it, name the layout, and write a dataset in it.

    Attributes
    ----------
    layout : str
        The name under which the layout is registered.
    is_automatic : bool
        False where another layout comes first at the folder that `write` writes.
    """

    layout: ClassVar[str]
    is_automatic: ClassVar[bool] = True

    @abstractmethod
    def write(self, folder: Path, written: Sequence[tuple[Image, LabelImage]]) -> Sequence[str]:
        """Write these images, uint8 (row, col, 3), and label images, int32 (row, col), into an empty folder.

        Returns the id that each is to have.
        """

    @pytest.fixture
    def written(self) -> list[tuple[Image, LabelImage]]:
        """The pixels and labels."""
        return pairs()

    @pytest.fixture
    def ids(self, tmp_path: Path, written: list[tuple[Image, LabelImage]]) -> Sequence[str]:
        """What `write` returned for them."""
        return self.write(tmp_path, written)

    @pytest.fixture
    def dataset(self, tmp_path: Path, ids: Sequence[str]) -> Dataset:
        """The dataset, opened by the layout's name."""
        assert ids
        return open_dataset(tmp_path, layout=self.layout)

    def test_gives_back_what_was_written(
        self, dataset: Dataset, ids: Sequence[str], written: list[tuple[Image, LabelImage]]
    ) -> None:
        """Each pixel, and each id."""
        assert dataset.layout == self.layout
        assert dataset.ids == tuple(sorted(ids))
        for sample_id, (image, labels) in zip(ids, written, strict=True):
            read_image, read_labels = dataset[sample_id].pair()
            assert read_image.dtype == np.uint8
            assert read_labels.dtype == np.int32
            np.testing.assert_array_equal(read_image, image)
            np.testing.assert_array_equal(read_labels, labels)

    def test_is_found_without_its_name(self, tmp_path: Path, ids: Sequence[str]) -> None:
        """If no other layout comes first."""
        found = open_dataset(tmp_path)
        assert (found.layout == self.layout) == self.is_automatic
        assert len(found) == len(ids)

    def test_is_not_found_where_it_is_not(self, tmp_path: Path) -> None:
        """In a folder that is empty, or holds something else."""
        assert LAYOUTS.get(self.layout).open(tmp_path) is None
        (tmp_path / "notes.md").write_text("No dataset.\n")
        (tmp_path / "a folder").mkdir()
        assert LAYOUTS.get(self.layout).open(tmp_path) is None

    def test_samples_pickle(self, dataset: Dataset) -> None:
        """For the workers of a loader; as how to read them, without their pixels."""
        packed = pickle.dumps(dataset)
        again = pickle.loads(packed)
        assert again.ids == dataset.ids
        for one, other in zip(dataset, again, strict=True):
            assert one.hashes() == other.hashes()
        assert len(packed) < 2000 * len(dataset)

    def test_images_are_read_when_they_are_asked_for(self, tmp_path: Path, ids: Sequence[str]) -> None:
        """Opening a dataset of many images is quick, and a file that is gone is named when it is read."""
        dataset = open_dataset(tmp_path, layout=self.layout)
        for file in [each for each in tmp_path.rglob("*") if each.is_file()]:
            file.unlink()
        with pytest.raises((OSError, DatasetError)):
            dataset[ids[0]].pair()
