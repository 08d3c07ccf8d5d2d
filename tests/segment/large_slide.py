"""The command line on a slide that is computed: `python -m tests.segment.large_slide SIDE CORE ARGUMENTS…`.

It runs in this process as it always does, but each slide that it opens is a `RepeatedSlide` of SIDE × SIDE px, whatever
the file of that name holds; windows have cores of CORE px; and the engine double stands in place of a network unless
`--engine` is given. `peak_of` runs it in a process of its own, which says its peak of memory by Linux's account.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import numpy as np

from sample_slides.scene import Scene
from tests.segment.fakes import DarkIsNucleus
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.mpp import GivenMpp
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.segment.memory import Views
from wsi_nucssl.segment.plan import make_plan
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.windows import CORE
from wsi_nucssl.slide import RGB
from wsi_nucssl.slide.reader import Reader, SlideMetadata
from wsi_nucssl_cli import app

ROOT = Path(__file__).parent.parent.parent
PERIOD = 1440
"""Side of the picture that is repeated; no multiple of a window's, so that no two windows are alike for long."""
DOWNSAMPLES = (1, 4, 16, 64)
_PEAK = "peak of memory in KiB: "
_TOGETHER = 8
"""Blocks that are extracted side by side before any goes on, however busy the machine is, unless a bound forbids it."""
_PATIENCE_S = 10.0


class RepeatedSlide(Reader):
    """Crowded tissue everywhere, 0.25 µm a px: a small picture side by side with itself, of which nothing is kept."""

    name = "repeated"

    def __init__(self, path: Path, side: int) -> None:
        sizes = tuple(Size(-(-side // each), -(-side // each)) for each in DOWNSAMPLES)
        super().__init__(path, SlideMetadata(sizes, "repeated", {"aperio.MPP": "0.25"}, ()), GivenMpp(None))
        part = Box(480, 480, 480 + PERIOD, 480 + PERIOD)
        self._picture = Scene(Size(2400, 2400), seed=1).render(part)

    def _decode(self, level: int, box: Box) -> RGB:
        down, along = (
            np.arange(first, last) * DOWNSAMPLES[level] % PERIOD
            for first, last in ((box.y0, box.y1), (box.x0, box.x1))
        )
        return np.ascontiguousarray(self._picture[down[:, None], along])

    def _decode_associated(self, name: str) -> RGB:
        raise AssertionError(name)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took: its exit code, peak memory in MiB, and the last of what it printed."""

    exit_code: int
    peak_mib: float
    said: str


def peak_of(side: int, *arguments: object, core: int = CORE) -> Usage:
    """Run `wsi-nucssl` on computed slides in a process of its own."""
    words = [sys.executable, "-m", "tests.segment.large_slide", str(side), str(core), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "cli")))}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        said, mark, peak = process.stdout.read().decode().rpartition(_PEAK)
    assert mark, f"it ended before it said its peak: {peak}"
    return Usage(process.returncode, int(peak) / 1024, said)


def _peak_kib() -> int:
    """The most that this process has held; not `ru_maxrss`, which a child inherits from a larger parent."""
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib)


def _held_together(views: type[Views]) -> None:
    """Have each block that has read its view wait for others that hold theirs; the first to wait in vain ends that."""
    plain, barrier = views.reader, Barrier(_TOGETHER)

    @contextmanager
    def reader(self: Views, read: Callable[[Box], Probabilities]) -> Iterator[Callable[[Box], Probabilities]]:
        with plain(self, read) as read_within:

            def read_and_wait(box: Box) -> Probabilities:
                found = read_within(box)
                with suppress(BrokenBarrierError):
                    barrier.wait(_PATIENCE_S)
                return found

            yield read_and_wait

    views.reader = reader  # type: ignore[method-assign]


def main() -> None:
    """Run the command line."""
    if "--workers" in sys.argv:  # without it there are two
        _held_together(Views)
    side, core, sys.argv[1:] = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]

    def opened(path: Path, **_: Any) -> RepeatedSlide:
        return RepeatedSlide(Path(path), side)

    steps = Steps(open_slide=opened, make_plan=partial(make_plan, core=core))
    if "--engine" not in sys.argv:
        steps = replace(steps, open_engine=lambda model, *_: DarkIsNucleus(upscale=model.info.upscale))
    try:
        app.main(steps)
    finally:
        print(f"{_PEAK}{_peak_kib()}", flush=True)


if __name__ == "__main__":
    main()
