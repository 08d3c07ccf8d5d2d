"""Which images train and which validate, written down with hashes; `split_rules` decides it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

from wsi_nucssl.datasets.sample import Dataset
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.locations import local
from wsi_nucssl.outputs import check_output

_FORMAT = "wsi-nucssl split 1"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One image of a split.

    Attributes
    ----------
    id : str
        The sample's id.
    organ : str or None
        Its organ, or None if unknown.
    image_sha256, label_sha256 : str
        As `Sample.hashes` gives them.
    """

    id: str
    organ: str | None
    image_sha256: str
    label_sha256: str

    @property
    def dataset(self) -> str:
        """Name of the dataset among joined ones, which the id starts with; "" for a lone one."""
        return self.id.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Split:
    """Images to train on and images to validate on.

    Attributes
    ----------
    name : str
        What was split how, such as "holdout-6".
    seed : int
        The seed that decided.
    train, validation : tuple of Entry
        Ordered by id, disjoint; `validation` is empty where everything trains.
    """

    name: str
    seed: int
    train: tuple[Entry, ...]
    validation: tuple[Entry, ...]

    @property
    def train_ids(self) -> tuple[str, ...]:
        """Ids to train on, ascending."""
        return tuple(entry.id for entry in self.train)

    @property
    def validation_ids(self) -> tuple[str, ...]:
        """Ids to validate on, ascending."""
        return tuple(entry.id for entry in self.validation)

    def verify(self, dataset: Dataset) -> None:
        """Read every image of the split and compare it and its labels with the hashes.

        Raises
        ------
        DatasetError
            An image is missing, or it or its labels differ.
        """
        for entry in (*self.train, *self.validation):
            image, label = dataset[entry.id].hashes()
            changed = [
                what
                for what, now, then in (
                    ("image", image, entry.image_sha256),
                    ("labels", label, entry.label_sha256),
                )
                if now != then
            ]
            if changed:
                raise DatasetError(
                    f"the {' and the '.join(changed)} of {entry.id} differ from those of {self.name}",
                    path=dataset.path,
                    remedy="Use the dataset that the split was made on, or make a new split",
                )

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the split as JSON, whole or not at all.

        Raises
        ------
        OutputExists
            Something is there already and `overwrite` is not set.
        """
        path = local(path)
        check_output(path, overwrite=overwrite)
        write_atomic(path, json.dumps({"format": _FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Split:
        """Read a split that `write` wrote.

        Raises
        ------
        DatasetError
            The file is missing, is not such a split, or an image is on both sides.
        """
        path = local(path)
        try:
            split = _parse(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise DatasetError(
                f"the split cannot be read ({error.strerror})", path=path, remedy="Check the path"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"not a split file ({error})", path=path, remedy="Write it anew with Split.write"
            ) from error
        return split


def _parse(content: dict[str, Any]) -> Split:
    if content["format"] != _FORMAT:
        raise ValueError(f"format {content['format']!r} instead of {_FORMAT!r}")
    train, validation = (tuple(Entry(**entry) for entry in content[side]) for side in ("train", "validation"))
    shared = {entry.id for entry in train} & {entry.id for entry in validation}
    if shared:
        raise ValueError(f"{min(shared)} both trains and validates")
    return Split(str(content["name"]), int(content["seed"]), train, validation)
