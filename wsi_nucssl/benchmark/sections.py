"""The sections of results.md that are not always there: groups, types, oracles, stress."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from wsi_nucssl.benchmark.averages import intervals, means
from wsi_nucssl.benchmark.groups import By
from wsi_nucssl.benchmark.notation import table_rows, with_interval
from wsi_nucssl.benchmark.oracle import summary
from wsi_nucssl.benchmark.results import ModelResult
from wsi_nucssl.benchmark.stress import Perturbation
from wsi_nucssl.metrics.aggregated_jaccard import AJI
from wsi_nucssl.metrics.metric import PERCENT
from wsi_nucssl.metrics.panoptic import PQ


def group_section(models: Sequence[ModelResult], by: By, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Mean AJI of each group of images, with its interval."""
    rows = []
    for name, ids in groups.items():
        parts = [model.of(ids) for model in models]
        values = [with_interval(AJI.unit, means(part)["aji"], intervals(part)["aji"]) for part in parts]
        rows.append([name, str(len(ids)), *values])
    said = (
        f"Mean AJI by {by}, in {AJI.unit.symbol}; in brackets the 95 % bootstrap interval, where a group has several "
        "images."
    )
    return [f"## By {by}", "", said, "", *table_rows([by, "images", *(m.name for m in models)], rows)]


def type_section(models: Sequence[ModelResult]) -> list[str]:
    """PQ of each type of nuclei, of the models that tell types apart."""
    typed = [model for model in models if model.type_names]
    rows = [
        [model.name, PQ.text(model.mpq()), *map(PQ.text, model.mean_type_pq().values())] for model in typed
    ]
    said = (
        f"{PQ.title} of the nuclei of each type, mean over the images that have the type, in {PQ.unit.symbol}; mPQ is "
        "the mean over images of the mean over an image's types (Gamper et al., 2020)."
    )
    header = ["model", "mPQ", *typed[0].type_names]
    return ["## By type of nuclei", "", said, "", *table_rows(header, rows)]


def oracle_section(models: Sequence[ModelResult]) -> list[str]:
    """What a perfect splitting, and a perfect foreground, would make of each method."""
    header = ["model", "AJI", "perfect splitting", "perfect foreground", "px precision", "px recall"]
    rows = []
    for model in models:
        mean = summary(model.oracle.values())
        ajis = (means(model.images)["aji"], mean["perfect_splitting"], mean["perfect_foreground"])
        fractions = (mean["precision"], mean["recall"])
        counts = (mean["true_positives"], mean["missed"], mean["false_positives"])
        rows.append([model.name, *map(AJI.text, ajis), *map(PERCENT.text, fractions), *map(str, counts)])
    said = (
        "AJI as it is, with the foreground as it is but split by the truth, and with the true foreground but split by "
        "the method; precision and recall of foreground px. Means over images, in %. Nuclei at IoU > 0.5, summed."
    )
    header += ["true positives", "missed", "false positives"]
    return ["## Oracles", "", said, "", *table_rows(header, rows)]


def stress_section(models: Sequence[ModelResult], stress: Sequence[Perturbation]) -> list[str]:
    """What each perturbation costs each method, a table for each."""
    said = (
        "Each image perturbed in one way at a time. Loss: plain AJI less perturbed AJI, paired by image, in "
        "percentage points, ± its standard error, and its 95 % bootstrap interval. Worst image: that of the lowest AJI."
    )
    lines = ["## Stress", "", said, ""]
    header = ["perturbation", "AJI", "loss", "interval", "worst image", "its AJI", "what is done"]
    for model in models:
        rows = [["none", AJI.text(means(model.images)["aji"]), "", "", "", "", ""]]
        losses = model.losses()
        for perturbation in stress:
            loss = losses[perturbation.name]
            worst = [loss.worst or "–", AJI.text(loss.images.get(loss.worst, math.nan))]
            cost = f"{AJI.text(loss.paired)} ± {AJI.text(loss.error)}"
            low, high = map(AJI.text, loss.interval)
            row = [
                perturbation.name,
                AJI.text(loss.mean),
                cost,
                f"[{low}, {high}]",
                *worst,
                perturbation.help,
            ]
            rows.append(row)
        lines += [f"### {model.name}", "", *table_rows(header, rows), ""]
    return [*lines, "![What each perturbation costs](stress.png)"]
