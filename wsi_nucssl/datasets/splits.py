"""Which images train and which validate: stratified by organ, seeded, written down with hashes.

The order that decides is that of SHA-256(seed, purpose, id). It is the same on every machine, whatever
the file system's order, the versions installed or Python's hash seed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from wsi_nucssl.datasets.sample import Dataset
from wsi_nucssl.errors import DatasetError, UsageError
from wsi_nucssl.files import write_atomic

_FORMAT = "wsi-nucssl split 1"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One image of a split.

    Attributes
    ----------
    id : the sample's id.
    organ : its organ, or None if unknown.
    image_sha256, label_sha256 : as `Sample.hashes` gives them.
    """

    id: str
    organ: str | None
    image_sha256: str
    label_sha256: str


@dataclass(frozen=True, slots=True)
class Split:
    """Images to train on and images to validate on.

    Attributes
    ----------
    name : what was split how, such as "holdout-6".
    seed : the seed that decided.
    train, validation : ordered by id, disjoint.
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
        DatasetError : an image is missing, or it or its labels differ.
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

    def write(self, path: Path) -> None:
        """Write the split as JSON, whole or not at all."""
        write_atomic(path, json.dumps({"format": _FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Split:
        """Read a split that `write` wrote.

        Raises
        ------
        DatasetError : the file is missing, is not such a split, or an image is on both sides.
        """
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


def holdout(dataset: Dataset, *, validation: int = 6, seed: int = 0) -> Split:
    """Hold `validation` images out, each organ in proportion (largest remainder), the rest trains.

    With MoNuSeg's 30 training images the default gives 24/6.

    Raises
    ------
    UsageError : nothing would be left on one side.
    """
    if not 0 < validation < len(dataset):
        raise UsageError(f"cannot hold {validation} of {len(dataset)} images out")
    strata = _strata(dataset, seed, "holdout")
    quota = _largest_remainder({organ: len(ids) for organ, ids in strata.items()}, validation, seed)
    held = {name for organ, ids in strata.items() for name in ids[: quota[organ]]}
    return _split(f"holdout-{validation}", seed, _entries(dataset), held)


def k_fold(dataset: Dataset, *, k: int = 5, seed: int = 0) -> tuple[Split, ...]:
    """`k` splits; every image validates in exactly one. Folds differ by at most one image, per organ too.

    Raises
    ------
    UsageError : `k` is below 2 or above the number of images.
    """
    if not 2 <= k <= len(dataset):
        raise UsageError(f"cannot make {k} folds of {len(dataset)} images")
    strata = _strata(dataset, seed, "k-fold")
    dealt = [name for organ in sorted(strata) for name in strata[organ]]
    entries = _entries(dataset)
    return tuple(_split(f"fold-{fold + 1}-of-{k}", seed, entries, set(dealt[fold::k])) for fold in range(k))


def fraction(split: Split, share: float) -> Split:
    """The split with only ceil(share × N) of its N training images, organs in proportion.

    Validation stays as it is. Smaller shares are nested in larger ones: 10 % ⊂ 30 % ⊂ 50 % ⊂ 70 % ⊂ 100 %.

    Raises
    ------
    UsageError : `share` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise UsageError(f"a share of the labels must lie in (0, 1], not {share}")
    exact = Fraction(share).limit_denominator(1_000_000)
    count = max(1, math.ceil(exact * len(split.train)))
    strata: dict[str, list[Entry]] = defaultdict(list)
    for entry in split.train:
        strata[entry.organ or ""].append(entry)
    position = {
        entry.id: (Fraction(2 * rank + 1, 2 * len(entries)), _draw(split.seed, "fraction", entry.id))
        for entries in strata.values()
        for rank, entry in enumerate(sorted(entries, key=lambda e: _draw(split.seed, "fraction", e.id)))
    }
    kept = sorted(split.train, key=lambda entry: position[entry.id])[:count]
    name = f"{split.name}-labels-{float(100 * exact):g}%"
    return Split(name, split.seed, tuple(sorted(kept, key=lambda entry: entry.id)), split.validation)


def _draw(seed: int, purpose: str, name: str) -> str:
    """A number as good as random, as hex: the same everywhere."""
    return hashlib.sha256(f"{seed}\n{purpose}\n{name}".encode()).hexdigest()


def _strata(dataset: Dataset, seed: int, purpose: str) -> dict[str, list[str]]:
    """Ids of each organ ("" if unknown), in the drawn order."""
    strata: dict[str, list[str]] = defaultdict(list)
    for name in sorted(dataset.ids, key=lambda name: _draw(seed, purpose, name)):
        strata[dataset[name].organ or ""].append(name)
    return strata


def _largest_remainder(sizes: dict[str, int], seats: int, seed: int) -> dict[str, int]:
    """Share `seats` out in proportion to `sizes`; equal remainders are drawn."""
    total = sum(sizes.values())
    exact = {organ: Fraction(size * seats, total) for organ, size in sizes.items()}
    quota = {organ: math.floor(share) for organ, share in exact.items()}
    order = sorted(exact, key=lambda organ: (quota[organ] - exact[organ], _draw(seed, "remainder", organ)))
    for organ in order[: seats - sum(quota.values())]:
        quota[organ] += 1
    return quota


def _entries(dataset: Dataset) -> list[Entry]:
    return [Entry(sample.id, sample.organ, *sample.hashes()) for sample in dataset]


def _split(name: str, seed: int, entries: Iterable[Entry], held: set[str]) -> Split:
    entries = tuple(entries)
    return Split(
        name,
        seed,
        train=tuple(entry for entry in entries if entry.id not in held),
        validation=tuple(entry for entry in entries if entry.id in held),
    )


def _parse(content: dict[str, Any]) -> Split:
    if content["format"] != _FORMAT:
        raise ValueError(f"format {content['format']!r} instead of {_FORMAT!r}")
    train, validation = (tuple(Entry(**entry) for entry in content[side]) for side in ("train", "validation"))
    shared = {entry.id for entry in train} & {entry.id for entry in validation}
    if shared:
        raise ValueError(f"{min(shared)} both trains and validates")
    return Split(str(content["name"]), int(content["seed"]), train, validation)
