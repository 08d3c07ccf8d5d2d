"""What a page calls things, for readers who know tissue and not our files."""

from __future__ import annotations

from typing import Final

DOUBTS: Final = {
    "no-tissue": "No tissue was found",
    "no-tissue-in-roi": "No tissue lies in the regions",
    "no-nuclei": "No nuclei were found",
    "all-filtered": "All nuclei were left out",
    "nucleus-size": "Nuclei have an unlikely size",
    "nuclei-per-mm2": "The number of nuclei is unlikely",
    "unsure": "The network is unsure of the nuclei",
}
"""Titles of doubts by their kind; others are called by the kind itself."""

MEASURED: Final = {
    "area_um2": ("Area", "µm²", "how large a nucleus is"),
    "perimeter_um": ("Perimeter", "µm", "the length of its outline"),
    "circularity": ("Circularity", "", "1 for a circle, less if ragged or long"),
    "major_axis_um": ("Length", "µm", "of the ellipse that fits it best"),
    "minor_axis_um": ("Width", "µm", "of the ellipse that fits it best"),
    "eccentricity": ("Elongation", "", "eccentricity: 0 if round, near 1 for spindles"),
    "solidity": ("Solidity", "", "1 without dents; less for bent or lobed nuclei"),
    "probability": ("Certainty", "", "how sure the network is, from 0 to 1"),
    "hematoxylin_od": ("Hematoxylin", "OD", "how dark its stain is, as optical density"),
}
"""Title, unit and explanation of each measurement, in the order in which they are shown."""

FILES: Final = {
    "geojson": "drag it onto the slide in QuPath",
    "geojson.gz": "unpack it, and drag it onto the slide in QuPath",
    "csv": "a table, one row a nucleus: a spreadsheet opens it",
    "parquet": "table and outlines, for pandas and geopandas",
    "zarr": "a label image, for napari",
}
"""What to do with a file of each format."""

STAGES: Final = {
    "prepare": ("Preparing", "opening the slide, finding tissue, starting the network"),
    "network": ("Network", "looking at the slide"),
    "extract": ("Finding nuclei", "reading pixels, outlining and measuring, beyond the network's own time"),
    "write": ("Writing files", "what goes beside this page"),
}

PAPER: Final = (
    "Xie X, Chen J, Li Y, Shen L, Ma K, Zheng Y. Instance-aware Self-supervised Learning for Nuclei Segmentation. "
    "MICCAI 2020. https://arxiv.org/abs/2007.11186"
)


def doubt_title(kind: str) -> str:
    """What a doubt is called."""
    return DOUBTS.get(kind, kind.replace("-", " ").capitalize())
