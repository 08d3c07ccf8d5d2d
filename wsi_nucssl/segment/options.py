"""How to segment: every choice that a caller has, parsed and checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wsi_nucssl.checks import class_names, one_of, whole
from wsi_nucssl.engines.registry import ENGINES, VIEWS
from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.selection import ALL, Selection
from wsi_nucssl.models.devices import Device
from wsi_nucssl.mpp import GivenMpp
from wsi_nucssl.slide.part import PartChoice
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE, require_method

Origin = Literal["qupath", "level0"]


@dataclass(frozen=True, slots=True)
class SegmentOptions:
    """Choices for one or more slides; those that decide the result are part of a run's identity.

    Attributes
    ----------
    mpp : float or None
        µm per level-0 px where the slide does not say it.
    force_mpp : bool
        `mpp` goes before what the slide says, and an unusual resolution is not questioned.
    scene : str, int or None
        Which of a file's scenes: its name, or its number from 0.
    focus : int or None
        Which plane of a focus stack, from 0; None takes the sharpest.
    strict : bool
        A slide whose result is doubtful fails, and nothing is written for it.
    reader : str
        Backend for slides, "auto" chooses by content.
    device, engine : Device and str
        What the network runs on; an engine is "auto" or a name of `ENGINES`.
    views : int
        Mirrored and rotated inputs to average over: 1, 2, 4 or 8.
    batch_size : int or None
        Windows at a time; None chooses by device.
    workers : int
        Threads that read and as many that extract; they never change the result.
    memory : int or None
        Bytes that the process may hold at most; it never changes the result. None bounds the parts alone.
    origin : Origin
        "qupath" subtracts the slide's bounds, as QuPath's reader does; "level0" does not.
    block_px : int or None
        Side of an extraction block; it never changes the result.
    keep_probabilities : bool
        Leave the probability zarr in the run directory.
    selection : Selection
        Which nuclei go into the outputs; all by default.
    tissue : str
        How tissue is found: a name of `TISSUES`, a GeoJSON file of annotations, or a folder with one for each slide.
    write_tissue : Path or None
        A `.geojson` file, for one slide, or a folder, where the tissue goes as annotations.
    roi : Path or None
        A GeoJSON file of annotations, for one slide, or a folder with one for each: nuclei whose seeds lie in them are
        looked for, and no others.
    roi_class : str or sequence of str
        Classes of annotations that count as regions, kept as a tuple; all by default.
    """

    mpp: float | None = None
    force_mpp: bool = False
    scene: str | int | None = None
    focus: int | None = None
    strict: bool = False
    reader: str = "auto"
    device: Device = "auto"
    engine: str = "auto"
    views: int = 1
    batch_size: int | None = None
    workers: int = 2
    memory: int | None = None
    origin: Origin = "qupath"
    block_px: int | None = None
    keep_probabilities: bool = False
    selection: Selection = ALL
    tissue: str = DEFAULT_TISSUE
    write_tissue: Path | None = None
    roi: Path | None = None
    roi_class: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, allowed in (
            ("device", Device),
            ("engine", ("auto", *ENGINES.names)),
            ("origin", Origin),
            ("views", VIEWS),
        ):
            one_of(name, getattr(self, name), allowed)
        GivenMpp.parse(self.mpp, self.force_mpp)
        PartChoice(self.scene, self.focus)
        require_method(self.tissue)
        object.__setattr__(self, "roi_class", class_names(self.roi_class))
        if self.roi_class and self.roi is None:
            raise UsageError("⟨roi_class⟩ names regions of no file", remedy="Give the file with ⟨roi⟩")
        whole("workers", self.workers, 1)
        if self.memory is not None:
            whole("memory", self.memory, 1)
        if self.batch_size is not None:
            whole("batch_size", self.batch_size, 1)
        if self.block_px is not None:
            whole("block_px", self.block_px, 64)
