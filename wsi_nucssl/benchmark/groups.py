"""Images in groups, so that a good mean does not hide a bad organ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from wsi_nucssl.datasets import Dataset, Sample

By = Literal["dataset", "organ", "patient"]


def grouped(dataset: Dataset, ids: Iterable[str], by: By) -> dict[str, tuple[str, ...]]:
    """Ids of each group, groups by name.

    An image of unknown organ is in the group "unknown", one of an unknown patient in a group of its own, by its id, and
    one of a dataset that stands alone in a group by that dataset's name.
    """
    groups: dict[str, list[str]] = {}
    for sample_id in ids:
        groups.setdefault(_group(dataset, dataset[sample_id], by), []).append(sample_id)
    return {name: tuple(groups[name]) for name in sorted(groups)}


def _group(dataset: Dataset, sample: Sample, by: By) -> str:
    if by == "dataset":
        return sample.dataset or dataset.path.resolve().name
    if by == "organ":
        return sample.organ or "unknown"
    return sample.patient or sample.id
