"""Time, peak memory and size of each format, for nuclei by the hundred thousand; every format in a fresh process.

python -m tests.benchmarks.export_large [--thousands 1000] [--formats h5ad,spatialdata.zarr,ann.dcm]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from tests.benchmarks.test_geojson_speed import peak_mib
from tests.benchmarks.test_parquet_speed import round_nuclei
from tests.export.dicom_slide import write_dicom_slide
from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.export.stored import ENDINGS, read_stored
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Mpp

_HEADER = {
    "slide": "s",
    "slide_mpp": [0.125, 0.125],
    "model_mpp": 0.25,
    "origin_l0": [0, 0],
    "scale_l0": [0.501, 0.501],
}


def measure(name: str, thousands: int, folder: Path) -> str:
    """A row of the table."""
    slide = write_dicom_slide(folder / "slide", np.zeros((64, 64, 3), np.uint8), 0.125)
    context = ExportContext(CanvasTransform(0.501, 0.501), Mpp.square(0.25), "s", _HEADER, slide=slide)
    exporter, path = EXPORTERS.get(name), folder / f"n.{name}"
    export({path: exporter}, round_nuclei(10), context)
    begun = perf_counter()
    count = export({path: exporter}, round_nuclei(thousands), context)
    wrote, peak = perf_counter() - begun, peak_mib()
    size = sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())
    row = f"| {name} | {count} | {wrote:.1f} s | {peak:.0f} MiB | {size / 1e6:.0f} MB |"
    if not path.name.endswith(ENDINGS):
        return f"{row} – | – |"
    begun = perf_counter()
    assert sum(len(table) for table in read_stored(path)[1]) == count
    return f"{row} {perf_counter() - begun:.1f} s | {peak_mib():.0f} MiB |"


def main() -> None:
    """Print a table, or the row of a format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--thousands", type=int, default=1000)
    parser.add_argument("--formats", default="csv,parquet,h5ad,spatialdata.zarr,ann.dcm")
    parser.add_argument("--alone", action="store_true", help="measure in this process")
    arguments = parser.parse_args()
    formats = arguments.formats.split(",")
    if arguments.alone:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(formats[0], arguments.thousands, Path(folder)))
        return
    print(
        "| format | nuclei | written in | peak | size | read in | peak |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for name in formats:
        command = [sys.executable, "-m", "tests.benchmarks.export_large", "--alone", "--formats", name]
        subprocess.run([*command, "--thousands", str(arguments.thousands)], check=True)


if __name__ == "__main__":
    main()
