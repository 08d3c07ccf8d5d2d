"""Everything that can go wrong on purpose.

    WsiNucsslError                exit  meaning
    ├── UsageError                 2    the call itself is wrong
    ├── SomeSlidesFailed           3    a batch ran; the slides listed did not
    ├── InputError                 4    a file cannot be read, or does not suit the job
    │   ├── SlideError                  … a slide
    │   │   └── MissingMpp              … its resolution is unknown
    │   ├── DatasetError                … images with annotations
    │   └── WeightsError                … a weights file
    ├── OutputError                5    the place to write to
    │   ├── OutputExists                … holds something already
    │   ├── OutputLocked                … is being written by another process
    │   └── RunMismatch                 … holds a run made with other settings
    ├── ResourceError              6    disk or memory ran out
    │   └── ClusterError                … or a cluster's scheduler or workers are gone
    └── Stopped              130, 143    Ctrl-C or SIGTERM; what was done is kept

Each error says what went wrong, in which file, and what to do about it. Anything else that escapes is a bug.

A message writes a parameter as ⟨name⟩: Python users read `name`, and the command line says --name (`spelled`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final

_PARAMETER: Final = re.compile(r"⟨(\w+)⟩")


def spelled(message: str, spelling: Callable[[str], str] = "`{}`".format) -> str:
    """A message with each ⟨parameter⟩ in the words of who reads it; by default as Python has it."""
    return _PARAMETER.sub(lambda found: spelling(found[1]), message)


class WsiNucsslError(Exception):
    """Root of the tree: what happened, where, and the remedy.

    Parameters
    ----------
    what : str
        The fault, in one sentence without a trailing full stop.
    path : str or os.PathLike[str], optional
        The file or folder it concerns.
    remedy : str, optional
        What the user can do, as an imperative sentence.
    """

    exit_code: int = 1

    def __init__(
        self, what: str, *, path: str | os.PathLike[str] | None = None, remedy: str | None = None
    ) -> None:
        self.what = what
        self.path = None if path is None else os.fspath(path)
        self.remedy = remedy
        super().__init__(what)

    @property
    def message(self) -> str:
        """Place, fault and remedy in one line, with each parameter as ⟨name⟩."""
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.what}" + (f". {self.remedy}" if self.remedy else "")

    def __str__(self) -> str:
        return spelled(self.message)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.path, self.remedy))


def _rebuild(kind: type[WsiNucsslError], what: str, path: str | None, remedy: str | None) -> WsiNucsslError:
    return kind(what, path=path, remedy=remedy)


class UsageError(WsiNucsslError):
    """The call itself is wrong: an impossible option or combination."""

    exit_code = 2


class SomeSlidesFailed(WsiNucsslError):
    """A batch ran to its end, but at least one slide failed."""

    exit_code = 3


class InputError(WsiNucsslError):
    """A file cannot be read, or does not suit the job."""

    exit_code = 4


class SlideError(InputError):
    """A slide cannot be opened, is damaged, or does not suit the job."""


class MissingMpp(SlideError):
    """The slide does not state its resolution and nobody gave one."""


class DatasetError(InputError):
    """Images and annotations do not form a dataset."""


class WeightsError(InputError):
    """A weights file is missing, damaged or of another architecture."""


class OutputError(WsiNucsslError):
    """The place to write to cannot take the result."""

    exit_code = 5


class OutputExists(OutputError):
    """Something is there already and nobody said to overwrite or resume it."""


class OutputLocked(OutputError):
    """Another process is writing there now."""


class RunMismatch(OutputError):
    """The run directory was made with other inputs, weights, settings or versions."""


class ResourceError(WsiNucsslError):
    """Disk or memory ran out."""

    exit_code = 6


class ClusterError(ResourceError):
    """A cluster's scheduler is gone, or none of its workers can do the work."""


class Stopped(WsiNucsslError):
    """A signal asked to stop. What was done is kept, and a resumed run goes on from there."""

    def __init__(self, signal: int) -> None:
        self.signal, self.exit_code = signal, 128 + signal
        super().__init__(
            "stopped; what was done is kept", remedy="Run the same command with ⟨resume⟩ to go on"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return Stopped, (self.signal,)
