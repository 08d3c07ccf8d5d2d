"""What segmenting many slides will cost: each slide's inventory, times what a window costs here."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any, Final

from wsi_nucssl._version import __version__
from wsi_nucssl.doctor.limits import memory_available, memory_limit
from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import SomeSlidesFailed
from wsi_nucssl.export.registry import DEFAULT, EXPORTERS, format_of
from wsi_nucssl.files import safe_stem
from wsi_nucssl.forecast.inventory import Inventory, SlideForecast
from wsi_nucssl.forecast.memory import peak_bytes
from wsi_nucssl.forecast.pace import SECONDS, Measured, Pace, measure
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.outputs import check_outputs, ordered, run_path
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.slide.annotation_files import rois_by_place

OnSlide = Callable[[SlideForecast], object]

_LEAST_ERROR: Final = 0.1
"""Relative error at least: machines are not steadier than that."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What segmenting some slides will cost here, one after another in one process.

    Attributes
    ----------
    slides : tuple of SlideForecast
        In the order in which they were given.
    pace : Pace
        What was measured.
    start_seconds : float
        Until the first window: setting the network up.
    free_bytes : int
        On the disk where the outputs go.
    problems : tuple of Doubt
        Of all slides together: disk or memory that is not there.
    """

    slides: tuple[SlideForecast, ...]
    pace: Pace
    start_seconds: float
    free_bytes: int
    problems: tuple[Doubt, ...] = ()

    @property
    def able(self) -> tuple[SlideForecast, ...]:
        """The slides that can be segmented."""
        return tuple(each for each in self.slides if each.state != "cannot")

    @property
    def seconds(self) -> float:
        """Wall time in all."""
        return self.start_seconds + sum(each.seconds for each in self.able) if self.able else 0.0

    @property
    def seconds_error(self) -> float:
        """How far that may be off: the pace is off for all slides alike, so errors add up."""
        return sum(each.seconds_error for each in self.able)

    @property
    def disk_bytes(self) -> int:
        """At the worst moment: all outputs, and the largest run."""
        outputs = sum(each.output_bytes for each in self.able)
        return outputs + max((each.disk_bytes - each.output_bytes for each in self.able), default=0)

    @property
    def memory_bytes(self) -> int:
        """Of the process at its peak."""
        return max((each.memory_bytes for each in self.able), default=0)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "version": __version__,
            "slides": [each.to_dict() for each in self.slides],
            "pace": self.pace.to_dict(),
            "start_seconds": self.start_seconds,
            "seconds": self.seconds,
            "seconds_error": self.seconds_error,
            "disk_bytes": self.disk_bytes,
            "free_bytes": self.free_bytes,
            "memory_bytes": self.memory_bytes,
            "problems": [doubt.message for doubt in self.problems],
        }

    @property
    def names(self) -> dict[str, str]:
        """How each slide's path is called in a table: by its file's name, if no other has the same."""
        taken = Counter(Path(each.path).name for each in self.slides)
        return {
            each.path: name if taken[name := Path(each.path).name] == 1 else each.path for each in self.slides
        }

    def refuse_impossible(self) -> None:
        """Make an error of what cannot be done.

        Raises
        ------
        SomeSlidesFailed
            A slide cannot be segmented, or disk or memory will not do.
        """
        cannot = [self.names[each.path] for each in self.slides if each.state == "cannot"]
        if cannot:
            raise SomeSlidesFailed(
                f"{len(cannot)} of {len(self.slides)} slides cannot be segmented: {', '.join(cannot)}"
            )
        if self.problems:
            raise SomeSlidesFailed(self.problems[0].what, remedy=self.problems[0].remedy)


def plan_slides(
    targets: Mapping[Location, Sequence[Path]],
    model: Model,
    options: SegmentOptions,
    *,
    mpps: Mapping[Location, float] = MappingProxyType({}),
    names: Mapping[Location, str] = MappingProxyType({}),
    resume: bool = False,
    overwrite: bool = False,
    seconds: float = SECONDS,
    check: bool = True,
    on_slide: OnSlide = lambda _: None,
    steps: Steps | None = None,
) -> Forecast:
    """See what segmenting slides would cost, without writing anything but temporary files.

    Parameters
    ----------
    targets : mapping of Location to sequence of Path
        Each slide and where its nuclei would go, as `segment.outputs.outputs` makes them.
    model : Model
        Weights.
    options : SegmentOptions
        Every choice there is.
    mpps : mapping of Location to float
        µm per level-0 px of slides that do not say it, before `options.mpp`.
    names : mapping of Location to str
        The place of each slide's outputs, and of its file of regions in a folder of them, where that is not its stem.
    resume, overwrite : bool
        As the run would have them.
    seconds : float
        How long to measure this machine.
    check : bool
        Refuse slides whose outputs cannot be written.
    on_slide : callable
        Is told of each slide once it has been looked at; its cost comes later.
    steps : Steps, optional
        What a run does at each step.

    Raises
    ------
    UsageError
        There is no file of regions for a slide.
    """
    steps = steps or Steps()
    rois = rois_by_place(options.roi, {slide: names.get(slide) or safe_stem(slide) for slide in targets})
    begun = perf_counter()
    engine = steps.open_engine(model, options.device, options.engine, options.views)
    opening = perf_counter() - begun

    def writable(slide: Location) -> None:
        if check:
            exporters = {path: EXPORTERS.get(name) for path, name in ordered(targets[slide]).items()}
            run = run_path(next(iter(exporters)))
            check_outputs(
                exporters, run, slide=slide, resume=resume, overwrite=overwrite, inputs=(model.path,)
            )

    inventory = Inventory(
        model, options, engine.upscale, lambda slide: mpps.get(slide, options.mpp), writable, steps, rois.get
    )
    entries = {}
    for slide in targets:
        entries[slide] = inventory.entry(slide)
        on_slide(entries[slide])
    windows = {slide: entry.windows for slide, entry in entries.items() if entry.state != "cannot"}
    measured = measure(inventory, engine, windows, _formats(targets), seconds)
    return _added_up(entries, measured, opening, model, _folder(targets))


def _formats(targets: Mapping[Location, Sequence[Path]]) -> tuple[str, ...]:
    first = next(iter(targets.values()), ())
    return tuple(format_of(path) or DEFAULT for path in first)


def _folder(targets: Mapping[Location, Sequence[Path]]) -> Path:
    """The nearest folder that is there above the first output."""
    first = next((path for paths in targets.values() for path in paths), Path("x"))
    return next(each for each in first.absolute().parents if each.is_dir())


def _added_up(
    entries: Mapping[Location, SlideForecast],
    measured: Measured,
    opening: float,
    model: Model,
    folder: Path,
) -> Forecast:
    slides = tuple(
        entry if entry.state == "cannot" else _costed(entry, measured.own.get(slide), measured.overall, model)
        for slide, entry in entries.items()
    )
    free = shutil.disk_usage(folder).free
    found = Forecast(slides, measured.overall, opening + measured.start_seconds, free)
    return replace(found, problems=_problems(found))


def _costed(entry: SlideForecast, own: Pace | None, overall: Pace, model: Model) -> SlideForecast:
    """An entry with its cost; its `seconds` were those of opening it and finding its tissue."""
    pace = own or overall
    error = max(_LEAST_ERROR, own.error if own else overall.spread)
    work = pace.seconds_of(entry.windows)
    output = round(entry.windows * pace.output_bytes)
    return replace(
        entry,
        seconds=round(entry.seconds + work, 2),
        seconds_error=round(work * error, 2),
        output_bytes=output,
        disk_bytes=output + round(entry.windows * pace.run_bytes),
        memory_bytes=peak_bytes(entry.windows, model),
    )


def _problems(found: Forecast) -> tuple[Doubt, ...]:
    room = min((each for each in (memory_available(), memory_limit()) if each is not None), default=math.inf)
    problems = []
    if found.disk_bytes > found.free_bytes:
        what = f"the work needs {found.disk_bytes / 1e9:.2f} GB of disk, and {found.free_bytes / 1e9:.2f} are free"
        problems.append(Doubt("disk", what, "Choose another disk with ⟨output⟩, or fewer slides"))
    if found.memory_bytes > room:
        what = f"the work needs {found.memory_bytes / 1e9:.2f} GB of memory, and {room / 1e9:.2f} can be had"
        problems.append(Doubt("memory", what, "Close other programs, or give fewer ⟨workers⟩"))
    return tuple(problems)
