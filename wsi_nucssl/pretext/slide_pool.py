"""Slides kept open while memory allows, shared by the loader's threads."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wsi_nucssl.locations import Location
from wsi_nucssl.mpp import NOT_GIVEN, GivenMpp
from wsi_nucssl.slide import Slide, open_slide
from wsi_nucssl.slide.part import ANY_PART, PartChoice

_BUDGET_BYTES: Final = 2 << 30
_SLIDE_BYTES: Final = 128 << 20
"""What a reader of a tiled slide may keep decoded."""


@dataclass(slots=True)
class _Open:
    slide: Slide
    cost: int
    users: int = 0


class SlidePool:
    """Opens each slide when it is first needed; those unused for longest are closed once the budget is spent."""

    def __init__(
        self,
        given: GivenMpp = NOT_GIVEN,
        part: PartChoice = ANY_PART,
        budget_bytes: int = _BUDGET_BYTES,
    ) -> None:
        self._given, self._part, self._budget = given, part, budget_bytes
        self._open: OrderedDict[Location, _Open] = OrderedDict()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def borrow(self, path: Location) -> Iterator[Slide]:
        """The slide of that file; it stays open at least until the context ends."""
        with self._lock:
            entry = self._open.get(path)
            if entry is None:
                slide = self._opened(path)
                entry = self._open[path] = _Open(slide, _cost(slide))
            entry.users += 1
            self._open.move_to_end(path)
        try:
            yield entry.slide
        finally:
            with self._lock:
                entry.users -= 1
                self._shrink()

    def _opened(self, path: Location) -> Slide:
        given, part = self._given, self._part
        return open_slide(path, mpp=given.um, force_mpp=given.is_forced, scene=part.scene, focus=part.focus)

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """Close every slide; nobody may be borrowing one."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].slide.close()

    def _shrink(self) -> None:
        held = sum(entry.cost for entry in self._open.values())
        for path, entry in list(self._open.items()):
            if held <= self._budget:
                return
            if not entry.users:
                entry.slide.close()
                del self._open[path]
                held -= entry.cost


def _cost(slide: Slide) -> int:
    return 3 * slide.dimensions.area if slide.is_plain_image else _SLIDE_BYTES
