"""Score models and predictions on an annotated dataset, through the same code that segments slides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from wsi_nucssl._version import __version__
from wsi_nucssl.benchmark.groups import By, grouped
from wsi_nucssl.benchmark.journal import Journal
from wsi_nucssl.benchmark.predictors import (
    PredictionFolder,
    Predictor,
    check_names,
    check_seeing,
    tells_apart,
)
from wsi_nucssl.benchmark.report import Report
from wsi_nucssl.benchmark.scoring import OnImage, Scorer, file_stem
from wsi_nucssl.benchmark.selection import Selection, SplitName, select
from wsi_nucssl.benchmark.stress import Perturbation
from wsi_nucssl.datasets import Dataset
from wsi_nucssl.errors import InputError, OutputExists, UsageError
from wsi_nucssl.files import (
    disk_errors,
    remove_partials,
    remove_path,
    remove_tree,
    replace,
    restore,
    retire,
    write_atomic,
)
from wsi_nucssl.locks import locked
from wsi_nucssl.metrics.registry import METRICS
from wsi_nucssl.outputs import check_output
from wsi_nucssl.runs import digest, run_directory

RESULTS: Final = "results.json"
_OVERLAYS: Final = "overlays"
_PICTURE: Final = "stress.png"
_WRITTEN: Final = (RESULTS, "results.csv", "results.md", _PICTURE, _OVERLAYS)
_WORK: Final = "work"
"""Run directory in the output: scores and overlays made so far. Gone once the results are written."""


def benchmark(
    dataset: Dataset,
    predictors: Sequence[Predictor],
    out: Path,
    *,
    split: SplitName = "auto",
    split_file: Path | None = None,
    by: By | None = None,
    oracle: bool = False,
    stress: Sequence[Perturbation] = (),
    overlays: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    on_image: OnImage | None = None,
) -> Report:
    """Score every predictor on the selected images; writes results.json, .csv, .md and overlays/ to `out`.

    results.json is put there last: where it is, everything is. What is there is replaced once all images are scored and
    all results are on the disk, and not before. Until then each score is kept in `out`/work, from where an interrupted
    benchmark is resumed.

    Parameters
    ----------
    dataset : Dataset
        Annotated images.
    predictors : Sequence[Predictor]
        What is compared; names differ.
    out : Path
        Folder for the results.
    split, split_file : SplitName, Path | None
        Which images: see `selection.select`.
    by : By | None
        Also give the means of each group of images (`groups.grouped`).
    oracle : bool
        Also say what a perfect splitting and a perfect foreground would give (`oracle.decompose`).
    stress : Sequence[Perturbation]
        Also score each image under these perturbations (`stress.PERTURBATIONS`), and draw stress.png.
    overlays : bool
        Draw the errors on each image (`metrics.drawing`).
    resume : bool
        Go on with an interrupted benchmark of the same settings; where there is none, begin.
    overwrite : bool
        Replace results that are there, and forget an interrupted benchmark.
    on_image : OnImage | None
        Is told of progress.

    Raises
    ------
    UsageError
        No predictor, two of one name (or of one as file names), no image, `stress` for predictions in files, or both
        `resume` and `overwrite`.
    DatasetError
        An image, a label or a prediction cannot be used.
    OutputExists
        `out` holds results, overlays or an interrupted benchmark, and nothing says to replace or resume it.
    RunMismatch
        `resume`, but what was interrupted had other images, predictors, metrics or settings.
    """
    check_names(predictors)
    if stress:
        check_seeing(predictors)
    with locked(out):
        restore(out / _OVERLAYS)
        _check_places(out, overwrite=overwrite, resume=resume and (out / _WORK).exists())
        dataset = dataset.hashed()
        selection = select(dataset, predictors, split, split_file)
        ids = [entry.id for entry in selection.entries]
        if overlays:
            _check_files("predictors", [each.name for each in predictors])
            _check_files("images", ids)
        work = out / _WORK
        _check_inputs(out, dataset, predictors)
        read = sorted({sample.source.parent for sample in dataset})
        settings = _settings(dataset, selection, predictors, overlays=overlays, oracle=oracle, stress=stress)
        try:
            with run_directory(
                work,
                settings,
                resume=resume,
                overwrite=overwrite,
                inputs=read,
                break_lock=None,
            ) as run:
                pictures = run / _OVERLAYS if overlays else None
                scorer = Scorer(dataset, predictors, Journal(run / "scores.jsonl"), pictures, oracle, stress)
                models = scorer.run(ids, on_image)
                groups = grouped(dataset, ids, by) if by else {}
                mpp = {name: dataset[name].mpp for name in ids}
                report = Report(dataset.name, dataset.layout, selection, models, by, groups, stress, mpp)
                _publish(report, out, run, pictures)
        except InputError:
            remove_tree(work)  # what has to be mended is part of the settings: this could never be resumed
            raise
        remove_tree(work)
        return report


def _check_places(out: Path, *, overwrite: bool, resume: bool) -> None:
    """Nothing that is there is replaced unasked, and overlays that no benchmark made are not replaced at all."""
    for name in _WRITTEN:
        check_output(out / name, overwrite=overwrite, may_exist=resume, is_folder=name == _OVERLAYS)
    ours = [out / name for name in (*_WRITTEN, _WORK) if name != _OVERLAYS]
    if (out / _OVERLAYS).exists() and not any(path.exists() for path in ours):
        raise OutputExists(
            "a folder that no benchmark made has the overlays' name",
            path=out / _OVERLAYS,
            remedy="Choose another output",
        )


def _check_inputs(out: Path, dataset: Dataset, predictors: Sequence[Predictor]) -> None:
    """No output is what a predictor reads, or a file of the dataset."""
    read = [each.folder for each in predictors if isinstance(each, PredictionFolder)]
    read += [path for sample in dataset for path in (sample.source, sample.source.parent)]
    for name in _WRITTEN:
        check_output(out / name, inputs=set(read), may_exist=True, is_folder=name == _OVERLAYS)


def _settings(
    dataset: Dataset,
    selection: Selection,
    predictors: Sequence[Predictor],
    *,
    overlays: bool,
    oracle: bool,
    stress: Sequence[Perturbation],
) -> dict[str, Any]:
    """All that decides the scores."""
    settings = {
        "version": __version__,
        "images": digest({entry.id: asdict(entry) for entry in selection.entries}),
        "mpp": digest({entry.id: dataset[entry.id].mpp for entry in selection.entries}),
        "contestants": {  # as they were called once: what was interrupted then can be resumed
            each.name: dict(each.source) for each in predictors
        },
        "overlays": overlays,
        "oracle": oracle,
        "stress": [each.name for each in stress],
    }
    if any(tells_apart(each, dataset.type_names) for each in predictors):
        settings["types"] = dataset.types_sha256(entry.id for entry in selection.entries)
    from_outside = {each.name: each.help for each in METRICS if each.name not in METRICS.own_names}
    return {**settings, "metrics": from_outside} if from_outside else settings


def _publish(report: Report, out: Path, run: Path, pictures: Path | None) -> None:
    """Put everything in its place: all is written before anything old goes, and then takes its name, results.json last.

    A benchmark that is killed in between has no results.json; done again, this comes to the same.
    """
    texts: dict[str, bytes | str] = {
        "results.csv": report.as_csv(),
        "results.md": report.as_markdown(),
        RESULTS: report.as_json(),
        **({_PICTURE: report.picture()} if report.stress else {}),
    }
    for name, text in texts.items():
        write_atomic(run / name, text)
    new = {name: run / name for name in texts}
    if pictures is not None and pictures.exists():
        new[_OVERLAYS] = pictures
    with disk_errors(out):
        (out / RESULTS).unlink(missing_ok=True)
        remove_partials(out)
        if (_OVERLAYS in new or pictures is None) and (out / _OVERLAYS).exists():
            retire(
                out / _OVERLAYS, out / _OVERLAYS
            )  # before: an exchange would leave the old where the new were
        for name in _WRITTEN[::-1]:  # the results last
            if name in new:
                replace(new[name], out / name)
            elif name != _OVERLAYS:
                remove_path(out / name)


def _check_files(what: str, names: Sequence[str]) -> None:
    """Raise `UsageError` where two names are the same file name."""
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(file_stem(name), name)
        if other != name:
            raise UsageError(
                f"the overlays of two {what}, {other!r} and {name!r}, would be the same files",
                remedy="Rename one of them, or leave these pictures out (⟨overlays⟩)",
            )
