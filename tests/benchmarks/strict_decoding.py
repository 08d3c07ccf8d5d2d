"""What strict decoding costs: CPU time of a slide's tiles decoded strictly, over that of tifffile's own decoder.

python -m tests.benchmarks.strict_decoding sample_slides/sample.svs slides/*.svs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, Final

import tifffile

from wsi_nucssl.slide.readers.tiff_segments import strict_decoder

TIMES: Final = 9
TILES: Final = 200


def ratio(path: Path) -> float:
    """Median over pairs, which take turns in going first."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        strict, tables = strict_decoder(page), page.jpegtables
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))[:TILES]
        parts = [_bytes(file, *place) for place in places]

        def ours() -> None:
            for index, data in enumerate(parts):
                strict(data, index)

        def theirs() -> None:
            for index, data in enumerate(parts):
                page.decode(data, index, jpegtables=tables)

        pairs = []
        for number in range(TIMES + 1):
            jobs = (ours, theirs) if number % 2 else (theirs, ours)
            seconds = {job: _seconds(job) for job in jobs}
            pairs.append(seconds[ours] / seconds[theirs])
        return median(pairs[1:])  # the first one warms up


def _bytes(file: Any, offset: int, count: int) -> bytes:
    file.filehandle.seek(offset)
    return bytes(file.filehandle.read(count))


def _seconds(job: Callable[[], None]) -> float:
    begun = process_time()
    job()
    return process_time() - begun


def main() -> None:
    """Print a line for each slide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slides", type=Path, nargs="+")
    for path in parser.parse_args().slides:
        sys.stdout.write(f"{path.name}: {ratio(path):.3f}\n")


if __name__ == "__main__":
    main()
