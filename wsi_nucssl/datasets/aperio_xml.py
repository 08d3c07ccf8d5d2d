"""Annotations drawn in Aperio ImageScope, as MoNuSeg and MoNuSAC are published."""

from __future__ import annotations

import gzip
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Never
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.sax import make_parser, parseString

from wsi_nucssl.datasets.polygons import Polygon, area_of, rasterise
from wsi_nucssl.datasets.sample import LabelImage, Shape
from wsi_nucssl.errors import DatasetError

_HEAD_BYTES = 1 << 16
"""The root's attributes must lie within these first bytes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Annotation:
    """The regions of an annotation file.

    Attributes
    ----------
    polygons : tuple of Polygon
        One per region of positive area, in the order of the file; (N, 2) vertices (x, y) in px of the
        image.
    dropped : int
        Regions without area (a click, a line), which no pixel can lie in.
    """

    polygons: tuple[Polygon, ...]
    dropped: int


def read_xml_labels(path: Path, shape: Shape) -> LabelImage:
    """Draw an annotation file as an int32 label image of `shape` (rows, cols), ids in file order.

    Raises
    ------
    DatasetError
        As `read_annotation`; or no region covers a pixel.
    """
    annotation = read_annotation(path)
    if annotation.dropped:
        total = annotation.dropped + len(annotation.polygons)
        _log.info("%s: %d of %d regions have no area and were dropped", path, annotation.dropped, total)
    labels = rasterise(annotation.polygons, shape)
    if not labels.any():
        raise DatasetError(
            f"none of its {len(annotation.polygons)} regions covers a pixel of the image, {shape[1]} × {shape[0]} px",
            path=path,
            remedy="Give the annotation that was drawn on this image, at the same scale",
        )
    return labels


def read_annotation(path: Path) -> Annotation:
    """Read every Region of every Annotation of an Aperio XML file, in the order of the file.

    Raises
    ------
    DatasetError
        The file is broken (the message names the line), holds entities, or has no region.
    """
    collector = _Collector(path)
    try:
        parseString(path.read_bytes(), collector)
    except SAXParseException as error:
        raise DatasetError(
            f"broken XML at line {error.getLineNumber()}: {error.getMessage()}",
            path=path,
            remedy="Download it again or save it anew in ImageScope",
        ) from error
    except LookupError as error:
        raise DatasetError(
            f"broken XML: {error}", path=path, remedy="Download it again or save it anew in ImageScope"
        ) from error
    except DefusedXmlException as error:
        raise DatasetError(
            f"this XML defines entities or refers to other files, which is not safe to read ({error})",
            path=path,
            remedy="Save it anew in ImageScope",
        ) from error
    regions = [np.array(region, dtype=np.float64) for region in collector.regions if region]
    polygons = tuple(region for region in regions if area_of(region) > 0)
    if not polygons:
        raise DatasetError(
            "this annotation file has no region",
            path=path,
            remedy="Annotate the image; if it has no nucleus, say so by an all-zero label image",
        )
    return Annotation(polygons, dropped=len(collector.regions) - len(polygons))


def read_xml_mpp(path: Path) -> float | None:
    """µm per px as the root of an Aperio file (.xml or .xml.gz) states it, from its first bytes alone.

    None where it does not say, or the root is not <Annotations>.

    Raises
    ------
    DatasetError
        The head of the file is broken or holds entities, or MicronsPerPixel is not a number.
    """
    root = _Root()
    parser = make_parser()
    parser.setContentHandler(root)
    try:
        parser.feed(_head(path))
    except _RootSeen:
        pass
    except (SAXParseException, LookupError, DefusedXmlException) as error:
        raise DatasetError(
            f"broken XML: {error}", path=path, remedy="Download it again or save it anew in ImageScope"
        ) from error
    try:
        return float(root.mpp) if root.mpp else None
    except ValueError as error:
        raise DatasetError(
            f"MicronsPerPixel is {root.mpp!r}, not a number",
            path=path,
            remedy="Correct it, or take it out and give the mpp when opening",
        ) from error


def _head(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(
            f"not a readable gzip file ({error})", path=path, remedy="Download it again"
        ) from error


class _RootSeen(Exception):
    """Ends the parsing: the root is all that was wanted."""


class _Root(ContentHandler):
    """Takes MicronsPerPixel from the root and stops."""

    def __init__(self) -> None:
        super().__init__()
        self.mpp = ""

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802 - named by xml.sax
        if name == "Annotations":
            self.mpp = attrs.get("MicronsPerPixel", "").strip()
        raise _RootSeen


class _Collector(ContentHandler):
    """Gathers the vertices of each region while the file is parsed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.regions: list[list[tuple[float, float]]] = []
        self._path = path
        self._locator: Locator | None = None
        self._root_seen = False

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802 - named by xml.sax
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802 - named by xml.sax
        if not self._root_seen and name != "Annotations":
            self._fail(f"the root is <{name}>, not <Annotations>, so this is no Aperio annotation")
        self._root_seen = True
        if name == "Region":
            self.regions.append([])
        elif name == "Vertex":
            self._add(attrs)

    def _add(self, attributes: AttributesImpl) -> None:
        if not self.regions:
            self._fail("a Vertex outside any Region")
        try:
            x, y = float(attributes["X"]), float(attributes["Y"])
        except (KeyError, ValueError):
            self._fail("a Vertex needs numbers X and Y")
        if not (abs(x) < 1e9 and abs(y) < 1e9):
            self._fail(f"a Vertex lies at ({x}, {y})")
        self.regions[-1].append((x, y))

    def _fail(self, what: str) -> Never:
        line = self._locator.getLineNumber() if self._locator else None
        raise DatasetError(f"line {line}: {what}", path=self._path, remedy="Save it anew in ImageScope")
