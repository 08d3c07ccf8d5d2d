"""What each slide is, how much there is to do, and what stands in the way, before any network runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from wsi_nucssl.errors import WsiNucsslError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.plan import Plan, narrowed
from wsi_nucssl.segment.plausibility import doubts_before
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.scope import Scope
from wsi_nucssl.slide import Canvas, Slide
from wsi_nucssl.slide.resolution import require_detail

State = Literal["ready", "doubtful", "cannot"]


@dataclass(frozen=True, slots=True)
class SlideForecast:
    """One slide: what it is, and what segmenting it will cost here.

    Attributes
    ----------
    path : str
        As it was given.
    state : {"ready", "doubtful", "cannot"}
        Whether it can be segmented; doubtful if the result may be wrong.
    reader : str
        What reads it.
    file_bytes : int
        Of its main file; 0 for a URL.
    width, height : int
        Level-0 px.
    levels : int
        How many.
    mpp : float or None
        µm per level-0 px, the mean of both sides.
    tissue_mm2 : float
        Area of its tissue, within the regions if there are any.
    windows, blocks : int
        Windows that the network sees, blocks that are extracted.
    seconds, seconds_error : float
        Wall time of this slide once the network is set up, and how far it may be off (two standard errors).
    disk_bytes : int
        Of the run while it works and of the outputs.
    output_bytes : int
        Of the outputs alone, which stay.
    memory_bytes : int
        Of the process at its peak.
    problem, remedy : str
        What stands in the way or makes the result doubtful, and what can be done; "" where nothing does.
    """

    path: str
    state: State = "ready"
    reader: str = ""
    file_bytes: int = 0
    width: int = 0
    height: int = 0
    levels: int = 0
    mpp: float | None = None
    tissue_mm2: float = 0.0
    windows: int = 0
    blocks: int = 0
    seconds: float = 0.0
    seconds_error: float = 0.0
    disk_bytes: int = 0
    output_bytes: int = 0
    memory_bytes: int = 0
    problem: str = ""
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def refused(self, error: WsiNucsslError) -> SlideForecast:
        """The same slide, which cannot be segmented."""
        return replace(self, state="cannot", problem=error.what, remedy=error.remedy or "Leave it out")


COLUMNS = tuple(each.name for each in fields(SlideForecast))
"""Of tables, in this order."""


@dataclass(frozen=True, slots=True)
class OpenedSlide:
    """A slide that is open, and how it is cut."""

    slide: Slide
    scope: Scope
    canvas: Canvas
    plan: Plan


@dataclass(frozen=True, slots=True)
class Inventory:
    """Looks at slides as a run would.

    Parameters
    ----------
    model : Model
        Weights.
    options : SegmentOptions
        Every choice there is.
    upscale : int
        Of the engine.
    mpp_of : callable
        µm per px of slides that do not say it.
    check : callable
        Refuses a slide whose outputs cannot be written.
    steps : Steps
        What a run does at each step.
    roi_of : callable
        A slide's file of regions, if any.
    """

    model: Model
    options: SegmentOptions
    upscale: int
    mpp_of: Callable[[Location], float | None]
    check: Callable[[Location], None]
    steps: Steps
    roi_of: Callable[[Location], Path | None] = lambda _: None

    def entry(self, location: Location) -> SlideForecast:
        """What a slide is. Whatever one slide raises is that slide's problem."""
        entry = SlideForecast(str(location))
        try:
            begun = perf_counter()
            with self.opened(location) as slide:
                entry = _described(entry, slide)
                self.check(location)
                opened = self.cut(slide, location)
                entry = replace(
                    entry,
                    tissue_mm2=opened.scope.mm2,
                    windows=len(opened.plan.selected),
                    blocks=len(opened.plan.active),
                    seconds=perf_counter() - begun,  # this much is known
                )
                return self._judged(entry, opened)
        except WsiNucsslError as error:
            return entry.refused(error)

    def opened(self, location: Location) -> Slide:
        """The slide, to be closed by the caller."""
        options = self.options
        return self.steps.open_slide(
            location,
            reader=options.reader,
            mpp=self.mpp_of(location),
            force_mpp=options.force_mpp,
            scene=options.scene,
            focus=options.focus,
        )

    def cut(self, slide: Slide, location: Location) -> OpenedSlide:
        """How a slide that was opened is cut."""
        info = self.model.info
        require_detail(slide, Mpp.square(info.input_mpp))
        canvas = Canvas(slide, Mpp.square(info.input_mpp))
        tissue = self.steps.tissue_mask(slide, self.options.tissue)
        scope = Scope.of(slide, tissue, replace(self.options, roi=self.roi_of(location)))
        plan = self.steps.make_plan(canvas, tissue, upscale=self.upscale, block_px=self.options.block_px)
        return OpenedSlide(slide, scope, canvas, narrowed(plan, scope.roi))

    def _judged(self, entry: SlideForecast, opened: OpenedSlide) -> SlideForecast:
        doubts = doubts_before(opened.slide, opened.scope, self.model)
        if not doubts:
            return entry
        state: State = "cannot" if self.options.strict else "doubtful"
        return replace(
            entry,
            state=state,
            problem="; ".join(doubt.what for doubt in doubts),
            remedy=doubts[0].remedy,
        )


def _described(entry: SlideForecast, slide: Slide) -> SlideForecast:
    return replace(
        entry,
        reader=slide.reader,
        file_bytes=slide.path.stat().st_size if isinstance(slide.path, Path) else 0,
        width=slide.dimensions.width,
        height=slide.dimensions.height,
        levels=len(slide.levels),
        mpp=None if slide.mpp is None else round(slide.mpp.mean, 4),
    )
