"""The page of a batch: a line for each slide, those that stand out marked, and links to the slides' own pages."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np

from wsi_nucssl.batch import Batch
from wsi_nucssl.doubts import DoubtWarning
from wsi_nucssl.errors import WsiNucsslError
from wsi_nucssl.files import read_head, remove_partials, write_atomic
from wsi_nucssl.ledger import TABLE, Ledger, Row
from wsi_nucssl.report.axes import number
from wsi_nucssl.report.charts import Tick, axis
from wsi_nucssl.report.pages import page
from wsi_nucssl.segment.outputs import run_path
from wsi_nucssl.segment.reporting import report_path
from wsi_nucssl.segment.summary import kept_median
from wsi_nucssl.staging import Stage

NAME: Final = "batch.report.html"
_OURS: Final = re.compile(rb'<meta name="generator" content="wsi-nucssl ')
_HEAD_BYTES: Final = 4096
_FEWEST: Final = 6
"""Fewer slides have no usual value."""
_FAR: Final = 3.5
"""Robust standard deviations from the median: https://doi.org/10.1080/00401706.1993.10484731."""
_MOST_ROWS: Final = 8
_DOT: Final = 1.8
"""Width of a dot, in per cent of the axis."""
_TO_SIGMA: Final = 1.4826
_LEAST_SIGMA: Final = 0.05
"""Of logarithms: slides that differ by a few per cent never stand out, however alike the others are."""


@dataclass(frozen=True, slots=True)
class Line:
    """A slide of the table.

    Attributes
    ----------
    number : int
        Its place in the ledger.
    row : Row
        What the ledger says.
    name, link : str
        The slide's name, and the address of its page, "" without one.
    median_um2 : float or None
        Area of the median nucleus.
    strange : frozenset of str
        Columns in which it is far from the other slides: "per_mm2", "median_um2".
    """

    number: int
    row: Row
    name: str
    link: str
    median_um2: float | None
    strange: frozenset[str] = frozenset()

    @property
    def folder(self) -> str:
        """Where its outputs lie in the folder of the batch: slides of one name lie apart."""
        above = Path(self.row.output).parent.as_posix()
        return "" if above == "." else above

    @property
    def note(self) -> str:
        """What there is to know: warnings, or the error and its remedy."""
        return self.row.warnings or ". ".join(each for each in (self.row.error, self.row.remedy) if each)

    @property
    def took(self) -> str:
        """How long it took, for people."""
        seconds = self.row.seconds or 0.0
        if seconds < 60:
            return f"{seconds:.1f} s"
        return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


@contextlib.contextmanager
def batch_reported(batch: Batch, *, wanted: bool = True, stage: Stage | None = None) -> Iterator[None]:
    """Write the page of a batch's folder when the work is over, however it ends, if it ever began.

    A lone slide has its own page, and the page of a batch that it joins is written again. Where none is wanted, the
    page of an earlier command is removed: it would tell of slides as they were. Where the folder belongs to object
    storage, by `stage`, the page goes there too. Whatever goes wrong with the page is a warning.
    """
    try:
        yield
    finally:
        ledger = batch.result().ledger
        if ledger is not None and ledger.exists():
            folder = ledger.parent
            try:
                _bring_up_to_date(folder, stage, wanted=wanted, is_lone=batch.is_lone)
            except Exception as error:  # the slides are worth more than a page about them
                said = error.message if isinstance(error, WsiNucsslError) else repr(error)
                warnings.warn(
                    f"{folder / NAME}: the page was not written ({said})", DoubtWarning, stacklevel=2
                )


def _bring_up_to_date(folder: Path, stage: Stage | None, *, wanted: bool, is_lone: bool) -> None:
    """Write the page anew; where none is wanted, none that tells of an earlier state of the ledger stays."""
    page = folder / NAME
    if stage is not None and (found := stage.objects.read(NAME)) is not None:
        write_atomic(page, found)
    is_there = _OURS.search(read_head(page, _HEAD_BYTES)) is not None
    if wanted and (is_there or not is_lone):
        write_batch(folder)
        if stage is not None:
            stage.objects.put(page, NAME)
    elif is_there and not wanted:
        page.unlink()
        if stage is not None:
            stage.objects.remove([NAME])


def write_batch(folder: Path) -> Path:
    """Write the page of all slides that the ledger of `folder` knows, in the place of an earlier one.

    Raises
    ------
    OutputError
        The ledger is damaged, or the page cannot be written.
    """
    lines = lines_of(folder, [*Ledger(folder).rows().values()])
    done = [line for line in lines if line.row.state == "done"]
    tissue_mm2 = sum(line.row.tissue_mm2 or 0.0 for line in done)
    text = page(
        "batch.html",
        name=folder.absolute().name,
        table=TABLE,
        lines=lines,
        strips=_strips(done),
        done=len(done),
        failed=[line for line in lines if line.row.state == "failed"],
        strange=[line for line in lines if line.strange],
        doubtful=[line for line in lines if line.row.warnings],
        telling=sum(bool(line.note or line.strange) for line in lines),
        nuclei=sum(line.row.nuclei or 0 for line in done),
        tissue_mm2=tissue_mm2,
        tissue=f"{tissue_mm2:,.0f}" if tissue_mm2 >= 100 else f"{tissue_mm2:.3g}",
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    path = folder / NAME
    remove_partials(folder, NAME)  # of a process that was killed
    write_atomic(path, text)
    return path


def lines_of(folder: Path, rows: Sequence[Row]) -> list[Line]:
    """The table's lines, with what stands out in them."""
    medians = [kept_median(run_path(folder / row.output)) if row.nuclei else None for row in rows]
    strange = {
        "per_mm2": _outliers([row.per_mm2 if row.state == "done" else None for row in rows]),
        "median_um2": _outliers(medians),
    }
    return [
        Line(
            index,
            row,
            Path(row.path).name or row.path,
            _link(folder, row),
            median,
            frozenset(name for name, found in strange.items() if index in found),
        )
        for index, (row, median) in enumerate(zip(rows, medians, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class Dot:
    """A slide on an axis: where from 0 to 100, in which row above it, its value, and whether it stands out."""

    at: float
    row: int
    line: Line
    text: str
    is_strange: bool


@dataclass(frozen=True, slots=True)
class Strip:
    """A dot for each slide along an axis, one above another where they would hide each other.

    Attributes
    ----------
    title : str
        What the axis is.
    dots : tuple of Dot
        The slides.
    ticks : tuple of Tick
        Of the axis.
    rows : int
        How many dots stand above one another.
    """

    title: str
    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]
    rows: int


def _strips(done: Sequence[Line]) -> list[Strip]:
    """The slides by density and by size of their nuclei, where there are several."""
    strips = []
    for title, name in (("Nuclei per mm²", "per_mm2"), ("Area of the median nucleus, µm²", "median_um2")):
        values = [(line.row.per_mm2 if name == "per_mm2" else line.median_um2, line) for line in done]
        known = sorted(
            ((value, line) for value, line in values if value is not None),
            key=lambda each: (each[0], each[1].number),
        )
        if len(known) > 1:
            high = 1.05 * known[-1][0] or 1.0
            places = [100 * value / high for value, _ in known]
            dots = tuple(
                Dot(at, row, line, number(value), name in line.strange)
                for at, row, (value, line) in zip(places, _stacked(places), known, strict=True)
            )
            strips.append(Strip(title, dots, axis(0.0, high), 1 + max(dot.row for dot in dots)))
    return strips


def _stacked(places: Sequence[float]) -> list[int]:
    """The lowest free row of each dot, of rising places; the highest row takes what finds none."""
    last = [-math.inf] * _MOST_ROWS
    rows = []
    for place in places:
        row = next((row for row, at in enumerate(last) if place - at >= _DOT), _MOST_ROWS - 1)
        last[row] = place
        rows.append(row)
    return rows


def _link(folder: Path, row: Row) -> str:
    if row.state == "failed":  # its name may be what no file can have
        return ""
    report = report_path(folder / row.output)
    return quote(report.relative_to(folder).as_posix()) if report.is_file() else ""


def _outliers(values: Sequence[float | None]) -> set[int]:
    """Places of values whose logarithm is far from the median of all; 0 counts as the least there is."""
    known = [(index, max(value, 1e-3)) for index, value in enumerate(values) if value is not None]
    if len(known) < _FEWEST:
        return set()
    logs = np.array([math.log(value) for _, value in known])
    away = np.abs(logs - np.median(logs))
    sigma = max(_TO_SIGMA * float(np.median(away)), _LEAST_SIGMA)
    return {
        index for (index, _), distance in zip(known, away.tolist(), strict=True) if distance > _FAR * sigma
    }
