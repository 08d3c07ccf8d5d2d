"""Who reports on a run: told of the nuclei as they pass, and of the summary at the end; it never makes a run fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import InputError, WsiNucsslError
from wsi_nucssl.export.base import ExportContext
from wsi_nucssl.export.registry import format_of
from wsi_nucssl.files import read_head
from wsi_nucssl.geometry import Box
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.segment.executor import SlideWork
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import Slide, TissueMask

REPORT = ".report.html"
"""What the name of a report adds to that of its outputs."""
_OUTPUT: Final = re.compile(rb'<meta name="wsi-nucssl-output" content="([0-9a-f]{64})">')
_HEAD_BYTES: Final = 4096
_REACH_PX = 128
"""Canvas px that a nucleus may reach from its block, for those that are drawn."""

NucleiNear = Callable[[Sequence[Box]], Iterable[Nuclei]]
"""Tables with all nuclei near some boxes, in canvas px, and others perhaps."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is of.

    Attributes
    ----------
    path : Path
        Where it goes.
    slide, tissue : Slide and TissueMask
        The slide, open, and its tissue.
    context : ExportContext
        What the nuclei's tables stand for.
    windows : TileGrid
        The grid that the network saw, in canvas px.
    """

    path: Path
    slide: Slide
    tissue: TissueMask
    context: ExportContext
    windows: TileGrid


class Watch(Protocol):
    """Follows one run."""

    def see(self, nuclei: Nuclei) -> None:
        """Take note of a table of nuclei; it must not keep them all."""
        ...

    def write(self, summary: SegmentSummary, seconds: Mapping[str, float], near: NucleiNear) -> None:
        """Write the report, atomically; `seconds` says where the time went, stage by stage."""
        ...


Report = Callable[[Subject], Watch]
"""Begins to watch a run."""


class Guarded:
    """A watch that has no way to harm a run: whatever goes wrong in it ends it, and becomes a doubt."""

    def __init__(self, report: Report, subject: Subject) -> None:
        self._subject = subject
        self._watch: Watch | None = None
        self._fault: Exception | None = None
        self._try(lambda: setattr(self, "_watch", report(subject)))

    def see(self, nuclei: Nuclei) -> None:
        """See `Watch.see`."""
        if self._watch is not None and self._fault is None:
            self._try(lambda: self._watch.see(nuclei))  # type: ignore[union-attr]

    def seen(self, tables: Iterable[Nuclei]) -> Iterator[Nuclei]:
        """The tables as they are, each seen."""
        for table in tables:
            self.see(table)
            yield table

    def write(
        self, summary: SegmentSummary, seconds: Mapping[str, float], near: NucleiNear
    ) -> SegmentSummary:
        """Write the report; returns the summary, with a doubt if there is none."""
        if self._watch is not None and self._fault is None:
            self._try(lambda: self._watch.write(summary, seconds, near))  # type: ignore[union-attr]
        if self._fault is None:
            return summary
        return replace(summary, doubts=(*summary.doubts, _no_report(self._subject.path, self._fault)))

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # whatever it is, the nuclei are worth more than a page about them
            self._fault = error


def _no_report(path: Path, error: Exception) -> Doubt:
    said = error.message if isinstance(error, WsiNucsslError) else f"{type(error).__name__}: {error}"
    return Doubt(
        "no-report",
        f"the report {path.name} was not written ({said}); the nuclei are whole",
        "Mend what it names and run again with ⟨resume⟩, or leave reports out with ⟨report⟩ off (--no-report)",
    )


def report_path(output: Path) -> Path:
    """Where the report of a slide's outputs goes: beside them."""
    return output.with_name(f"{output.name.removesuffix(f'.{format_of(output)}')}{REPORT}")


def result_of_page(path: Path) -> str | None:
    """SHA-256 of the output that a report of ours says it is about; None if there is none, or somebody else's page."""
    found = _OUTPUT.search(read_head(path, _HEAD_BYTES))
    return found[1].decode() if found else None


def near_in_blocks(work: SlideWork, chosen: Callable[[Iterable[Nuclei]], Iterable[Nuclei]]) -> NucleiNear:
    """Nuclei near boxes from the blocks of a run, of those that are `chosen`."""

    def near(boxes: Sequence[Box]) -> Iterator[Nuclei]:
        grown = [box.grow(_REACH_PX) for box in boxes]
        for block in work.plan.active:
            if any(not block.core.clip(box).is_empty for box in grown):
                yield from chosen([work.table(block)])

    return near


def report_again(report: Report, subject: Subject, summary: SegmentSummary) -> SegmentSummary:
    """The report of a run that was finished earlier, from the first of its outputs that says enough; else none."""
    from wsi_nucssl.export.stored import ENDINGS, read_stored  # its libraries take long to import

    source = next((path for path in summary.outputs if path.name.endswith(ENDINGS)), None)
    if source is None:
        return summary
    try:
        context, tables = read_stored(source)
        watch = Guarded(report, replace(subject, context=context))
        for table in tables:
            watch.see(table)
    except InputError as error:
        return replace(summary, doubts=(*summary.doubts, _no_report(subject.path, error)))

    def near(boxes: Sequence[Box]) -> Iterator[Nuclei]:
        for table in read_stored(source)[1]:
            places = context.canvas_xy(table)[table.ring_offsets[table.polygon_offsets[:-1]]]
            inside = np.zeros(len(table), np.bool_)
            for box in (each.grow(_REACH_PX) for each in boxes):
                low, high = np.array([box.x0, box.y0]), np.array([box.x1, box.y1])
                inside |= ((places >= low) & (places < high)).all(axis=1)
            if inside.any():
                yield table.take(np.flatnonzero(inside))

    return watch.write(summary, {"network": summary.network_seconds}, near)
