"""Which images a benchmark scores: above all, not those that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wsi_nucssl.benchmark.predictors import KnownSplit, Predictor
from wsi_nucssl.datasets import Dataset, Entry, Split
from wsi_nucssl.errors import UsageError

SplitName = Literal["auto", "val", "train", "all"]


@dataclass(frozen=True, slots=True)
class Selection:
    """The images to score.

    Attributes
    ----------
    entries : tuple of Entry
        Id, organ and hashes of each, ordered by id.
    reason : str
        Which images these are, for people.
    seen : dict of str to tuple of str
        For each predictor that was trained on some of them, their ids.
    """

    entries: tuple[Entry, ...]
    reason: str
    seen: dict[str, tuple[str, ...]]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What nobody should overlook when reading the scores."""
        return tuple(
            f"{name} was trained on {len(ids)} of these {len(self.entries)} images: "
            "its scores on them say nothing about new images"
            for name, ids in self.seen.items()
        )


def select(
    dataset: Dataset, predictors: Sequence[Predictor], which: SplitName = "auto", file: Path | None = None
) -> Selection:
    """Choose images of a dataset.

    "val" and "train" are the sides of the split in `file`, else of the one that the models' weights remember (with
    several models: what is on that side for all of them; images are recognised by their pixels). "auto" is "val" where
    a split is known, else "all".

    Raises
    ------
    UsageError
        "val" or "train" and no split is known, or no image is left.
    DatasetError
        An image cannot be read, or the split in `file` is of other images.
    """
    entries = tuple(Entry(sample.id, sample.organ, *sample.hashes()) for sample in dataset)
    if file is not None:
        split = Split.read(file)
        split.verify(dataset)
        sides = {"train": {e.id for e in split.train}, "val": {e.id for e in split.validation}}
        origin = f"of the split {split.name}"
    else:
        sides = _remembered(entries, predictors)
        origin = "of the models' own split"
    if which == "auto":
        which = "val" if sides else "all"
    if which == "all":
        chosen, reason = entries, f"all {len(entries)} images"
    else:
        chosen = _side(entries, sides, which)
        kind = "validation" if which == "val" else "training"
        reason = f"{len(chosen)} of {len(entries)} images: the {kind} images {origin}"
    return Selection(chosen, reason, _seen(chosen, predictors))


def _remembered(entries: Sequence[Entry], predictors: Sequence[Predictor]) -> dict[str, set[str]]:
    """Ids on each side for every predictor that knows any of the images; empty if none does."""
    pixels = {entry.image_sha256: entry.id for entry in entries}
    splits = [predictor.split for predictor in predictors]
    known = [
        {"train": _ids(split.train, pixels), "val": _held_out(split, pixels)}
        for split in splits
        if split is not None and not (split.train | split.validation).isdisjoint(pixels)
    ]
    if not known:
        return {}
    return {side: set.intersection(*(sides[side] for sides in known)) for side in ("train", "val")}


def _held_out(split: KnownSplit, pixels: dict[str, str]) -> set[str]:
    """Ids that a model held out; where it held nothing out, those that it never saw."""
    if split.validation:
        return _ids(split.validation, pixels)
    return set(pixels.values()) - _ids(split.train, pixels)


def _ids(hashes: frozenset[str], pixels: dict[str, str]) -> set[str]:
    return {pixels[value] for value in hashes if value in pixels}


def _side(entries: Sequence[Entry], sides: dict[str, set[str]], which: SplitName) -> tuple[Entry, ...]:
    if not sides:
        raise UsageError(
            f"⟨split⟩ {which}, but no model says how this dataset was split",
            remedy="Give a ⟨split_file⟩ (finetune leaves split.json in its run), or ⟨split⟩ all",
        )
    chosen = tuple(entry for entry in entries if entry.id in sides[which])
    if not chosen and which == "val" and len(sides["train"]) == len(entries):
        raise UsageError(
            "every image of this dataset was trained on, so that scores on it say nothing about new images",
            remedy="Give another dataset or another ⟨model⟩, or ⟨split⟩ all to see these scores all the same",
        )
    if not chosen:
        raise UsageError(
            f"⟨split⟩ {which} leaves no image: the models' splits share none on that side",
            remedy="Benchmark them one by one, or give a ⟨split_file⟩",
        )
    return chosen


def _seen(chosen: Sequence[Entry], predictors: Sequence[Predictor]) -> dict[str, tuple[str, ...]]:
    seen = {
        predictor.name: tuple(e.id for e in chosen if e.image_sha256 in predictor.split.train)
        for predictor in predictors
        if predictor.split is not None
    }
    return {name: ids for name, ids in seen.items() if ids}
