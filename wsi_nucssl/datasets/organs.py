"""Organs of the MoNuSeg images, by TCGA patient.

Source: Kumar et al., "A dataset and a technique for generalized nuclear segmentation for computational
pathology", IEEE TMI 36(7), 2017, table I, for the 30 training images; Kumar et al., "A multi-organ
nucleus segmentation challenge", IEEE TMI 39(5), 2020, for the 14 test images.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TRAINING = {
    "breast": "A7-A13E A7-A13F AR-A1AK AR-A1AS E2-A1B5 E2-A14V",
    "liver": "18-5592 38-6178 49-4488 50-5931 21-5784 21-5786",
    "kidney": "B0-5711 HE-7128 HE-7129 HE-7130 B0-5710 B0-5698",
    "prostate": "G9-6336 G9-6348 G9-6356 G9-6363 CH-5767 G9-6362",
    "bladder": "DK-A2I6 G2-A2EK",
    "colon": "AY-A8YK NH-A8F7",
    "stomach": "KB-A93J RD-A8N9",
}
_TEST = {
    "breast": "AC-A2FO AO-A0J2",
    "kidney": "2Z-A9J9 GL-6846 IZ-8196",
    "lung": "44-2665 69-7764",
    "prostate": "EJ-A46H HC-7209",
    "bladder": "CU-A0YN ZF-A9R5",
    "colon": "A6-6782",
    "brain": "FG-A4MU HT-8564",
}


def _by_patient(table: dict[str, str]) -> dict[str, str]:
    return {f"TCGA-{patient}": organ for organ, patients in table.items() for patient in patients.split()}


MONUSEG_2018_TRAINING: dict[str, str] = _by_patient(_TRAINING)
"""Organ of each of the 30 patients ("TCGA-18-5592") of the 2018 challenge's training set."""
MONUSEG_2018_TEST: dict[str, str] = _by_patient(_TEST)
"""Organ of each of the 14 patients of the 2018 challenge's test set."""

_PATIENT = re.compile(r"TCGA-\w{2}-\w{4}(?=-|$)")
_NUMBERED = re.compile(r"(\d+)_\d+")
_ORGANS = MONUSEG_2018_TRAINING | MONUSEG_2018_TEST


def patient_of(sample_id: str) -> str | None:
    """The TCGA patient that an id starts with ("TCGA-18-5592-01Z-00-DX1" → "TCGA-18-5592"), or None."""
    found = _PATIENT.match(sample_id)
    return found.group() if found else None


def organ_of(sample_id: str) -> str | None:
    """Organ of a MoNuSeg image by its id, or None for any other image."""
    return _ORGANS.get(patient_of(sample_id) or "")


def patients_of(sample_ids: Sequence[str]) -> list[str | None]:
    """The patient of each image of a dataset, None where the id does not tell.

    TCGA ids start with the patient. Where every id is two numbers ("01_1"), as in the TNBC set, and there
    is more than one first number, that is the patient.
    """
    numbered = [_NUMBERED.fullmatch(name) for name in sample_ids]
    prefixes = [found[1] for found in numbered if found]
    if len(prefixes) == len(sample_ids) and len(set(prefixes)) > 1:
        return list(prefixes)
    return [patient_of(name) for name in sample_ids]
