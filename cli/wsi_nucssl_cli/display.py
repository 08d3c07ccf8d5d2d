"""What commands print: messages, and progress that suits a terminal or a log file."""

from __future__ import annotations

import sys
import time
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from wsi_nucssl._version import __version__
from wsi_nucssl.errors import spelled

_PLAIN_SECONDS: Final = 10.0
MAX_SEED: Final = 2**63 - 1
"""Largest seed that torch takes."""

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)


_FLAGS: Final = {
    "views": "--tta",
    "formats": "--format",
    "recipe": "--config",
    "weights": "--weight",
    "teachers": "--teacher",
    "run": "--output",
    "overlays": "--no-overlays",
    "min_area_um2": "--min-area",
}
"""Of parameters whose flag is not their name."""


def flag(parameter: str) -> str:
    """The option of the command line that sets a parameter of the library."""
    return _FLAGS.get(parameter, "--" + parameter.replace("_", "-"))


def say_error(message: str) -> None:
    """One line on stderr; ⟨parameters⟩ as flags."""
    err.print("error:", style="bold red", end=" ")
    err.print(spelled(message, flag), markup=False)


def say_warning(message: str) -> None:
    """As `say_error`, of what does not end the command."""
    err.print(f"warning: {spelled(message, flag)}", markup=False)


def say_line(message: str) -> None:
    """A line on stderr, as it is."""
    err.print(message, markup=False)


def say_hello(command: str, *, quiet: bool) -> None:
    """A line on a terminal before anything heavy is imported, so that nobody wonders; log files do without."""
    if not quiet and sys.stderr.isatty():
        sys.stderr.write(f"wsi-nucssl {__version__} {command} …\n")
        sys.stderr.flush()


class Meter:
    """Progress of one job: a live bar on a terminal, a plain line every few seconds elsewhere, nothing if quiet.

    `update` takes how much is done of how much, and a remark; rate and remaining time are worked out here.
    """

    def __init__(self, name: str, unit: str, *, quiet: bool = False) -> None:
        self.name, self.unit = name, unit
        self._begun = self._said = time.monotonic()
        self._first: int | None = None
        self._bar: Progress | None = None
        self._quiet = quiet
        if not quiet and sys.stderr.isatty():
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[remark]}", markup=False),
                TimeRemainingColumn(),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task(name, total=1, remark="")

            self._bar.start()

    def stop(self) -> None:
        """Take the bar away, so that lines can be printed."""
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int, remark: str = "") -> None:
        """Show `done` of `total` units."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._begun = done, now
        rate = (done - self._first) / (now - self._begun) if now > self._begun else 0.0
        pace = f"{rate:.2f} {self.unit}/s" if rate else ""
        remark = " · ".join(part for part in (pace, remark) if part)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, remark=remark)
        elif not self._quiet and now - self._said >= _PLAIN_SECONDS:
            self._said = now
            left = f" · {(total - done) / rate:.0f} s left" if rate else ""
            err.print(f"{self.name}: {done}/{total} {self.unit} · {remark}{left}", markup=False)
