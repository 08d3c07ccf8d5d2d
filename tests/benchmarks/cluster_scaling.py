"""Where more workers stop gaining: `python -m tests.benchmarks.cluster_scaling docs/cluster_scaling.svg`.

What the head spends on a task is measured here, on two real workers; what windows, blocks and slides cost is given by
options, from a plain run. A cluster is then simulated, event by event: one head, which does one thing at a time; a file
system of one bandwidth; workers that are alike; two slides at a time, in their order.
"""

from __future__ import annotations

import argparse
import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from wsi_nucssl.cluster import tasks
from wsi_nucssl.cluster.connecting import pool_of
from wsi_nucssl.cluster.executor import LEAST_WINDOWS
from wsi_nucssl.cluster.jobs import Job, Jobs
from wsi_nucssl.runs import StopRequest

WORKERS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SLIDES, _WINDOWS = 16, 4000
_AT_ONCE: Final = 2
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 560, 320, 56, 16, 170, 44


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that things take, and what they write.

    Attributes
    ----------
    window, block : float
        Of a worker: reading and predicting a window; extracting a block.
    task : float
        Of the head, a task: its submission, and its result.
    slide : float
        Of the head, a slide: opening it, finding its tissue, laying the plan.
    export : float
        Of the head, a block: its table into the outputs.
    window_bytes, bandwidth : float
        What a window's probabilities take on the disk; bytes a second that the file system takes and gives.
    """

    window: float
    block: float
    task: float
    slide: float
    export: float
    window_bytes: float = 1.2e6
    bandwidth: float = 1e9

    def of_head(self, kind: str) -> float:
        """What the head spends on a window or a block; windows travel by the task, some at a time."""
        return self.task / LEAST_WINDOWS if kind == "window" else self.task


@dataclass(frozen=True, slots=True)
class Batch:
    """Slides that are alike: how many, and of how many windows, of which four make a block."""

    slides: int
    windows: int


@dataclass(slots=True)
class _Slide:
    windows: int
    blocks: int
    predicted: int = 0
    extracted: int = 0
    in_flight: int = 0
    begun_blocks: int = 0


def simulate(costs: Costs, batch: Batch, workers: int) -> float:
    """Seconds until the last slide is written."""
    now, head, disk = 0.0, 0.0, 0.0
    idle = workers
    queue: list[tuple[int, int, int, str]] = []  # extraction first, then in order
    events: list[tuple[float, int, int, str]] = []
    count, waiting = 0, batch.slides
    open_slides: dict[int, _Slide] = {}
    most = 2 * LEAST_WINDOWS * workers + 1

    def by_head(seconds: float) -> float:
        nonlocal head
        head = max(head, now) + seconds
        return head

    def begin_slide() -> None:
        nonlocal waiting, count
        number = batch.slides - waiting
        waiting -= 1
        count += 1
        heapq.heappush(events, (by_head(costs.slide), count, number, "opened"))

    def feed(number: int) -> None:
        nonlocal count
        slide = open_slides[number]
        while slide.in_flight < most:
            ready = min(slide.blocks, slide.predicted // 4)
            if slide.begun_blocks < ready:
                slide.begun_blocks, kind = slide.begun_blocks + 1, "block"
            elif slide.windows:
                slide.windows, kind = slide.windows - 1, "window"
            else:
                return
            slide.in_flight, count = slide.in_flight + 1, count + 1
            heapq.heappush(events, (by_head(costs.of_head(kind) / 2), count, number, f"sent {kind}"))

    for _ in range(min(_AT_ONCE, waiting)):
        begin_slide()
    while events:
        now, _, number, what = heapq.heappop(events)
        if what == "opened":
            open_slides[number] = _Slide(batch.windows, batch.windows // 4)
            feed(number)
        elif what.startswith("sent"):
            count += 1
            heapq.heappush(queue, (0 if what == "sent block" else 1, number, count, what[5:]))
        elif what.startswith("done"):
            slide = open_slides[number]
            idle, slide.in_flight = idle + 1, slide.in_flight - 1
            if what == "done window":
                slide.predicted += 1
                by_head(costs.of_head("window") / 2)
            else:
                slide.extracted += 1
                by_head(costs.of_head("block") / 2 + costs.export)
            if slide.extracted == slide.blocks and not slide.windows:
                del open_slides[number]
                if waiting:
                    begin_slide()
            else:
                feed(number)
        while idle and queue:
            _, owner, _, kind = heapq.heappop(queue)
            idle, count = idle - 1, count + 1
            disk = max(disk, now) + costs.window_bytes * (1 if kind == "window" else 6) / costs.bandwidth
            seconds = costs.window if kind == "window" else costs.block
            heapq.heappush(events, (max(now + seconds, disk), count, owner, f"done {kind}"))
    return max(now, head)


def without(costs: Costs, what: str) -> Costs:
    """The same, if one thing cost nothing."""
    free = {
        "head, tasks": {"task": 0.0},
        "head, slides and outputs": {"slide": 0.0, "export": 0.0},
        "file system": {"bandwidth": 1e15},
    }
    return replace(costs, **free[what])


def table(costs: Costs, batch: Batch, heads: int) -> list[tuple[int, float, float, str]]:
    """For each number of workers: seconds, speed-up over one, and what would gain most if it cost nothing.

    Workers and slides are shared out among heads; the file system is everybody's.
    """
    alone, rows = simulate(costs, batch, 1), []
    part = Batch(-(-batch.slides // heads), batch.windows)
    shared = replace(costs, bandwidth=costs.bandwidth / heads)
    for workers in (each for each in WORKERS if each >= heads):
        seconds = simulate(shared, part, workers // heads)
        gains = {
            what: seconds - simulate(without(shared, what), part, workers // heads)
            for what in ("head, tasks", "head, slides and outputs", "file system")
        }
        most = max(gains, key=lambda what: gains[what])
        ideal = alone / workers
        bound = most if gains[most] > 0.1 * seconds else "last slides" if seconds > 1.1 * ideal else "workers"
        rows.append((workers, seconds, alone / seconds, bound))
    return rows


def measured_task(count: int = 400) -> float:
    """Seconds that the head spends on a task, by its processor time."""
    with pool_of("local:2") as pool, Jobs(pool, "nothing", StopRequest()) as jobs:
        left, ended = count, 0
        begun = time.process_time()
        while ended < count:
            while left and jobs.has_room:
                jobs.submit(Job(tasks.here, (), "nothing"))
                left -= 1
            ended += len(jobs.ended())
        return (time.process_time() - begun) / count


def draw(path: Path, lines: Mapping[str, Sequence[tuple[int, float, float, str]]]) -> None:
    """Speed-ups over the number of workers, both on logarithmic axes."""
    from math import log2

    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    top = log2(WORKERS[-1])

    def at(workers: float, speed: float) -> str:
        return f"{_LEFT + wide * log2(workers) / top:.1f},{_TOP + high * (1 - log2(speed) / top):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for workers in WORKERS[::3]:
        x, y = at(workers, 1).split(",")
        parts.append(f'<text x="{x}" y="{_HEIGHT - 26}" text-anchor="middle">{workers}</text>')
        _, y = at(1, workers).split(",")
        parts.append(f'<text x="{_LEFT - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{workers}</text>')
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + wide}" y1="{y}" y2="{y}" stroke="#e5e7eb"/>')
    parts.append(f'<text x="{_LEFT + wide / 2}" y="{_HEIGHT - 8}" text-anchor="middle">workers</text>')
    parts.append(f'<text x="14" y="{_TOP + high / 2}" transform="rotate(-90 14 {_TOP + high / 2})" '
                 'text-anchor="middle">times as fast as one</text>')  # fmt: skip
    ends = [(1, 1.0), (WORKERS[-1], float(WORKERS[-1]))]
    parts.append(f'<polyline points="{" ".join(at(*each) for each in ends)}" fill="none" stroke="#9ca3af" '
                 'stroke-dasharray="4 4"/>')  # fmt: skip
    for colour, (name, rows) in zip(("#1d4ed8", "#b45309", "#047857"), lines.items(), strict=False):
        points = " ".join(at(workers, speed) for workers, _, speed, _ in rows)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = at(rows[-1][0], rows[-1][2]).split(",")
        parts.append(f'<text x="{float(x) + 6:.1f}" y="{float(y) + 4:.1f}" fill="{colour}">{name}</text>')
    path.write_text("\n".join([*parts, "</svg>\n"]))


def main() -> None:
    """Measure, simulate, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figure", type=Path)
    parser.add_argument("--window", type=float, default=0.13, help="seconds a window")
    parser.add_argument("--block", type=float, default=0.09, help="seconds a block")
    parser.add_argument("--slide", type=float, default=3.0, help="seconds of the head a slide")
    parser.add_argument("--export", type=float, default=0.017, help="seconds of the head a block")
    given = parser.parse_args()
    costs = Costs(given.window, given.block, measured_task(), given.slide, given.export)
    print(costs)
    lines = {}
    for heads in (1, 4):
        rows = table(costs, Batch(_SLIDES, _WINDOWS), heads)
        lines["one head" if heads == 1 else f"{heads} heads, --shard I/{heads}"] = rows
        print(f"{_SLIDES} slides of {_WINDOWS} windows, {heads} heads")
        for workers, seconds, speed, bound in rows:
            print(f"| {workers} | {seconds / 3600:.2f} h | {speed:.1f} | {bound} |")
    draw(given.figure, lines)


if __name__ == "__main__":
    main()
