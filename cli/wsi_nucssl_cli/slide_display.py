"""Progress through the slides of a batch: one line that fits 60 columns, and a line for each slide that ended."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.cells import cell_len
from rich.progress import Progress, SpinnerColumn, TextColumn

from wsi_nucssl.errors import OutputLocked, WsiNucsslError, spelled
from wsi_nucssl.locations import Location
from wsi_nucssl_cli.display import err, flag, out, say_line, say_warning

if TYPE_CHECKING:
    from wsi_nucssl.batch import BatchStart

WIDTH: Final = 60
_SPINNER_COLUMNS: Final = 2
_SHORTEST_NAME: Final = 8
_PLAIN_SECONDS: Final = 10.0


def duration(seconds: float) -> str:
    """A span of time in its two largest units, such as "3 h 05 min"."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{hours // 24} d {hours % 24} h"


def progress_line(
    place: str, name: str, fraction: float, remarks: Sequence[str], left: float | None, width: int = WIDTH
) -> str:
    """Place in the batch, name, part that is done, remarks and the time left, in at most `width` columns.

    Remarks are left out from the last on, and then the name is shortened, where they do not fit.
    """
    ends = [f"{duration(left)} left"] if left is not None else []
    fixed = [place] if place else []
    for count in range(len(remarks), -1, -1):
        after = [f"{fraction:.0%}", *remarks[:count], *ends]
        room = width - cell_len(" · ".join([*fixed, "", *after]))
        if room >= (cell_len(name) if count else min(cell_len(name), _SHORTEST_NAME)):
            return " · ".join([*fixed, _shortened(name, room), *after])
    return " · ".join([*fixed, *after])[:width]


def _shortened(name: str, room: int) -> str:
    if cell_len(name) <= room:
        return name
    head = (room - 1) // 2
    return f"{_first(name, head)}…{_first(name[::-1], room - 1 - head)[::-1]}"


def _first(text: str, columns: int) -> str:
    """As many characters as fit; some take two columns."""
    return next((text[:count] for count in range(len(text), 0, -1) if cell_len(text[:count]) <= columns), "")


@dataclass(slots=True)
class _InHand:
    """A slide that is being done: its size, the part that was done when it was begun, and the part done by now."""

    size: float
    first: float | None = None
    fraction: float = 0.0

    @property
    def done(self) -> float:
        return self.size * (self.fraction - (self.first or 0.0))


class TimeLeft:
    """Seconds that a batch still takes: what its slides took until now, by their size. Several may be done at a time.

    Parameters
    ----------
    sizes : mapping of Location to float
        Of the slides that are to be done, in bytes or whatever the work grows with; others take no time.
    now : callable
        Seconds of a clock that does not jump.
    """

    def __init__(self, sizes: Mapping[Location, float], now: Callable[[], float] = time.monotonic) -> None:
        self._waiting, self._now = {**sizes}, now
        self._in_hand: dict[Location, _InHand] = {}
        self._done = self._spent = self._since = 0.0

    def begin(self, slide: Location) -> None:
        """A slide is begun."""
        if slide in self._waiting:
            self._since = self._since if self._in_hand else self._now()
            self._in_hand[slide] = _InHand(self._waiting.pop(slide))

    def update(self, slide: Location, fraction: float) -> None:
        """This part of it is done; a resumed slide does not begin at 0."""
        found = self._in_hand.get(slide)
        if found is not None:
            found.first = fraction if found.first is None else found.first
            found.fraction = fraction

    def end(self, slide: Location) -> None:
        """It ended, be it well or not."""
        found = self._in_hand.pop(slide, None)
        if found is not None:
            self._done += found.done
            if not self._in_hand:
                self._spent += self._now() - self._since

    def seconds(self) -> float | None:
        """Time left; None while nothing tells."""
        done = self._done + sum(each.done for each in self._in_hand.values())
        if done <= 0:
            return None
        spent = self._spent + (self._now() - self._since if self._in_hand else 0.0)
        begun = sum(each.size * (1 - each.fraction) for each in self._in_hand.values())
        return spent / done * (begun + sum(self._waiting.values()))


class SlideDisplay:
    """The line of the slide in hand, and a line for each that ended. Slides may be done in several threads.

    A live line on a terminal, a plain one every few seconds elsewhere. With `only_json` standard output stays empty,
    with `quiet` standard error too, but for errors and doubts.
    """

    def __init__(self, unit: str = "tiles", *, quiet: bool = False, only_json: bool = False) -> None:
        self.unit, self.quiet, self.only_json = unit, quiet, only_json
        self._live: Progress | None = None
        self._places: dict[Location, str] = {}
        self._ambiguous: set[str] = set()
        self._left = TimeLeft({})
        self._said = time.monotonic()
        self._paces: dict[Location, tuple[int, float]] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def start(self, batch: BatchStart) -> None:
        """Say what there is to do."""
        count = len(batch.slides)
        names = Counter(slide.name for slide in batch.slides)
        self._ambiguous = {name for name, bearers in names.items() if bearers > 1}
        if count != 1:
            self._places = {slide: f"slide {n}/{count}" for n, slide in enumerate(batch.slides, 1)}
        self._left = TimeLeft({slide: _size(slide) for slide in batch.slides if slide not in batch.earlier})
        if not self.quiet and (count != 1 or batch.earlier):
            say_line(batch.message)

    def name_of(self, slide: Location) -> str:
        """What lines call a slide: its name, or its whole path where another of the batch has that name."""
        return str(slide) if slide.name in self._ambiguous else slide.name

    def begin(self, slide: Location) -> Callable[[int, int, str], None]:
        """Begin a slide; returns what shows how much of it is done, with a remark."""
        with self._lock:
            self._left.begin(slide)
            self._show(
                progress_line(self._places.get(slide, ""), self.name_of(slide), 0.0, (), None, self._width)
            )
        return lambda done, total, remark: self._update(slide, done, total, remark)

    def _update(self, slide: Location, done: int, total: int, remark: str) -> None:
        with self._lock:
            self._left.update(slide, done / total if total else 1.0)
            if self.quiet:
                return
            if sys.stderr.isatty():
                self._show(self._line(slide, done, total, remark))
            elif time.monotonic() - self._said >= _PLAIN_SECONDS:
                self._said = time.monotonic()
                say_line(self._line(slide, done, total, remark))

    def _show(self, line: str) -> None:
        """Put the line on a terminal, in the place of the one before it."""
        if self.quiet or not sys.stderr.isatty():
            return
        if self._live is None:
            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
            self._live = Progress(*columns, console=err, transient=True)
            self._task = self._live.add_task(line)
            self._live.start()
        self._live.update(self._task, description=line)

    @property
    def _width(self) -> int:
        return min(WIDTH, err.width) - (_SPINNER_COLUMNS if sys.stderr.isatty() else 0)

    def _line(self, slide: Location, done: int, total: int, remark: str) -> str:
        told = [part for part in (self._rate(slide, done), remark) if part]
        fraction, left = done / total if total else 1.0, self._left.seconds()
        return progress_line(
            self._places.get(slide, ""), self.name_of(slide), fraction, told, left, self._width
        )

    def _rate(self, slide: Location, done: int) -> str:
        now = time.monotonic()
        first, begun = self._paces.setdefault(slide, (done, now))
        return f"{(done - first) / (now - begun):.2g} {self.unit}/s" if done > first and now > begun else ""

    def clear(self) -> None:
        """Take the live line away, so that lines can be printed."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def end(self, slide: Location) -> None:
        """A slide ended."""
        with self._lock:
            self.clear()
            self._left.end(slide)
            self._paces.pop(slide, None)

    def say(self, line: str) -> None:
        """A line on standard output, where people read it."""
        if not (self.quiet or self.only_json):
            with self._lock:
                self.clear()
                out.print(line, markup=False)

    def doubt(self, line: str) -> None:
        """A line on standard error, even if quiet."""
        with self._lock:
            self.clear()
            say_warning(line)

    def fail(self, slide: Location, error: WsiNucsslError) -> None:
        """Say that a slide failed; the others go on, and remedies stand at the end."""
        self.end(slide)
        state = "skipped" if isinstance(error, OutputLocked) else "failed"
        with self._lock:
            say_line(f"{slide}: {state} ({spelled(error.what, flag)})")


def _size(slide: Location) -> float:
    try:
        return float(slide.stat().st_size) if isinstance(slide, Path) else 1.0
    except OSError:
        return 0.0
