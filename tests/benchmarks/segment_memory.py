"""Peak memory of `segment` on slides of any size: `python -m tests.benchmarks.segment_memory CURVE.csv`.

Each slide is computed, crowded with nuclei, and goes through the whole command in a process of its own, with the engine
double in place of a network (`tests.segment.large_slide`); nothing of what it writes stays. A line is written for each
side as soon as it is known. Arguments after `--` go to `segment`: `-- --engine auto` takes the default network, and
`-- --memory 700M` sets a bound. Curves are drawn by

    python -m tests.benchmarks.segment_memory --draw docs/memory.svg before=BEFORE.csv after=AFTER.csv
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

from tests.segment.large_slide import ROOT, peak_of

SIDES: Final = (4096, 8192, 16384, 32768, 65536)
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 480, 260, 56, 16, 88, 44
_COLOURS: Final = ("#b45309", "#1d4ed8", "#047857")

Curve = Sequence[tuple[int, float]]
"""Side in px and peak in MiB."""


def measure(path: Path, sides: Sequence[int], arguments: Sequence[str]) -> None:
    """Write a row for each side."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("side_px", "nuclei", "peak_mib", "seconds"))
        for side in sides:
            begun = perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                usage = peak_of(
                    side,
                    "segment",
                    ROOT / "sample_slides/sample.svs",
                    "-o",
                    f"{folder}/n.geojson",
                    *arguments,
                )
            if usage.exit_code:
                sys.exit(usage.said)
            (nuclei,) = re.findall(r"\.svs: (\d+) nuclei, ", usage.said)
            row = side, nuclei, round(usage.peak_mib), round(perf_counter() - begun)
            rows.writerow(row)
            file.flush()
            print(*row, flush=True)


def read(path: Path) -> Curve:
    """A curve that `measure` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(int(row["side_px"]), float(row["peak_mib"])) for row in csv.DictReader(file)]


def drawn(curves: Mapping[str, Curve]) -> str:
    """An SVG: peaks over sides, which double from tick to tick."""
    sides = sorted({side for curve in curves.values() for side, _ in curve})
    top = 200 * math.ceil(max(peak for curve in curves.values() for _, peak in curve) / 200)

    def x(side: int) -> float:
        part = math.log2(side / sides[0]) / max(1.0, math.log2(sides[-1] / sides[0]))
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(peak: float) -> float:
        return round(_HEIGHT - _BOTTOM - peak / top * (_HEIGHT - _TOP - _BOTTOM), 1)

    def lines() -> Iterator[str]:
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            'font-family="sans-serif" font-size="11">'
        )
        yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
        for peak in range(0, top + 1, 200):
            yield f'<path d="M{_LEFT} {y(peak)}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
            yield f'<text x="{_LEFT - 6}" y="{y(peak) + 4}" text-anchor="end">{peak}</text>'
        for side in sides:
            yield f'<text x="{x(side)}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{side}</text>'
        yield f'<text x="{x(sides[0])}" y="{_HEIGHT - 8}">side of the slide, px; peak memory of the process, MiB</text>'
        for (name, curve), colour in zip(curves.items(), _COLOURS, strict=False):
            points = " ".join(f"{x(side)},{y(peak)}" for side, peak in curve)
            yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
            last, at_last = curve[-1]
            yield f'<text x="{x(last) + 6}" y="{y(at_last) + 4}" fill="{colour}">{name}, {at_last:.0f}</text>'
        yield "</svg>\n"

    return "\n".join(lines())


def main() -> None:
    """Measure or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("curves", nargs="+", metavar="CURVE.csv | NAME=CURVE.csv")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--draw", type=Path, metavar="FIGURE.svg")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:cut])
    if arguments.draw is None:
        measure(Path(arguments.curves[0]), arguments.sides, words[cut + 1 :])
        return
    named = (each.split("=", 1) for each in arguments.curves)
    arguments.draw.write_text(drawn({name: read(Path(path)) for name, path in named}), encoding="utf-8")


if __name__ == "__main__":
    main()
