"""Work in slices of a few minutes: stop in time, keep the exact state here, and ship weights in small files."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scripts.gpu_day.bundle import MIB
from wsi_nucssl.errors import InputError, RunMismatch
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.tensors import Storage, save_model
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.loop import Loop

PART_BYTES: Final = 16 * MIB - 4096
_LEAVING_SECONDS: Final = 10.0
"""For saving and shipping at the end of a slice."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a slice must end.

    Attributes
    ----------
    minutes : float
        Length of the slice; it is left a little earlier, so that everything is saved by then.
    """

    minutes: float
    begun: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds of work left."""
        return self.begun + 60 * self.minutes - _LEAVING_SECONDS - time.monotonic()


MOST_STEPS: Final = 2**30
"""Of a schedule whose length the time decides."""
_FILLED: Final = 0.98
"""Part of the time left that a schedule is made to fill, at each look at the clock."""


@dataclass(slots=True)
class Pace:
    """Stretches or shortens a schedule, so that its rate is zero when the time is over, however fast steps are.

    Other work on the same device makes steps slower and faster while a run lasts, so that no length that is chosen
    beforehand fits.

    Attributes
    ----------
    deadline : Deadline
        Of this slice.
    later_minutes : float
        Length of the slices that will follow it.
    """

    deadline: Deadline
    later_minutes: float = 0.0
    _intervals: int = 0

    def follow(self, loop: Loop, progress: Interval) -> None:
        """Set the length of the loop's schedule by the speed of its last steps; the first ones tell nothing."""
        self._intervals += 1
        if self._intervals > 1 and loop.step < loop.steps:
            left = max(0.0, self.deadline.left) + 60 * self.later_minutes
            loop.steps = loop.step + max(1, int(_FILLED * left * progress.steps / progress.seconds))


class _SliceEnded(Exception):
    pass


def run_slice(
    loop: Loop,
    state: Path,
    deadline: Deadline,
    interval: int,
    report: Callable[[Interval], None],
    pace: Pace | None = None,
) -> bool:
    """Go on from `state` until the end of the schedule or of the slice; True at the end of the schedule.

    Leaves the exact state in `state`, so that slices give the weights of an undisturbed run (on the CPU, bit for bit),
    unless a `pace` sets the schedule's length.
    """

    def on_interval(progress: Interval) -> None:
        report(progress)
        if pace:
            pace.follow(loop, progress)
        if deadline.left <= 0 and loop.step < loop.steps:
            raise _SliceEnded

    if state.exists():
        loop.load(state)
    try:
        loop.run(interval, on_interval, state)
    except _SliceEnded:
        loop.save(state)
        return False
    loop.save(state)
    return True


def same_plan(path: Path, identity: Mapping[str, Any], choose_steps: Callable[[], int]) -> int:
    """The number of steps of a schedule: chosen once, then read from `path`.

    Raises
    ------
    RunMismatch
        `path` is of another run.
    """
    if path.exists():
        known = json.loads(path.read_text())
        if known["identity"] != json.loads(json.dumps(identity)):
            raise RunMismatch("a run with other settings is there", path=path, remedy="Give another --state")
        return int(known["steps"])
    steps = choose_steps()
    write_atomic(path, json.dumps({"identity": identity, "steps": steps}))
    return steps


def ship(out: Path, network: ResUNet, info: ModelInfo, storage: Storage, facts: Mapping[str, Any]) -> None:
    """Write a model as NAME.part-I-of-K files of at most 16 MiB, and NAME.json with `facts`; `joined` undoes it."""
    whole = out / f".{info.name}.whole"
    save_model(whole, network, info, storage)
    content = whole.read_bytes()
    whole.unlink()
    pieces = [content[first : first + PART_BYTES] for first in range(0, len(content), PART_BYTES)]
    names = [f"{info.name}.part-{number}-of-{len(pieces)}" for number, _ in enumerate(pieces, start=1)]
    for name, piece in zip(names, pieces, strict=True):
        write_atomic(out / name, piece)
    listed = {"parts": names, "sha256": hashlib.sha256(content).hexdigest()}
    write_atomic(out / f"{info.name}.json", json.dumps({**facts, **listed}, indent=1))


def read_index(path: Path) -> dict[str, Any]:
    """What a JSON file among results says.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", path=path, remedy="Fetch it again") from error
    if not isinstance(found, dict):
        raise InputError(
            "is not among what a slice leaves", path=path, remedy="Give the NAME.json of a model"
        )
    return found


def joined(index: Path) -> bytes:
    """The weights file that `ship` took apart, by its NAME.json.

    Raises
    ------
    InputError
        The index lists no parts, one is missing, or is not of this file.
    """
    listed = read_index(index)
    if not {"parts", "sha256"} <= listed.keys():
        raise InputError("lists no parts of a model", path=index, remedy="Give the NAME.json of a model")
    try:
        content = b"".join((index.parent / name).read_bytes() for name in listed["parts"])
    except OSError as error:
        raise InputError(
            f"a part is missing ({error.filename})", path=index, remedy="Fetch it again"
        ) from error
    if hashlib.sha256(content).hexdigest() != listed["sha256"]:
        raise InputError("the parts are not of one file", path=index, remedy="Fetch them again")
    return content
