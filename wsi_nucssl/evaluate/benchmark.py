"""Score models and predictions on an annotated dataset, through the same code that segments slides."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.datasets import Dataset
from wsi_nucssl.datasets.sample import LabelImage
from wsi_nucssl.errors import OutputExists, UsageError
from wsi_nucssl.evaluate.averages import ImageResult, judge
from wsi_nucssl.evaluate.contestants import Contestant, check_names
from wsi_nucssl.evaluate.report import ModelResult, Report
from wsi_nucssl.evaluate.selection import SplitName, select
from wsi_nucssl.files import locked, remove_tree, safe_stem, write_atomic
from wsi_nucssl.metrics.drawing import draw_errors

RESULTS: Final = "results.json"
_OVERLAYS: Final = "overlays"

OnImage = Callable[[int, int, str], None]
"""Called after each image with how many are done, of how many, and its id."""


def benchmark(
    dataset: Dataset,
    contestants: Sequence[Contestant],
    out: Path,
    *,
    split: SplitName = "auto",
    split_file: Path | None = None,
    overlays: bool = True,
    overwrite: bool = False,
    on_image: OnImage | None = None,
) -> Report:
    """Score every contestant on the selected images; writes results.json, .csv, .md and overlays/ to `out`.

    `selection.select` says which images `split` stands for. `overlays` draws the errors on each image
    (`metrics.drawing`). results.json is written last: where it is, everything is. What is there is replaced
    once all images are scored, and not before.

    Raises
    ------
    UsageError : no contestant, two of one name (or of one as file names), or no image.
    DatasetError : an image, a label or a prediction cannot be used.
    OutputExists : `out` holds results or overlays, and `overwrite` is not set.
    """
    check_names(contestants)
    with locked(out):
        there = [path for path in (out / RESULTS, out / _OVERLAYS) if path.exists()]
        if there and not overwrite:
            raise OutputExists(
                "results are there already", path=there[0], remedy="Add --overwrite, or choose another"
            )
        selection = select(dataset, contestants, split, split_file)
        if overlays:
            _check_files("contestants", [each.name for each in contestants])
            _check_files("images", [entry.id for entry in selection.entries])
        with _beside(out / _OVERLAYS) as pictures:
            results: dict[str, list[ImageResult]] = {contestant.name: [] for contestant in contestants}
            for done, entry in enumerate(selection.entries, start=1):
                image, true = dataset[entry.id].pair()
                for contestant in contestants:
                    pred = contestant.label_image(entry.id, image)
                    results[contestant.name].append(judge(entry.id, true, pred))
                    if overlays:
                        _draw(pictures, contestant.name, entry.id, image, true, pred)
                if on_image is not None:
                    on_image(done, len(selection.entries), entry.id)
            (out / RESULTS).unlink(missing_ok=True)
        models = [ModelResult(each.name, each.source, results[each.name]) for each in contestants]
        report = Report(dataset.path.resolve().name, dataset.layout, selection, models)
        write_atomic(out / "results.csv", report.as_csv())
        write_atomic(out / "results.md", report.as_markdown())
        write_atomic(out / RESULTS, report.as_json())
        return report


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder to fill beside `folder`, which it replaces in the end; left early, all stays as it was."""
    partial = folder.with_name(f".{folder.name}.partial")
    remove_tree(partial)
    try:
        yield partial
        remove_tree(folder)
        if partial.exists():
            partial.rename(folder)
    finally:
        remove_tree(partial)


def _check_files(what: str, names: Sequence[str]) -> None:
    """Raise `UsageError` where two names are the same file name."""
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(_file_stem(name), name)
        if other != name:
            raise UsageError(
                f"the overlays of two {what}, {other!r} and {name!r}, would be the same files",
                remedy="Rename one of them, or give --no-overlays",
            )


def _file_stem(name: str) -> str:
    return safe_stem(Path(f"{name}.png"))


def _draw(
    folder: Path, name: str, sample_id: str, image: NDArray[np.uint8], true: LabelImage, pred: LabelImage
) -> None:
    path = folder / _file_stem(name) / f"{_file_stem(sample_id)}.png"
    write_atomic(path, bytes(imagecodecs.png_encode(draw_errors(image, true, pred))))
