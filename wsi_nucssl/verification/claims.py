"""What something is held against: the slide, the weights, and what the run that made it wrote down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from wsi_nucssl.geometry import Point, Size
from wsi_nucssl.locations import Location
from wsi_nucssl.slide import identity, open_slide


@dataclass(frozen=True, slots=True)
class SlideAtHand:
    """A slide that can be read here.

    Attributes
    ----------
    location : Location
        Where it lies.
    identity : str
        Its `slide.identity`.
    size : Size
        Level-0 px.
    corner : Point
        Of its bounds, which coordinates of origin "qupath" count from.
    """

    location: Location
    identity: str
    size: Size
    corner: Point

    @classmethod
    def at(cls, location: Location) -> Self:
        """Look at a slide.

        Raises
        ------
        SlideError
            It cannot be read.
        """
        with open_slide(location) as slide:
            return cls(location, identity(slide), slide.dimensions, slide.bounds.origin)


@dataclass(frozen=True, slots=True)
class Claims:
    """What an output, a run or a store should be, as far as anybody says it.

    Attributes
    ----------
    run : Path or None
        The run directory that made it.
    manifest : mapping
        That run's manifest; empty where it is not at hand.
    summary : mapping
        That run's summary, likewise.
    sha256 : str
        Of its bytes; "" where nobody says it.
    nuclei : int or None
        How many there are in it.
    slides : tuple of SlideAtHand
        The slides that it may be of; none where no slide is at hand.
    model_sha256 : str
        Of the weights that it is to be of; "" where nobody says it.
    """

    run: Path | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    nuclei: int | None = None
    slides: tuple[SlideAtHand, ...] = ()
    model_sha256: str = ""

    def slide_of(self, stated: object) -> SlideAtHand | None:
        """The slide at hand with this identity."""
        return next((each for each in self.slides if each.identity == stated), None)

    def size_of(self, stated: object) -> Size | None:
        """Level-0 px of the slide with this identity: by the slide, else by the run's summary."""
        slide = self.slide_of(stated)
        said = self.summary.get("slide_px")
        return slide.size if slide else Size(*said) if said else None

    def origin_l0(self) -> tuple[float, float] | None:
        """What the run's coordinates count from, where somebody says it."""
        slide = self.slide_of(self.manifest.get("slide"))
        if self.manifest.get("origin") == "level0":
            return 0.0, 0.0
        said = self.summary.get("origin_l0")
        return (slide.corner.x, slide.corner.y) if slide else (said[0], said[1]) if said else None
