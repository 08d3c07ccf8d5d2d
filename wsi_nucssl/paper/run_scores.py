"""The scores of a finished fine-tuning run; what was scored before is not scored again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wsi_nucssl.benchmark.averages import means
from wsi_nucssl.benchmark.notation import finite
from wsi_nucssl.benchmark.predictors import Network
from wsi_nucssl.benchmark.report import Report
from wsi_nucssl.benchmark.run import RESULTS, benchmark
from wsi_nucssl.datasets import Dataset
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.files import safe_stem, sha256_file
from wsi_nucssl.metrics.registry import METRICS
from wsi_nucssl.models.devices import Device
from wsi_nucssl.models.info import weights_path
from wsi_nucssl.models.weights import load_model

MeanScores = Mapping[str, float | None]
"""Mean over images of each metric, by name; None where it is undefined."""


def score_run(
    run: Path,
    dataset: Dataset,
    test: Dataset | None,
    device: Device,
    *,
    benchmark: Callable[..., Report] = benchmark,
) -> MeanScores:
    """Score a run as `segment` predicts by default, unless these weights were on these images before.

    Parameters
    ----------
    run : Path
        A finished fine-tuning run; the scores go beside it.
    dataset : Dataset
        What it was trained on; its validation images are scored where there is no `test`.
    test : Dataset | None
        All of whose images are scored.
    device : Device
        What the network runs on.
    benchmark : Callable
        As `benchmark.run.benchmark`.

    Raises
    ------
    WsiNucsslError
        The weights or an image cannot be read.
    """
    scored = f"on-{safe_stem(test.path)}" if test else "on-validation"
    folder = run.with_name(f"{run.name}-{scored}")
    known = _known(folder / RESULTS, run, test or dataset, whole=test is not None)
    if known is not None:
        return known
    model = load_model(run)
    report = benchmark(
        test or dataset,
        [Network(model, open_engine(model, device, "torch"))],
        folder,
        split="all" if test else "auto",
        split_file=None if test else run / "split.json",
        overlays=False,
        overwrite=True,
    )
    (result,) = report.models
    return finite(means(result.images))


def _known(results: Path, run: Path, images: Dataset, *, whole: bool) -> MeanScores | None:
    """The mean scores that a benchmark left, if they are of this run's weights, of these images at
    their mpp, and by every metric that there is.
    """
    try:
        content = json.loads(results.read_text())
    except (FileNotFoundError, ValueError):
        return None
    (model,) = content["models"].values()
    if model["source"]["weights_sha256"] != sha256_file(weights_path(run)):
        return None
    if not _same_images(content["dataset"]["images"], images, whole=whole):
        return None
    mean: MeanScores = model["mean"]
    return mean if mean.keys() >= {*METRICS.names} else None


def _same_images(scored: Mapping[str, Mapping[str, Any]], images: Dataset, *, whole: bool) -> bool:
    """Whether `scored` are images of this dataset, or all of it; results that state no mpp are of unknown images."""
    if not (scored.keys() == {*images.ids} if whole else scored.keys() <= {*images.ids}):
        return False
    return all(
        "mpp" in entry
        and entry["mpp"] == images[name].mpp
        and (entry["image_sha256"], entry["label_sha256"]) == images[name].hashes()
        for name, entry in scored.items()
    )
