"""DICOM annotations beside a DICOM slide: Microscopy Bulk Simple Annotations, polygons with measurements, by highdicom.

Vertices are float32 (x, y) in px of the slide's finest image, from the corner of its total pixel matrix; the object
refers to that image and takes patient, study and specimen from it. Each type of nuclei is a group. The standard has
room for neither ids nor holes nor where a result came from: those are private attributes, which others pass over.

The group's arrays are set whole. highdicom takes a list of one array a polygon and looks at each, which for a million
nuclei takes a minute and a gigabyte. https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.87.html
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl._version import __version__
from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TYPE_PROBABILITY, Column
from wsi_nucssl.export.dicom_source import check_slide, finest_image
from wsi_nucssl.export.transform import COORDINATE_DECIMALS
from wsi_nucssl.nuclei.table import Nuclei

try:
    import highdicom as hd
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.sr.coding import Code
except ImportError as error:
    raise UsageError(
        "DICOM annotations need the packages highdicom and pydicom, which are not installed",
        remedy="Install them: pip install 'wsi-nucssl[dicom]'",
    ) from error

CREATOR: Final = "WSI-NUCSSL"
PRIVATE_GROUP: Final = 0x0099
HEADER, IDS, ROWS, TRUNCATED, HOLE_XY, HOLE_VERTICES, HOLE_OWNERS = range(1, 8)
"""Elements of our private block: the header in the object, the others in each group."""
_OURS: Final = "99WSINUCSSL"
_NUCLEUS: Final = Code("84640000", "SCT", "Nucleus")
_STRUCTURE: Final = Code("91723000", "SCT", "Anatomical Structure")
_FAMILY: Final = Code("123110", "DCM", "Artificial Intelligence")
_UNITS: Final = {
    "µm²": Code("um2", "UCUM", "square micrometer"),
    "µm": Code("um", "UCUM", "micrometer"),
    "": Code("1", "UCUM", "no units"),
}
_CONCEPTS: Final = {
    "area": Code("42798000", "SCT", "Area"),
    "perimeter": Code("131191004", "SCT", "Perimeter"),
    "major_axis": Code("131187009", "SCT", "Major Axis"),
    "minor_axis": Code("131188004", "SCT", "Minor Axis"),
}
"""What SNOMED CT has a code for; the others have our names."""
_LONGEST_LABEL: Final = 64
_FROM_SOURCE: Final = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
"""What the image may leave empty and some leave out."""


@contextmanager
def _open(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    check_slide(context.slide)
    image = finest_image(cast(Path, context.slide))
    groups = [_Group() for _ in (*context.types, None)]

    def write(nuclei: Nuclei) -> None:
        first = sum(group.count for group in groups)
        places = np.where(nuclei.type_id < 0, len(context.types), nuclei.type_id)
        for place, group in enumerate(groups):
            rows = np.flatnonzero(places == place) if context.types else np.arange(len(nuclei))
            if len(rows) and (context.types or group is groups[-1]):
                group.add(nuclei.take(rows), first + rows, context)

    yield write
    looks = [*context.types, context.classification]
    filled = [(group, look) for group, look in zip(groups, looks, strict=True) if group.count]
    _save(path, image, filled or [(groups[-1], looks[-1])], context)


@dataclass(slots=True)
class _Group:
    """Annotations of one kind, as the arrays that the object will hold."""

    count: int = 0
    parts: list[tuple[NDArray[Any], ...]] = field(default_factory=list)

    def add(self, nuclei: Nuclei, rows: NDArray[np.intp], context: ExportContext) -> None:
        """Add nuclei, and which rows of the result they are."""
        corner = np.array([context.transform.origin_x, context.transform.origin_y])
        level0 = context.transform.centi_px(nuclei.ring_xy) / 10**COORDINATE_DECIMALS + corner
        xy = level0.astype(np.float32)
        vertices = np.diff(nuclei.ring_offsets)
        outer = np.zeros(len(vertices), np.bool_)
        outer[nuclei.polygon_offsets[:-1]] = True
        is_outer = outer.repeat(vertices)
        is_outer[nuclei.ring_offsets[1:] - 1] = False  # the vertex that closes a ring
        owners = np.arange(len(nuclei)).repeat(np.diff(nuclei.polygon_offsets))
        measured = context.measured(nuclei) / 10**DECIMALS
        if context.types:
            own = context.type_probability(nuclei) / 10**DECIMALS
            measured = np.column_stack([measured, own])
        self.parts.append(
            (
                xy[is_outer],
                vertices[outer] - 1,
                measured.astype(np.float32),
                context.ids(nuclei),
                rows.astype(np.uint32),
                nuclei.truncated.astype(np.uint8),
                xy[(~outer).repeat(vertices)],
                vertices[~outer].astype(np.uint32),
                (owners[~outer] + self.count).astype(np.uint32),
            )
        )
        self.count += len(nuclei)

    def joined(self, columns: int) -> _Arrays:
        """All that was added."""
        empty = _Group._nothing(columns)
        return _Arrays(*(np.concatenate(each) for each in zip(empty, *self.parts, strict=True)))

    @staticmethod
    def _nothing(columns: int) -> tuple[NDArray[Any], ...]:
        xy = np.zeros((0, 2), np.float32)
        numbers = np.zeros(0, np.uint32)
        lengths = np.zeros(0, np.int64)
        ids, flags = np.zeros((0, 16), np.uint8), np.zeros(0, np.uint8)
        measured = np.zeros((0, columns), np.float32)
        return xy, lengths, measured, ids, numbers, flags, xy, numbers, numbers


@dataclass(frozen=True, slots=True)
class _Arrays:
    """A group: outlines without the vertex that closes them, and what else is known of each nucleus."""

    xy: NDArray[np.float32]
    vertices: NDArray[np.int64]
    measured: NDArray[np.float32]
    ids: NDArray[np.uint8]
    rows: NDArray[np.uint32]
    truncated: NDArray[np.uint8]
    hole_xy: NDArray[np.float32]
    hole_vertices: NDArray[np.uint32]
    hole_owners: NDArray[np.uint32]


def _save(path: Path, image: Any, groups: Sequence[tuple[_Group, Any]], context: ExportContext) -> None:
    header = orjson.dumps(dict(context.header))
    columns = [*COLUMNS, TYPE_PROBABILITY] if context.types else [*COLUMNS]
    digest = hashlib.sha256(header + str(image.SOPInstanceUID).encode())

    def item(number: int, group: _Group, look: Any) -> Any:
        """A group of the object; its arrays are let go of."""
        arrays = group.joined(len(columns))
        group.parts.clear()
        for array in (arrays.ids, arrays.xy, arrays.measured):
            digest.update(np.ascontiguousarray(array).data)
        return _annotation_group(number, look, arrays, columns, context, digest.hexdigest())

    items = [item(number, *each) for number, each in enumerate(groups, start=1)]
    annotations = _object(image, items, context, digest.hexdigest())
    annotations.private_block(PRIVATE_GROUP, CREATOR, create=True).add_new(HEADER, "UT", header.decode())
    annotations.save_as(path)


def _annotation_group(
    number: int, look: Any, arrays: _Arrays, columns: Iterable[Column], context: ExportContext, digest: str
) -> Any:
    group = hd.ann.AnnotationGroup(
        number=number,
        uid=_uid(f"group {number} {digest}"),
        label=look.name[:_LONGEST_LABEL],
        annotated_property_category=_STRUCTURE,
        annotated_property_type=_NUCLEUS,
        graphic_type=hd.ann.GraphicTypeValues.POLYGON,
        graphic_data=[_ANY_TRIANGLE],
        algorithm_type=hd.ann.AnnotationGroupGenerationTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=str(context.header.get("model", "wsi-nucssl"))[:_LONGEST_LABEL],
            family=_FAMILY,
            version=__version__,
        ),
        display_color=hd.color.CIELabColor.from_rgb(*look.color),
    )
    starts = np.cumsum(arrays.vertices) - arrays.vertices
    group.NumberOfAnnotations = len(arrays.ids)
    group.MeasurementsSequence = [
        hd.ann.Measurements(_concept(column), arrays.measured[:, index], _UNITS[column.unit])
        for index, column in enumerate(columns)
    ]
    group.PointCoordinatesData = arrays.xy.astype("<f4", copy=False).tobytes()
    group.LongPrimitivePointIndexList = (2 * starts + 1).astype("<u4").tobytes()
    block = group.private_block(PRIVATE_GROUP, CREATOR, create=True)
    for element, kind, array in (
        (IDS, "OB", arrays.ids),
        (ROWS, "OL", arrays.rows),
        (TRUNCATED, "OB", arrays.truncated),
        (HOLE_XY, "OF", arrays.hole_xy),
        (HOLE_VERTICES, "OL", arrays.hole_vertices),
        (HOLE_OWNERS, "OL", arrays.hole_owners),
    ):
        content = np.ascontiguousarray(array).tobytes()
        block.add_new(element, kind, content + bytes(len(content) % 2))
    return group


_ANY_TRIANGLE: Final = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
"""What an `AnnotationGroup` is made with before its arrays are set."""


def _concept(column: Column) -> Code:
    return _CONCEPTS.get(column.measurement) or Code(column.measurement, _OURS, column.qupath)


def _object(image: Any, groups: Sequence[Any], context: ExportContext, digest: str) -> Any:
    """The object around the groups; its dates are those of the image, so that one result has one file."""
    for name in _FROM_SOURCE:
        if name not in image:
            setattr(image, name, "")
    annotations: Any = hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[image],
        annotation_coordinate_type=hd.ann.AnnotationCoordinateTypeValues.SCOORD,
        annotation_groups=groups,
        series_instance_uid=_uid(f"series {digest}"),
        series_number=1,
        sop_instance_uid=_uid(f"instance {digest}"),
        instance_number=1,
        manufacturer="wsi-nucssl",
        manufacturer_model_name="wsi-nucssl",
        software_versions=__version__,
        device_serial_number=str(context.header.get("model_sha256", "unknown"))[:_LONGEST_LABEL],
        content_label="NUCLEI",
        content_description="Outlines of nuclei",
    )
    annotations.ContentDate = image.get("ContentDate") or image.StudyDate or "19000101"
    annotations.ContentTime = image.get("ContentTime") or image.StudyTime or "000000"
    del annotations.InstanceCreationDate, annotations.InstanceCreationTime
    del annotations.ContributingEquipmentSequence[-1].ContributionDateTime  # highdicom's own
    return annotations


def _uid(of: str) -> str:
    """A UID by content: ISO 9834-8 makes one of any UUID."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, of).int}"


def read_dicom(path: Path) -> Any:
    """A file to read, a `pydicom.Dataset`.

    Raises
    ------
    ValueError
        It is none of DICOM, or is cut off.
    """
    try:
        return pydicom.dcmread(path)
    except (InvalidDicomError, struct.error) as error:
        raise ValueError(str(error)) from error


DICOM: Final = Exporter(_open, check=check_slide)
