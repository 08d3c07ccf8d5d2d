"""The process that reads mutated slides: a path and a base a line comes in, a verdict a line goes out."""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from pathlib import Path

import numpy as np

from wsi_nucssl.errors import WsiNucsslError
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, open_slide

_WINDOW_PX = 150
_SIDE_PX = 2000


def read_levels(path: Path) -> list[RGB]:
    """Every level, window by window; of a level that is larger than any base, the first 2000 px a side."""
    with open_slide(path) as slide:
        levels = []
        for number, level in enumerate(slide.levels):
            width, height = min(level.size.width, _SIDE_PX), min(level.size.height, _SIDE_PX)
            image = np.empty((height, width, 3), np.uint8)
            for y in range(0, height, _WINDOW_PX):
                for x in range(0, width, _WINDOW_PX):
                    box = Box(x, y, min(x + _WINDOW_PX, width), min(y + _WINDOW_PX, height))
                    image[box.rc] = slide.read_level(number, box)
            levels.append(image)
        return levels


def verdict(path: Path, truth: dict[tuple[int, ...], RGB], finest: tuple[int, ...]) -> tuple[str, str]:
    """(outcome, detail): right, wrong, refused, unnamed (an error without the file's name) or traceback."""
    try:
        levels = read_levels(path)
    except WsiNucsslError as error:
        return ("refused" if error.path else "unnamed"), error.message
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    if levels[0].shape != finest:
        return "wrong", f"level 0 has the shape {levels[0].shape}"
    for image in levels:
        step = round(finest[0] / image.shape[0])  # a level that the sound base's reader does not show
        if not np.array_equal(image, truth.get(image.shape, truth[finest][::step, ::step])):
            return "wrong", f"pixels of the level of shape {image.shape}"
    return "right", ""


def _peak_mib(reset: bool = False) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
    return int(found[1]) >> 10 if found else 0


def main() -> None:
    """Answer each line until there are none."""
    warnings.simplefilter("ignore")
    logging.disable()
    answers, sys.stdout = sys.stdout, sys.stderr
    truths: dict[str, list[RGB]] = {}
    for line in sys.stdin:
        path, base = line.rstrip("\n").split("\t")
        if base not in truths:
            truths[base] = read_levels(Path(base))
        truth = {image.shape: image for image in truths[base]}
        before = _peak_mib(reset=True)
        outcome, detail = verdict(Path(path), truth, truths[base][0].shape)
        grown = _peak_mib() - before
        print(
            json.dumps({"outcome": outcome, "detail": detail[:300], "mib": grown}), file=answers, flush=True
        )


if __name__ == "__main__":
    main()
