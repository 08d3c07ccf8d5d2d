"""Why a nucleus is owned by its marker: markers stay as small as nuclei, foreground components grow with crowding.

The figures of docs/seams.md: pytest -s tests/nuclei/test_marker_extent.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.pictures import read_labels
from wsi_nucssl.nuclei.targets import BODY, three_class


def largest_extent(mask: NDArray[np.bool_]) -> int:
    """Longest side of a bounding box among the 4-connected components, in px."""
    stats = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)[2][1:]
    return int(stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max())


def test_markers_stay_small_where_foreground_joins_up(monuseg: Path) -> None:
    extents = []
    for path in sorted((monuseg / "labels").glob("*.png")):
        classes = three_class(read_labels(path), 2)
        # a network's foreground bridges gaps of a pixel or two that annotators leave
        bridged = cv2.morphologyEx((classes > 0).view(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        row = (largest_extent(classes > 0), largest_extent(bridged > 0), largest_extent(classes == BODY))
        extents.append(row)
        print(f"{path.stem}  foreground {row[0]:4}  bridged {row[1]:4}  markers {row[2]:4}")
    foreground, bridged, markers = np.array(extents).T
    for name, figures in {"foreground": foreground, "bridged": bridged, "markers": markers}.items():
        print(f"{name}: median {np.median(figures):.0f} px, largest {figures.max()} px")
    assert (markers <= foreground).all()
    assert np.median(foreground) > 1.5 * np.median(markers)
    assert bridged.max() > 2.5 * markers.max()
