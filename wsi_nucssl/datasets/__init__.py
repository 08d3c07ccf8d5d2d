"""Images with annotated nuclei, read from the layouts people have, and splits of them.

`open_dataset(path)` yields samples in the order of their ids, each an RGB image and its label image, read
when asked for. `holdout`, `k_fold` and `fraction` split them; a `Split` is a JSON file with the hash of
every image and label.
"""

from wsi_nucssl.datasets.monuseg import monuseg_2018
from wsi_nucssl.datasets.organs import MONUSEG_2018_TEST, MONUSEG_2018_TRAINING, organ_of
from wsi_nucssl.datasets.reading import Layout, open_dataset
from wsi_nucssl.datasets.sample import Dataset, Sample
from wsi_nucssl.datasets.splits import Entry, Split, fraction, holdout, k_fold

__all__ = [
    "MONUSEG_2018_TEST",
    "MONUSEG_2018_TRAINING",
    "Dataset",
    "Entry",
    "Layout",
    "Sample",
    "Split",
    "fraction",
    "holdout",
    "k_fold",
    "monuseg_2018",
    "open_dataset",
    "organ_of",
]
