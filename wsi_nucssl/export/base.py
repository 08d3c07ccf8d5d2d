"""The contract of exporters: open a file, write tables of nuclei, close it; several files in one pass over the tables.

A format is one module with one `Exporter`. What it needs to know of the slide stands in the `ExportContext`, so that
ids, units and places are the same in every format. An example of the whole, registered as `counts` in the entry-point
group `wsi_nucssl.exporters` (`export.registry`):

>>> @contextmanager
... def _open(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
...     counts: list[int] = []
...     yield lambda nuclei: counts.append(len(nuclei))
...     path.write_text(f"{context.identity}: {sum(counts)}")
>>> COUNTS = Exporter(_open)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.export.columns import rounded, rounded_type_probability
from wsi_nucssl.export.ids import nucleus_ids
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.files import atomic_path
from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.locations import Location
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.schema import NucleusType

WriteNuclei = Callable[[Nuclei], object]
"""Takes one table after another, in raster order of blocks; a table may be empty."""


@dataclass(frozen=True, slots=True)
class Classification:
    """QuPath's class of the detections: a name and an RGB colour, without which QuPath refuses to read."""

    name: str = "Nucleus"
    color: tuple[int, int, int] = (200, 0, 0)


@dataclass(frozen=True, slots=True)
class ExportContext:
    """What the nuclei of one slide stand for.

    Attributes
    ----------
    transform : CanvasTransform
        From canvas px, those of the tables, to level-0 px.
    mpp : Mpp
        µm per canvas px.
    identity : str
        What tells this slide from others.
    header : Mapping[str, object]
        Provenance (version, model, origin, …): JSON values by name.
    classification : Classification
        QuPath's class of every nucleus without a type; "Nucleus", red, by default.
    types : tuple of NucleusType
        Types of nuclei, in the order of `Nuclei.type_id`; none where the model tells none apart.
    extent : Size, optional
        Canvas px that cover the slide, for formats that are rasters; None where nobody knows it.
    slide : Path, optional
        The slide's file, for formats that refer to it; None where it is not at hand.
    """

    transform: CanvasTransform
    mpp: Mpp
    identity: str
    header: Mapping[str, object]
    classification: Classification = Classification()
    types: tuple[NucleusType, ...] = ()
    extent: Size | None = None
    slide: Path | None = None

    def ids(self, nuclei: Nuclei) -> NDArray[np.uint8]:
        """The id of each nucleus, a UUID as uint8 (n, 16)."""
        return nucleus_ids(self.identity, nuclei.seed_xy)

    def measured(self, nuclei: Nuclei) -> NDArray[np.int64]:
        """The measurements in the units of `COLUMNS`, in steps of 10^−`columns.DECIMALS`; int64 (n, 9)."""
        return rounded(nuclei, self.mpp)

    def canvas_xy(self, nuclei: Nuclei) -> NDArray[np.int32]:
        """Vertices in canvas px, int32 (m, 2)."""
        return nuclei.ring_xy

    def type_names(self, nuclei: Nuclei) -> list[str]:
        """The name of the type of each nucleus; "" where it has none."""
        names = [each.name for each in self.types]
        return [names[index] if index >= 0 else "" for index in nuclei.type_id.tolist()]

    def type_probability(self, nuclei: Nuclei) -> NDArray[np.int64]:
        """P(type) of each nucleus's own type in steps of 10^−`columns.DECIMALS`; int64 (n,), 0 without one."""
        return rounded_type_probability(nuclei)

    def centroids_px(self, nuclei: Nuclei) -> NDArray[np.float64]:
        """Centroids as level-0 (x, y), float64 (n, 2)."""
        return self.transform.level0(nuclei.centroids_xy())

    def centroids_um(self, nuclei: Nuclei) -> NDArray[np.float64]:
        """Centroids in µm (x, y) from the point that level-0 px are counted from, float64 (n, 2)."""
        um_per_px = np.array([self.mpp.x / self.transform.scale_x, self.mpp.y / self.transform.scale_y])
        centroids: NDArray[np.float64] = self.centroids_px(nuclei) * um_per_px
        return centroids


Opener = Callable[[Path, ExportContext], AbstractContextManager[WriteNuclei]]
"""Opens a path where nothing is; entering gives what writes, leaving without an error ends the file."""

CheckSlide = Callable[[Location | None], None]
"""Raises a `UsageError` for a slide whose nuclei a format cannot hold; None is a slide that is not at hand."""


def any_slide(_slide: Location | None) -> None:
    """The `CheckSlide` of formats for every slide."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """One format.

    Attributes
    ----------
    opener : Opener
        Writes to a path that lies beside the final one, whose name has another ending. It must not keep all nuclei in
        memory, and the same tables must give the same bytes.
    is_folder : bool
        True if it makes a folder, False if it makes a file.
    check : CheckSlide
        Refuses slides that the format is not for; it is asked before any work.
    """

    opener: Opener
    is_folder: bool = False
    check: CheckSlide = any_slide

    @contextmanager
    def open(self, path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
        """Open `path`; it is there, whole, when the context ends without an error, and otherwise stays as it was.

        Raises
        ------
        ResourceError
            The disk is full.
        OutputError
            The place cannot be written to.
        """
        with atomic_path(path) as partial, self.opener(partial, context) as write:
            yield write


def export(outputs: Mapping[Path, Exporter], tables: Iterable[Nuclei], context: ExportContext) -> int:
    """Write tables of nuclei, taken one at a time, to every output in one pass. Returns how many nuclei there were.

    If one output fails, those that are not whole yet do not appear.

    Raises
    ------
    ResourceError
        The disk is full.
    OutputError
        A place cannot be written to.
    """
    count = 0
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(exporter.open(path, context)) for path, exporter in outputs.items()]
        for nuclei in tables:
            for write in writers:
                write(nuclei)
            count += len(nuclei)
    return count
