"""Which MoNuSeg this is: the 30 training images of the 2018 challenge, or the later release of 37."""

from __future__ import annotations

from collections.abc import Sequence

from wsi_nucssl.datasets.organs import MONUSEG_2018_TEST, MONUSEG_2018_TRAINING, patient_of
from wsi_nucssl.datasets.resolution import mpp_notes
from wsi_nucssl.datasets.sample import Dataset


def monuseg_2018(dataset: Dataset) -> Dataset:
    """The dataset with the 30 training images of the 2018 challenge alone.

    Raises
    ------
    DatasetError
        It holds none of them.
    """
    kept = tuple(sample for sample in dataset if sample.patient in MONUSEG_2018_TRAINING)
    notes = notes_on([sample.id for sample in kept]) + mpp_notes(kept)
    return Dataset(dataset.path, dataset.layout, kept, notes, dataset.type_names)


def notes_on(ids: Sequence[str]) -> tuple[str, ...]:
    """What to know about a dataset of these ids; nothing unless it is MoNuSeg's training set and more."""
    patients = {patient_of(name) for name in ids}
    more = [name for name in ids if patient_of(name) not in MONUSEG_2018_TRAINING]
    if not more or not patients.issuperset(MONUSEG_2018_TRAINING):
        return ()
    notes = [
        f"{len(ids)} images: the 30 training images of the MoNuSeg 2018 challenge and {len(more)} more, as "
        f"in its later release of 37 ({', '.join(more)}). Published figures train on the 30; "
        "monuseg_2018(dataset) keeps just those"
    ]
    tested = [name for name in more if patient_of(name) in MONUSEG_2018_TEST]
    if tested:
        notes.append(
            f"{', '.join(tested)} also belongs to the challenge's test set: "
            "a model trained on it must not be scored there"
        )
    return tuple(notes)
