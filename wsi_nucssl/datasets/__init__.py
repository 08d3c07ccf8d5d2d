"""Images with annotated nuclei, read from the layouts people have, and splits of them.

`open_dataset(path)` yields samples in the order of their ids, each an RGB image and its label image, read
when asked for, at its own resolution or at another. `join_datasets` makes one of several. `holdout`,
`k_fold`, `fraction`, `hold_out_dataset` and `everything` split them; a `Split` is a JSON file with the hash
of every image and label. docs/datasets.md says more.
"""

from wsi_nucssl.datasets.joining import dataset_names, join_datasets
from wsi_nucssl.datasets.monuseg import monuseg_2018
from wsi_nucssl.datasets.organs import MONUSEG_2018_TEST, MONUSEG_2018_TRAINING, organ_of
from wsi_nucssl.datasets.plausibility import doubtful_mpp, implausible
from wsi_nucssl.datasets.reading import open_dataset, open_datasets
from wsi_nucssl.datasets.registry import LAYOUTS, Layout
from wsi_nucssl.datasets.resolution import describe_mpp
from wsi_nucssl.datasets.sample import Dataset, Sample
from wsi_nucssl.datasets.split_rules import everything, fraction, hold_out_dataset, holdout, k_fold
from wsi_nucssl.datasets.splits import Entry, Split
from wsi_nucssl.mpp import DEFAULT_MPP

__all__ = [
    "DEFAULT_MPP",
    "LAYOUTS",
    "MONUSEG_2018_TEST",
    "MONUSEG_2018_TRAINING",
    "Dataset",
    "Entry",
    "Layout",
    "Sample",
    "Split",
    "dataset_names",
    "describe_mpp",
    "doubtful_mpp",
    "everything",
    "fraction",
    "hold_out_dataset",
    "holdout",
    "implausible",
    "join_datasets",
    "k_fold",
    "monuseg_2018",
    "open_dataset",
    "open_datasets",
    "organ_of",
]
