"""Class probabilities to instances: body markers, regrown over the boundary band that they lost.

Input is uint8 of shape (3 + T, row, col): P(body), P(boundary), P(type) of T types, which have no say here,
and hematoxylin optical density. Every decision is integer arithmetic on these bytes, and every decision is
*local*, which is what lets a slide be cut into blocks (`seams`):

1. A **marker** is a 4-connected component of {body ≥ t_body and body + boundary ≥ t_foreground}. One
   smaller than `min_marker_px` is dropped: that depends on the marker alone.
2. Markers **regrow** through the foreground {body + boundary ≥ t_foreground} in `regrow_px` iterations of
   4-neighbour steps. The owner of a pixel depends on bytes and kept markers at most `regrow_px` steps away
   (see `flood`).
3. An instance smaller than `min_area_px` is dropped: that depends on the instance alone.
4. Background that is 4-connected and touches nothing but one instance is a hole without anybody in it, and
   is **filled**; it lies within the instance's bounding box. A hole that holds another instance stays a
   hole.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.checks import shown
from wsi_nucssl.errors import UsageError
from wsi_nucssl.nuclei.compiled import compiled
from wsi_nucssl.nuclei.flood import fill_holes, regrow
from wsi_nucssl.nuclei.settings import InstanceConfig, LabelImage, Probabilities

__all__ = [
    "InstanceConfig",
    "LabelImage",
    "Markers",
    "Probabilities",
    "areas",
    "find_markers",
    "grow_instances",
]
__all__ += ["label_instances", "relabel"]


@dataclass(frozen=True, slots=True)
class Markers:
    """The marker components of a window, small ones included.

    Attributes
    ----------
    labels : LabelImage
        int32 (row, col), 1 … k in the order of `seed_rc`.
    foreground : ndarray of uint8
        uint8 (row, col), 1 where an instance may grow.
    seed_rc : ndarray of int64
        int64 (k, 2), each marker's first pixel in raster order; ascending.
    box : ndarray of int64
        int64 (k, 4), half-open [row0, col0, row1, col1).
    area : ndarray of int64
        int64 (k,) in px.
    """

    labels: LabelImage
    foreground: NDArray[np.uint8]
    seed_rc: NDArray[np.int64]
    box: NDArray[np.int64]
    area: NDArray[np.int64]


def find_markers(probabilities: Probabilities, config: InstanceConfig) -> Markers:
    """The marker components of uint8 (3 + T, row, col) probabilities."""
    body, foreground = _threshold(
        probabilities[0], probabilities[1], config.body_byte, config.foreground_byte
    )
    count, components = cv2.connectedComponents(body, connectivity=4)
    labels = np.asarray(components, np.int32)
    seed_rc, box, area = _number_in_raster_order(labels, count - 1)
    return Markers(labels, foreground, seed_rc, box, area)


def grow_instances(markers: Markers, probabilities: Probabilities, config: InstanceConfig) -> LabelImage:
    """Regrow the markers, drop specks, fill holes: a label image that keeps the markers' numbers, with gaps.

    Consumes `markers`: its arrays are reused for the result.
    """
    labels = markers.labels
    numbers = np.arange(len(markers.area) + 1, dtype=np.int32)
    relabel(labels, np.where(np.append(0, markers.area) >= config.min_marker_px, numbers, 0).astype(np.int32))
    regrow(labels, markers.foreground, probabilities[0], config.regrow_px)
    area = areas(labels, len(numbers))
    relabel(labels, np.where(area >= config.min_area_px, numbers, 0).astype(np.int32))
    _, background = cv2.connectedComponents((labels == 0).view(np.uint8), connectivity=4)
    fill_holes(labels, background)
    return labels


def label_instances(probabilities: Probabilities, config: InstanceConfig) -> LabelImage:
    """Probabilities of a whole image to its label image, int32 (row, col), numbered 1 … n by seed.

    The same steps that `seams.extract_block` runs on a block, here with the image as the one block.

    Parameters
    ----------
    probabilities : ndarray
        uint8 (3 + T, row, col), as `settings.Probabilities` has them.
    config : InstanceConfig
        Thresholds and sizes.

    Raises
    ------
    UsageError
        `probabilities` are something else.
    """
    shape: tuple[int, ...] = getattr(probabilities, "shape", ())
    if len(shape) != 3 or shape[0] < 3 or probabilities.dtype != np.uint8:
        raise UsageError(
            f"⟨probabilities⟩ are uint8 of shape (3 or more, row, col), not {shown(probabilities)}",
            remedy="Give what predict_image returns",
        )
    labels = grow_instances(find_markers(probabilities, config), probabilities, config)
    present = areas(labels, int(labels.max(initial=0)) + 1) > 0
    present[0] = False
    relabel(labels, (np.cumsum(present) * present).astype(np.int32))
    return labels


@compiled
def relabel(labels: LabelImage, numbers: NDArray[np.int32]) -> None:
    """Replace each label l by `numbers[l]`, in place; `numbers[0]` is taken to be 0."""
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            label = labels[row, col]
            if label:
                labels[row, col] = numbers[label]


@compiled
def _threshold(
    body: NDArray[np.uint8], boundary: NDArray[np.uint8], least_body: int, least_foreground: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    marker = np.empty(body.shape, np.uint8)
    foreground = np.empty(body.shape, np.uint8)
    for row in range(body.shape[0]):
        for col in range(body.shape[1]):
            inside = np.int32(body[row, col]) + np.int32(boundary[row, col]) >= least_foreground
            foreground[row, col] = inside
            marker[row, col] = inside and body[row, col] >= least_body
    return marker, foreground


@compiled
def _number_in_raster_order(
    labels: LabelImage, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Renumber labels 1 … count by their first pixels, in place; seeds, boxes and areas as in `Markers`."""
    number = np.zeros(count + 1, np.int32)
    seed_rc = np.empty((count, 2), np.int64)
    box = np.empty((count, 4), np.int64)
    area = np.zeros(count, np.int64)
    seen = 0
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            label = labels[row, col]
            if label == 0:
                continue
            if number[label] == 0:
                seed_rc[seen, 0], seed_rc[seen, 1] = row, col
                box[seen, 0], box[seen, 1], box[seen, 3] = row, col, col + 1
                seen += 1
                number[label] = seen
            index = number[label] - 1
            labels[row, col] = index + 1
            area[index] += 1
            box[index, 1] = min(box[index, 1], col)
            box[index, 2] = row + 1
            box[index, 3] = max(box[index, 3], col + 1)
    return seed_rc, box, area


@compiled
def areas(labels: LabelImage, count: int) -> NDArray[np.int64]:
    """Pixels of each label 0 … count − 1, int64 (count,)."""
    area = np.zeros(count, np.int64)
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            area[labels[row, col]] += 1
    return area
