"""The loop of docs/qupath.md without a person: propose, correct, fine-tune, segment, with AJI before and after.

    python -m scripts.correction_loop -o loop --tiles 8 --epochs 6

Two drawn slides are out of focus, more than any bundled model has seen. Tiles of the first are proposed, and corrected
by what was drawn there; the second is scored, as the default model and the fine-tuned one segment it. `loop.csv` has a
row for each of its fields, `loop.jpg` shows the fullest before and after.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import orjson
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate

import wsi_nucssl as wn
from sample_slides.scene import Scene
from sample_slides.tiff import write_slide
from wsi_nucssl.captions import captioned
from wsi_nucssl.datasets.polygons import rasterise
from wsi_nucssl.geometry import Box, Point, Size
from wsi_nucssl.jobs.proposing import propose
from wsi_nucssl.metrics.contingency import compare
from wsi_nucssl.metrics.drawing import draw_verdicts, verdict_legend
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.pictures import jpeg

BLUR_PX: Final = 3.0
FIELD_PX: Final = 512
_HALF_PX: Final = 0.5
_LEAST_NUCLEI: Final = 40
_SIZE: Final = Size(3000, 2400)
_CLASS: Final = {"name": "Nucleus", "color": [200, 0, 0]}


@dataclass(frozen=True, slots=True)
class OutOfFocus(Scene):
    """A slide whose scanner missed the plane: each pixel is the Gaussian mean of those around it."""

    def render(self, box: Box) -> NDArray[np.uint8]:
        """The pixels of `box`, uint8 RGB (row, col, 3)."""
        reach = int(4 * BLUR_PX)
        around = cv2.GaussianBlur(Scene.render(self, box.grow(reach)), (0, 0), BLUR_PX)
        return np.ascontiguousarray(around[reach:-reach, reach:-reach], np.uint8)


@dataclass(frozen=True, slots=True)
class Field:
    """A place of the slide that no tile was cut from, and what either model finds there."""

    box: Box
    image: NDArray[np.uint8]
    truth: NDArray[np.int32]
    before: NDArray[np.int32]
    after: NDArray[np.int32]

    @property
    def scores(self) -> tuple[float, float]:
        """AJI before and after."""
        return wn.aji(self.truth, self.before), wn.aji(self.truth, self.after)


def outlines(scene: Scene, box: Box) -> Iterator[shapely.Geometry]:
    """The drawn nuclei of a box, cut at its edges, from its corner."""
    frame = shapely.box(0, 0, box.width, box.height)
    for ring in scene.polygons(box.grow(64)):
        inside = translate(shapely.Polygon(ring).buffer(0), -box.x0, -box.y0).intersection(frame)
        if inside.area >= 1:
            yield inside


def correct(folder: Path, scene: Scene) -> int:
    """Write what was drawn over each tile's outlines, as QuPath exports annotations; returns how many nuclei."""
    count = 0
    for name, entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8")).items():
        x, y, width, height = entry["region"]
        features = [
            {
                "type": "Feature",
                "geometry": json.loads(shapely.to_geojson(nucleus)),
                "properties": {"objectType": "annotation", "classification": _CLASS},
            }
            for nucleus in outlines(scene, Box(x, y, x + width, y + height))
        ]
        content = {"type": "FeatureCollection", "features": features}
        (folder / f"{name}.geojson").write_bytes(orjson.dumps(content))
        count += len(features)
    return count


def fields(scene: Scene, model: Path, count: int) -> Iterator[Field]:
    """The first `count` fields of a slide that hold enough nuclei, as the default model and `model` segment them."""
    for box in islice(_crowded(scene), count):
        image = scene.render(box)
        drawn = [
            np.asarray(part.exterior.coords) - _HALF_PX
            for nucleus in outlines(scene, box)
            for part in shapely.get_parts(nucleus)
        ]
        found = [
            np.asarray(wn.segment(image, mpp=scene.mpp, model=each).labels) for each in (DEFAULT_MODEL, model)
        ]
        yield Field(box, image, rasterise(drawn, box.size.shape_rc), *found)


def _crowded(scene: Scene) -> Iterator[Box]:
    rows, cols = scene.size.height // FIELD_PX, scene.size.width // FIELD_PX
    for row, col in np.ndindex(rows, cols):
        box = Box.at(Point(col * FIELD_PX, row * FIELD_PX), Size(FIELD_PX, FIELD_PX))
        if sum(1 for _ in outlines(scene, box)) >= _LEAST_NUCLEI:
            yield box


def picture(field: Field) -> NDArray[np.uint8]:
    """Before and after, errors in colour."""
    sides = []
    for title, found, score in zip(
        ("before", "after"), (field.before, field.after), field.scores, strict=True
    ):
        pair = compare(field.truth, found)
        drawn = draw_verdicts(field.image, pair)
        sides.append(captioned(drawn, verdict_legend(pair), f"{title}: AJI {score:.2f}"))
    rows = max(side.shape[0] for side in sides)
    padded = [
        np.pad(side, ((0, rows - side.shape[0]), (0, 0), (0, 0)), constant_values=255) for side in sides
    ]
    return np.concatenate(padded, axis=1)


def loop(
    folder: Path, *, tiles: int, epochs: int, scored: int, size: Size = _SIZE, **recipe: Any
) -> list[Field]:
    """All of it in `folder`; says what each step took."""
    folder.mkdir(parents=True)
    mine, other = OutOfFocus(size, 11), OutOfFocus(size, 12)
    write_slide(mine, folder / "mine.svs")
    with _timed("propose"):
        propose(folder / "mine.svs", folder / "tiles", tiles)
    print(f"{correct(folder / 'tiles', mine)} nuclei corrected")
    with _timed("finetune"):
        run = wn.finetune(
            folder / "tiles", folder / "run", start=DEFAULT_MODEL, recipe={"epochs": epochs, **recipe}
        )
    return list(fields(other, run.folder, scored))


@contextmanager
def _timed(what: str) -> Iterator[None]:
    """Print how long a step took."""
    start = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - start:.0f} s")


def main() -> None:
    """Run the loop, write its table and its picture."""
    parser = argparse.ArgumentParser(prog="python -m scripts.correction_loop", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder, made anew")
    parser.add_argument("--tiles", type=int, default=8, help="proposed and corrected")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--fields", type=int, default=6, help="of the other slide, scored")
    given = parser.parse_args()
    found = loop(given.output, tiles=given.tiles, epochs=given.epochs, scored=given.fields)
    with (given.output / "loop.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "nuclei", "aji_before", "aji_after"])
        for field in found:
            writer.writerow([field.box.x0, field.box.y0, int(field.truth.max()), *np.round(field.scores, 4)])
    (given.output / "loop.jpg").write_bytes(
        jpeg(picture(max(found, key=lambda field: int(field.truth.max()))))
    )
    before, after = np.mean([field.scores for field in found], axis=0)
    print(f"AJI {before:.3f} before, {after:.3f} after, mean of {len(found)} fields of another slide")


if __name__ == "__main__":
    main()
