"""Results of a benchmark as JSON, CSV and Markdown (docs/benchmark.md describes them)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from wsi_nucssl._version import __version__
from wsi_nucssl.benchmark.averages import intervals, means, mpq_of, pooled_aji
from wsi_nucssl.benchmark.groups import By
from wsi_nucssl.benchmark.loss_picture import draw_losses
from wsi_nucssl.benchmark.notation import finite, number, table_rows, with_interval
from wsi_nucssl.benchmark.results import ModelResult
from wsi_nucssl.benchmark.sections import group_section, oracle_section, stress_section, type_section
from wsi_nucssl.benchmark.selection import Selection
from wsi_nucssl.benchmark.stress import Perturbation
from wsi_nucssl.datasets import Entry
from wsi_nucssl.metrics.aggregated_jaccard import AJI
from wsi_nucssl.metrics.registry import all_metrics
from wsi_nucssl.metrics.verdicts import COUNTS

_FORMAT: Final = "wsi-nucssl benchmark 2"


@dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark found out.

    Attributes
    ----------
    dataset, layout : str
        Name of the dataset's folder, and how it lies there.
    selection : Selection
        The images scored.
    models : Sequence[ModelResult]
        At least one.
    by : By | None
        What `groups` go by.
    groups : Mapping[str, Sequence[str]]
        Ids of each group; empty without `by`.
    stress : Sequence[Perturbation]
        What was done to each image, one at a time.
    mpp : Mapping[str, float | None]
        µm per px of each image, by id; None where nobody says.
    """

    dataset: str
    layout: str
    selection: Selection
    models: Sequence[ModelResult]
    by: By | None = None
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stress: Sequence[Perturbation] = ()
    mpp: Mapping[str, float | None] = field(default_factory=dict)

    def as_json(self) -> str:
        """results.json."""
        entries = [asdict(entry) for entry in self.selection.entries]
        content = {
            "format": _FORMAT,
            "version": __version__,
            "metrics": {metric.name: metric.as_json() for metric in all_metrics()},
            "models": {
                model.name: {
                    **model.as_json(self.groups),
                    "trained_on": list(self.selection.seen.get(model.name, ())),
                }
                for model in self.models
            },
            "dataset": {
                "name": self.dataset,
                "layout": self.layout,
                "selection": self.selection.reason,
                "sha256": hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest(),
                "images": {each.id: self._about(each) for each in self.selection.entries},
            },
            "warnings": list(self.selection.warnings),
        }
        if self.by is not None:
            content["by"] = self.by
        if self.stress:
            content["stress"] = {each.name: each.help for each in self.stress}
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    def _about(self, entry: Entry) -> dict[str, Any]:
        return {
            "organ": entry.organ,
            "image_sha256": entry.image_sha256,
            "label_sha256": entry.label_sha256,
            "mpp": self.mpp.get(entry.id),
        }

    def as_csv(self) -> str:
        """One row for each predictor and image; an undefined value is an empty cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        metrics = [metric.column for metric in all_metrics()]
        types = self._type_names()
        by_type = ["mpq", *(f"pq {name}" for name in types)] if types else []
        writer.writerow(
            ["model", "image", "organ", *metrics, "true_nuclei", "pred_nuclei", *COUNTS, *by_type]
        )
        organs = {entry.id: entry.organ or "" for entry in self.selection.entries}
        for model in self.models:
            for image in model.images:
                counts = (image.true_nuclei, image.pred_nuclei, *(image.errors[name] for name in COUNTS))
                row = [model.name, image.id, organs[image.id], *finite(image.scores).values(), *counts]
                if types:
                    row += [
                        number(mpq_of(image)),
                        *(number(image.type_pq.get(name, math.nan)) for name in types),
                    ]
                writer.writerow(row)
        return text.getvalue()

    def as_markdown(self) -> str:
        """Tables for people."""
        lines = [f"# Benchmark on {self.dataset}", "", f"Scored: {self.selection.reason}.", ""]
        lines += [f"**Warning: {warning}.**\n" for warning in self.selection.warnings]
        lines += [
            "Mean over images, in % where a column names no other unit; in brackets the 95 % bootstrap interval of the "
            "mean AJI.",
            "",
        ]
        metrics = [metric.heading for metric in all_metrics()]
        lines += table_rows(["model", *metrics, f"{AJI.heading}, pooled"], self._means())
        lines += ["", "What became of the nuclei, summed over images.", ""]
        lines += table_rows(["model", *(name.replace("_", " ") for name in COUNTS)], self._errors())
        lines += ["", f"AJI of each image, in {AJI.unit.symbol}.", ""]
        lines += table_rows(["image", "organ", *(model.name for model in self.models)], self._by_image())
        if self.by is not None:
            lines += ["", *group_section(self.models, self.by, self.groups)]
        if self._type_names():
            lines += ["", *type_section(self.models)]
        if all(model.oracle for model in self.models):
            lines += ["", *oracle_section(self.models)]
        if self.stress:
            lines += ["", *stress_section(self.models, self.stress)]
        return "\n".join(lines) + "\n"

    def picture(self) -> bytes:
        """stress.png."""
        losses = {model.name: model.losses() for model in self.models}
        plain = {model.name: means(model.images)["aji"] for model in self.models}
        count = len(self.selection.entries)
        images = "1 image" if count == 1 else f"{count} images"
        return draw_losses(losses, plain, f"Loss of AJI under perturbation: {self.dataset}, {images}")

    def _type_names(self) -> tuple[str, ...]:
        """Types of nuclei that are scored, of any model."""
        return next((model.type_names for model in self.models if model.type_names), ())

    def _means(self) -> list[list[str]]:
        rows = []
        for model in self.models:
            mean, interval = means(model.images), intervals(model.images)["aji"]
            texts = {metric.name: metric.text(mean[metric.name]) for metric in all_metrics()}
            texts["aji"] = with_interval(AJI.unit, mean["aji"], interval)
            rows.append([model.name, *texts.values(), AJI.text(pooled_aji(model.images))])
        return rows

    def _errors(self) -> list[list[str]]:
        return [[model.name, *map(str, model.errors().values())] for model in self.models]

    def _by_image(self) -> list[list[str]]:
        scores = [{image.id: image.scores.aji for image in model.images} for model in self.models]
        return [
            [entry.id, entry.organ or "", *(AJI.text(of_model[entry.id]) for of_model in scores)]
            for entry in self.selection.entries
        ]
