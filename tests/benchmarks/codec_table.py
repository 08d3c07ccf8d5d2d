"""What each codec costs: `python -m tests.benchmarks.codec_table SLIDE [--mpp X]`, as a Markdown table.

Tiles the slide with every codec, each into a fresh store, and reads every tile back in order, on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from wsi_nucssl.geometry import Mpp
from wsi_nucssl.slide import open_slide
from wsi_nucssl.tiles.codecs import CODECS
from wsi_nucssl.tiles.ingest import TileConfig, ingest


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--mpp", type=float, default=0.25)
    arguments = parser.parse_args()
    print(
        "| codec | raw / stored bytes | writing, CPU ms a tile | reading, CPU ms a tile | tiles/s written |"
    )
    print("|---|---|---|---|---|")
    with open_slide(arguments.slide) as slide, tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            begun, cpu = perf_counter(), process_time()
            store = ingest(
                slide, Path(folder) / f"{codec}.zarr", TileConfig(Mpp.square(arguments.mpp), codec=codec)
            )
            seconds, written = perf_counter() - begun, process_time() - cpu
            places = [(tile.row, tile.col) for tile in store]
            cpu = process_time()
            raw = sum(store.read(row, col).nbytes for row, col in places)
            read = process_time() - cpu
            stored = sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())
            count = len(places)
            print(
                f"| {codec} | {raw / stored:.2f} | {1000 * written / count:.1f} | {1000 * read / count:.1f} "
                f"| {count / seconds:.1f} |"
            )


if __name__ == "__main__":
    main()
