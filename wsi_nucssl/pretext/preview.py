"""A contact sheet of what a pretext task shows the network: look at it before a long run."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.pretext.batches import TILES, PretextBatches

_CELL_PX: Final = 224
_GAP_PX: Final = 8
COLOURS: Final = ((214, 39, 40), (31, 119, 180), (44, 160, 44))
"""Outlines of the views in the tile, in turn; as in the paper's Fig. 1, red anchor, blue positive, green negative."""


def contact_sheet(batches: PretextBatches) -> NDArray[np.uint8]:
    """The first batch, uint8 RGB (row, col, 3): one line for each tile, the tile with its boxes and then its views."""
    batch = batches.batch(0)
    images = batches.views(batch).images.clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    tiles = batch[TILES].permute(0, 2, 3, 1).numpy()
    boxes = batch["boxes"].numpy()
    count = len(tiles)
    lines = [_line([_outlined(tiles[i], boxes[i]), *images[i::count]]) for i in range(count)]
    return np.concatenate(lines)


def _outlined(tile: NDArray[np.uint8], boxes: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The tile with the outlines of its boxes."""
    drawn = np.ascontiguousarray(tile)
    width = max(1, len(tile) // 120)
    for number, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        colour = COLOURS[number % len(COLOURS)]
        cv2.rectangle(drawn, (x0, y0), (x1 - 1, y1 - 1), colour, width)
    return drawn


def _line(cells: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images side by side, each in a white cell."""
    line = np.full((_CELL_PX + _GAP_PX, len(cells) * (_CELL_PX + _GAP_PX), 3), 255, np.uint8)
    for place, cell in enumerate(cells):
        x = place * (_CELL_PX + _GAP_PX)
        small = cv2.resize(cell, (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_AREA)
        line[:_CELL_PX, x : x + _CELL_PX] = small
    return line
