"""DICOM annotations of ours back into rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.export.columns import COLUMNS
from wsi_nucssl.export.dicom import (
    CREATOR,
    HEADER,
    HOLE_OWNERS,
    HOLE_VERTICES,
    HOLE_XY,
    IDS,
    PRIVATE_GROUP,
    ROWS,
    TRUNCATED,
    read_dicom,
)
from wsi_nucssl.export.rows import Rows, offsets_of

_AT_A_TIME: Final = 16384


def read(path: Path) -> Iterator[Any]:
    """The header, then rows in the order of the result, whichever group they are in."""
    dataset = read_dicom(path)
    block = dataset.private_block(PRIVATE_GROUP, CREATOR)
    header = orjson.loads(block[HEADER].value)
    yield header
    origin = np.array(header["origin_l0"], np.float64)
    types = [each["name"] for each in header.get("types", ())]
    groups = [_Group(each, types) for each in dataset.AnnotationGroupSequence]
    where = np.concatenate([np.full(len(each.rows), number) for number, each in enumerate(groups)])
    index = np.concatenate([np.arange(len(each.rows)) for each in groups])
    order = np.argsort(np.concatenate([each.rows for each in groups]), kind="stable")
    for first in range(0, len(order), _AT_A_TIME):
        some = order[first : first + _AT_A_TIME]
        yield _rows([(groups[where[each]], int(index[each])) for each in some.tolist()], origin)


class _Group:
    """One group: arrays by annotation."""

    def __init__(self, group: Any, types: list[str]) -> None:
        block = group.private_block(PRIVATE_GROUP, CREATOR)
        count = int(group.NumberOfAnnotations)
        self.type = group.AnnotationGroupLabel if group.AnnotationGroupLabel in types else ""
        self.ids = _array(block[IDS].value, "u1")[: 16 * count].reshape(-1, 16)
        self.rows = _array(block[ROWS].value, "<u4")
        self.truncated = _array(block[TRUNCATED].value, "u1")[:count].astype(np.bool_)
        if not len(self.ids) == len(self.rows) == len(self.truncated) == count:
            raise ValueError("a group holds other numbers of ids and of annotations")
        self._xy = _array(group.PointCoordinatesData, "<f4").reshape(-1, 2)
        starts = (_array(group.LongPrimitivePointIndexList, "<u4").astype(np.int64) - 1) // 2
        self._ends = np.append(starts, len(self._xy))
        self._hole_xy = _array(block[HOLE_XY].value, "<f4").reshape(-1, 2)
        self._hole_ends = offsets_of(_array(block[HOLE_VERTICES].value, "<u4").tolist())
        owners = _array(block[HOLE_OWNERS].value, "<u4").tolist()
        self._holes: dict[int, list[int]] = {}
        for hole, owner in enumerate(owners):
            self._holes.setdefault(owner, []).append(hole)
        values = [_values(each) for each in group.MeasurementsSequence]
        self.measured = np.column_stack(values[: len(COLUMNS)])
        self.type_probability = values[len(COLUMNS)] if self.type else np.zeros(count)

    def rings(self, index: int) -> list[NDArray[np.float32]]:
        """The rings of an annotation, each closed."""
        outer = self._xy[self._ends[index] : self._ends[index + 1]]
        ends = self._hole_ends
        holes = [self._hole_xy[ends[hole] : ends[hole + 1]] for hole in self._holes.get(index, ())]
        return [np.concatenate([outer, outer[:1]]), *holes]


def _values(measurements: Any) -> NDArray[np.float64]:
    return _array(measurements.MeasurementValuesSequence[0].FloatingPointValues, "<f4").astype(np.float64)


def _array(content: bytes | None, kind: str) -> NDArray[Any]:
    """The value of an element, which is None where it is empty."""
    return np.frombuffer(content or b"", kind)


def _rows(places: list[tuple[_Group, int]], origin: NDArray[np.float64]) -> Rows:
    rings = [group.rings(index) for group, index in places]
    return Rows(
        [str(uuid.UUID(bytes=group.ids[index].tobytes())) for group, index in places],
        np.concatenate([ring for each in rings for ring in each]).astype(np.float64) - origin,
        offsets_of(len(ring) for each in rings for ring in each),
        offsets_of(map(len, rings)),
        np.array([group.measured[index] for group, index in places]),
        np.array([group.truncated[index] for group, index in places]),
        [group.type for group, _ in places],
        np.array([group.type_probability[index] for group, index in places]),
    )
