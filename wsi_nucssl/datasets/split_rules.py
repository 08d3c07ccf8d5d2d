"""How images are dealt to training and validation: by dataset and organ in proportion, patients whole, seeded.

The order that decides is that of SHA-256(seed, purpose, id). It is the same on every machine, whatever
the file system's order, the versions installed or Python's hash seed.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from fractions import Fraction

from wsi_nucssl.datasets.sample import Dataset
from wsi_nucssl.datasets.splits import Entry, Split
from wsi_nucssl.errors import DatasetError, UsageError

Group = list[str]
"""Ids of the images of one patient, or of one image whose patient is unknown."""


def holdout(dataset: Dataset, *, validation: int = 6, seed: int = 0) -> Split:
    """Hold `validation` images out, each organ of each dataset in proportion (largest remainder).

    With MoNuSeg's 30 training images the default gives 24/6. Patients stay whole: where some have several
    images, those are held out that fit into the number as they are drawn, or the smallest if none fits.

    Raises
    ------
    UsageError
        Nothing would be left on one side.
    """
    strata = _strata(dataset, seed, "holdout")
    groups = [group for stratum in sorted(strata) for group in strata[stratum]]
    if not 0 < validation < len(dataset) or len(groups) < 2:
        raise UsageError(f"cannot hold {validation} images of {_extent(dataset, groups)} out")
    sizes = {stratum: sum(map(len, held)) for stratum, held in strata.items()}
    quota = _largest_remainder(sizes, validation, seed)
    held = {name for stratum in strata for name in _fitting(strata[stratum], quota[stratum])}
    others = [group for group in groups if group[0] not in held]
    held.update(_fitting(others, validation - len(held)))
    if not held:
        smallest = min(groups, key=len)
        held.update(smallest)
    return _split(f"holdout-{len(held)}", seed, _entries(dataset), held)


def k_fold(dataset: Dataset, *, k: int = 5, seed: int = 0) -> tuple[Split, ...]:
    """`k` splits; every image validates in exactly one, all images of a patient in the same.

    Folds differ by at most one image, per organ of each dataset too, unless patients have several images.

    Raises
    ------
    UsageError
        `k` is below 2 or above the number of patients.
    """
    strata = _strata(dataset, seed, "k-fold")
    groups = [group for stratum in sorted(strata) for group in sorted(strata[stratum], key=len, reverse=True)]
    if not 2 <= k <= len(groups):
        raise UsageError(f"cannot make {k} folds of {_extent(dataset, groups)}")
    folds: list[set[str]] = [set() for _ in range(k)]
    for group in groups:
        min(folds, key=len).update(group)
    entries = _entries(dataset)
    return tuple(
        _split(f"fold-{place}-of-{k}", seed, entries, held) for place, held in enumerate(folds, start=1)
    )


def hold_out_dataset(dataset: Dataset, names: Collection[str]) -> Split:
    """Every image of the named ones among joined datasets validates, the others train.

    Raises
    ------
    UsageError
        A name is not among the joined datasets, or nothing would be left on one side.
    DatasetError
        A patient has images on both sides.
    """
    known = {sample.dataset for sample in dataset}
    unknown = sorted(set(names) - known)
    if unknown or not names or known <= set(names):
        what = f"{unknown[0]!r} is not one of" if unknown else "some must be held out and some not, of"
        listed = ", ".join(sorted(known - {""})) or "a lone dataset, which has no name"
        raise UsageError(f"{what} the joined datasets", remedy=f"They are: {listed}")
    held = {sample.id for sample in dataset if sample.dataset in names}
    _check_patients(dataset, held)
    return _split(f"hold-out-{'+'.join(sorted(set(names)))}", 0, _entries(dataset), held)


def everything(dataset: Dataset) -> Split:
    """Every image trains, none validates."""
    return _split("everything", 0, _entries(dataset), set())


def fraction(split: Split, of_labels: float) -> Split:
    """The split with only ceil(of_labels × N) of its N training images, organs of each dataset in proportion.

    Validation stays as it is. Smaller fractions are nested in larger ones: 10 % ⊂ 30 % ⊂ 50 % ⊂ 70 % ⊂ 100 %.

    Raises
    ------
    UsageError
        `of_labels` is not in (0, 1].
    """
    if not 0 < of_labels <= 1:
        raise UsageError(f"a fraction of the labels must lie in (0, 1], not {of_labels}")
    exact = Fraction(of_labels).limit_denominator(1_000_000)
    count = max(1, math.ceil(exact * len(split.train)))
    strata: dict[str, list[Entry]] = defaultdict(list)
    for entry in split.train:
        strata[_stratum(entry.dataset, entry.organ)].append(entry)
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


def _stratum(dataset: str, organ: str | None) -> str:
    return f"{dataset}/{organ or ''}" if dataset else organ or ""


def _strata(dataset: Dataset, seed: int, purpose: str) -> dict[str, list[Group]]:
    """Patients' images of each dataset and organ, in the drawn order; a patient is where its first image is."""
    strata: dict[str, list[Group]] = defaultdict(list)
    groups: dict[tuple[str | None, str], Group] = {}
    for name in sorted(dataset.ids, key=lambda name: _draw(seed, purpose, name)):
        sample = dataset[name]
        key = (sample.patient, "" if sample.patient else name)
        if key not in groups:
            groups[key] = []
            strata[_stratum(sample.dataset, sample.organ)].append(groups[key])
        groups[key].append(name)
    return strata


def _fitting(groups: Iterable[Group], room: int) -> Group:
    """Ids of the groups that fit into `room` images, taken as they come."""
    taken: Group = []
    for group in groups:
        if len(taken) + len(group) <= room:
            taken += group
    return taken


def _extent(dataset: Dataset, groups: Collection[Group]) -> str:
    count = len(groups)
    patients = "" if count == len(dataset) else f" of {count} patient{'s' * (count != 1)}"
    return f"{len(dataset)} images{patients}"


def _check_patients(dataset: Dataset, held: set[str]) -> None:
    of = {sample.patient: sample.id for sample in dataset if sample.id in held and sample.patient}
    for sample in dataset:
        if sample.id not in held and sample.patient in of:
            raise DatasetError(
                f"{sample.id} would train and {of[sample.patient]} validate, both of patient {sample.patient}",
                path=dataset.path,
                remedy="Leave one of the two out",
            )


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
