"""Progress through the slides of a batch: one line that fits 60 columns, and a line for each slide that ended."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

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
    place: str, name: str, fraction: float, remark: str, left: float | None, width: int = WIDTH
) -> str:
    """Place in the batch, name, part that is done, a remark and the time left, in at most `width` columns.

    The name is shortened, and the remark left out, where they do not fit.
    """
    end = [f"{fraction:.0%}", *([f"{duration(left)} left"] if left is not None else [])]
    for middle in ([remark], []):
        fixed = " · ".join(part for part in (place, *end[:1], *middle, *end[1:]) if part)
        room = width - len(fixed) - 3
        if room >= min(len(name), _SHORTEST_NAME):
            parts = (place, _shortened(name, room), end[0], *middle, *end[1:])
            return " · ".join(part for part in parts if part)
    return fixed[:width]


def _shortened(name: str, room: int) -> str:
    if len(name) <= room:
        return name
    head = (room - 1) // 2
    return f"{name[:head]}…{name[len(name) - (room - 1 - head) :]}"


class TimeLeft:
    """Seconds that a batch still takes: what its slides took until now, by their size.

    Parameters
    ----------
    sizes : mapping of Location to float
        Of the slides that are to be done, in bytes or whatever the work grows with.
    now : callable
        Seconds of a clock that does not jump.
    """

    def __init__(self, sizes: dict[Location, float], now: Callable[[], float] = time.monotonic) -> None:
        self._waiting, self._now = dict(sizes), now
        self._done = self._spent = 0.0
        self._size = 0.0
        self._begun = now()
        self._at_first = 0.0

    def begin(self, slide: Location) -> None:
        """A slide is begun."""
        self._size, self._begun = self._waiting.pop(slide, 0.0), self._now()
        self._at_first = -1.0

    def end(self, *, counts: bool) -> None:
        """It ended; `counts` if it was done from its beginning to its end."""
        if counts:
            self._done += self._size
            self._spent += self._now() - self._begun
        self._size = 0.0

    def seconds(self, fraction: float) -> float | None:
        """Time left when this part of the slide in hand is done; None while nothing tells."""
        if self._at_first < 0:
            self._at_first = fraction  # a resumed slide does not begin at 0
        done = self._done + self._size * (fraction - self._at_first)
        if done <= 0:
            return None
        rate = (self._spent + self._now() - self._begun) / done
        return rate * (self._size * (1 - fraction) + sum(self._waiting.values()))


class SlideDisplay:
    """The line of the slide in hand, one after another, and a line for each that ended.

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
        self._pace: tuple[int, float] | None = None

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
        self.clear()
        self._left.begin(slide)
        self._pace = None
        if not self.quiet and sys.stderr.isatty():
            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
            self._live = Progress(*columns, console=err, transient=True)
            place = self._places.get(slide, "")
            self._task = self._live.add_task(
                progress_line(place, self.name_of(slide), 0.0, "", None, self._width)
            )
            self._live.start()
        return lambda done, total, remark: self._update(slide, done, total, remark)

    @property
    def _width(self) -> int:
        return min(WIDTH, err.width) - (_SPINNER_COLUMNS if self._live else 0)

    def _update(self, slide: Location, done: int, total: int, remark: str) -> None:
        if self.quiet:
            return
        if self._live is not None:
            self._live.update(self._task, description=self._line(slide, done, total, remark))
        elif time.monotonic() - self._said >= _PLAIN_SECONDS:
            self._said = time.monotonic()
            say_line(self._line(slide, done, total, remark))

    def _line(self, slide: Location, done: int, total: int, remark: str) -> str:
        fraction = done / total if total else 1.0
        told = " · ".join(part for part in (self._rate(done), remark) if part)
        left = self._left.seconds(fraction)
        return progress_line(
            self._places.get(slide, ""), self.name_of(slide), fraction, told, left, self._width
        )

    def _rate(self, done: int) -> str:
        now = time.monotonic()
        if self._pace is None:
            self._pace = done, now
        first, begun = self._pace
        return f"{(done - first) / (now - begun):.2g} {self.unit}/s" if done > first and now > begun else ""

    def clear(self) -> None:
        """Take the live line away, so that lines can be printed."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def end(self, *, earlier: bool) -> None:
        """The slide in hand is done, now or earlier."""
        self.clear()
        self._left.end(counts=not earlier)

    def say(self, line: str) -> None:
        """A line on standard output, where people read it."""
        if not (self.quiet or self.only_json):
            out.print(line, markup=False)

    def doubt(self, line: str) -> None:
        """A line on standard error, even if quiet."""
        self.clear()
        say_warning(line)

    def fail(self, slide: Location, error: WsiNucsslError) -> None:
        """Say that a slide failed; the others go on, and remedies stand at the end."""
        self.clear()
        self._left.end(counts=False)
        state = "skipped" if isinstance(error, OutputLocked) else "failed"
        say_line(f"{slide}: {state} ({spelled(error.what, flag)})")


def _size(slide: Location) -> float:
    try:
        return float(slide.stat().st_size) if isinstance(slide, Path) else 1.0
    except OSError:
        return 0.0
