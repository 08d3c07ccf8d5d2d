"""Whether nuclei have the size of nuclei at the resolution that an image is said to have.

`nuclei.plausible` says what size that is.
"""

from __future__ import annotations

import numpy as np

from wsi_nucssl.datasets.sample import Dataset, LabelImage, Sample
from wsi_nucssl.mpp import DEFAULT_MPP
from wsi_nucssl.nuclei.plausible import (
    FEWEST,
    LARGEST_MEDIAN_UM2,
    LEAST_MEDIAN_UM2,
    has_nuclear_size,
    likelier_factor,
)


def implausible(dataset: Dataset, *, default: float = DEFAULT_MPP) -> list[str]:
    """What `doubtful_mpp` says of each image of the dataset; reads them all."""
    doubts = (doubtful_mpp(sample, sample.labels(), default=default) for sample in dataset)
    return [doubt for doubt in doubts if doubt is not None]


def doubtful_mpp(sample: Sample, labels: LabelImage, *, default: float = DEFAULT_MPP) -> str | None:
    """A warning if the median nucleus has no nucleus's size at the sample's mpp; None if all is well.

    Parameters
    ----------
    sample : Sample
        the image in question; its files are not read.
    labels : LabelImage
        its labels at its own resolution, as `sample.labels()` gives them.
    default : float
        what its mpp is taken for where nobody states it, µm per px.

    Returns
    -------
    str or None
        names the image, its median nucleus, the mpp and who states it, and the mpp that is likelier, which
        differs by a power of two, as objectives do. None also for images of fewer than five nuclei.
    """
    areas_px = np.unique(labels[labels > 0], return_counts=True)[1]
    if len(areas_px) < FEWEST:
        return None
    mpp = default if sample.mpp is None else sample.mpp
    median = float(np.median(areas_px)) * mpp**2
    if has_nuclear_size(median):
        return None
    factor = likelier_factor(median)
    source = sample.mpp_source or "assumed, since nobody states it"
    return (
        f"{sample.id}: the median nucleus has {median:.3g} µm² at {mpp:.4g} µm per px ({source}), where human "
        f"nuclei have {LEAST_MEDIAN_UM2:g} to {LARGEST_MEDIAN_UM2:g}; at {mpp * factor:.4g} it would have "
        f"{median * factor**2:.3g}. Check the image's mpp"
    )
