"""Command line of the generator: `python -m sample_slides --help`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sample_slides.scene import Scene
from sample_slides.tiff import write_slide
from sample_slides.truth import write_truth
from wsi_nucssl.errors import WsiNucsslError
from wsi_nucssl.geometry import Mpp, Size


def main() -> None:
    """Draw a slide and, if asked for, write down its nuclei."""
    parser = argparse.ArgumentParser(prog="python -m sample_slides", description=__doc__)
    parser.add_argument("output", type=Path, help="the slide to write")
    parser.add_argument("--width", type=_side, default=3000, help="px of level 0")
    parser.add_argument("--height", type=_side, default=2400, help="px of level 0")
    parser.add_argument("--mpp", type=float, default=0.25, help="µm per level-0 px")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another slide")
    parser.add_argument(
        "--format", choices=["svs", "tiff"], default="svs", help="Aperio-style or generic pyramid"
    )
    parser.add_argument("--quality", type=int, default=80, help="of the JPEG tiles")
    parser.add_argument("--truth", type=Path, help="also write the nuclei, as .geojson or .geojson.gz")
    options = parser.parse_args()
    try:
        _draw(options)
    except WsiNucsslError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


def _side(text: str) -> int:
    side = int(text)
    if side < 1:
        raise argparse.ArgumentTypeError(f"a side must be at least 1 px, not {side}")
    return side


def _draw(options: argparse.Namespace) -> None:
    mpp = Mpp.square(options.mpp).x
    scene = Scene(Size(options.width, options.height), options.seed, mpp)
    write_slide(scene, options.output, kind=options.format, quality=options.quality)
    print(f"{options.output}: {scene.size} px, {options.output.stat().st_size / 1e6:.1f} MB")
    if options.truth:
        print(f"{options.truth}: {write_truth(scene, options.truth)} nuclei")


if __name__ == "__main__":
    main()
