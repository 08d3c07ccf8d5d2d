"""Results of a benchmark as JSON, CSV and Markdown (docs/benchmark.md describes them)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from wsi_nucssl._version import __version__
from wsi_nucssl.benchmark.averages import MEASURES, intervals, means, pooled_aji
from wsi_nucssl.benchmark.groups import By
from wsi_nucssl.benchmark.loss_picture import draw_losses
from wsi_nucssl.benchmark.notation import finite, percent, table_rows, with_interval
from wsi_nucssl.benchmark.results import ERRORS, ModelResult
from wsi_nucssl.benchmark.sections import group_section, oracle_section, stress_section
from wsi_nucssl.benchmark.selection import Selection
from wsi_nucssl.benchmark.stress import Perturbation

_FORMAT: Final = "wsi-nucssl benchmark 1"
_COLUMNS: Final = {
    "aji": "AJI",
    "aji_plus": "AJI+",
    "pq": "PQ",
    "sq": "SQ",
    "dq": "DQ",
    "f1": "F1",
    "dice1": "Dice1",
    "dice2": "Dice2",
    "pixel_jaccard": "pixel Jaccard",
}


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
    """

    dataset: str
    layout: str
    selection: Selection
    models: Sequence[ModelResult]
    by: By | None = None
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stress: Sequence[Perturbation] = ()

    def as_json(self) -> str:
        """results.json."""
        entries = [asdict(entry) for entry in self.selection.entries]
        content = {
            "format": _FORMAT,
            "version": __version__,
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
                "images": {entry.pop("id"): entry for entry in entries},
            },
            "warnings": list(self.selection.warnings),
        }
        if self.by is not None:
            content["by"] = self.by
        if self.stress:
            content["stress"] = {each.name: each.help for each in self.stress}
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    def as_csv(self) -> str:
        """One row for each contestant and image; an undefined value is an empty cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["model", "image", "organ", *MEASURES, "true_nuclei", "pred_nuclei", *ERRORS])
        organs = {entry.id: entry.organ or "" for entry in self.selection.entries}
        for model in self.models:
            for image in model.images:
                values = finite(asdict(image.scores)).values()
                counts = (image.true_nuclei, image.pred_nuclei, *(image.errors[name] for name in ERRORS))
                writer.writerow([model.name, image.id, organs[image.id], *values, *counts])
        return text.getvalue()

    def as_markdown(self) -> str:
        """Tables for people."""
        lines = [f"# Benchmark on {self.dataset}", "", f"Scored: {self.selection.reason}.", ""]
        lines += [f"**Warning: {warning}.**\n" for warning in self.selection.warnings]
        lines += ["Mean over images, in %; in brackets the 95 % bootstrap interval of the mean AJI.", ""]
        lines += table_rows(["model", "AJI", *list(_COLUMNS.values())[1:], "AJI, pooled"], self._means())
        lines += ["", "What became of the nuclei, summed over images.", ""]
        lines += table_rows(["model", *ERRORS], self._errors())
        lines += ["", "AJI of each image, in %.", ""]
        lines += table_rows(["image", "organ", *(model.name for model in self.models)], self._by_image())
        if self.by is not None:
            lines += ["", *group_section(self.models, self.by, self.groups)]
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

    def _means(self) -> list[list[str]]:
        rows = []
        for model in self.models:
            mean = means(model.images)
            first = with_interval(mean["aji"], intervals(model.images)["aji"])
            others = [percent(mean[name]) for name in list(_COLUMNS)[1:]]
            rows.append([model.name, first, *others, percent(pooled_aji(model.images))])
        return rows

    def _errors(self) -> list[list[str]]:
        return [
            [model.name, *(str(sum(image.errors[name] for image in model.images)) for name in ERRORS)]
            for model in self.models
        ]

    def _by_image(self) -> list[list[str]]:
        scores = [{image.id: image.scores.aji for image in model.images} for model in self.models]
        return [
            [entry.id, entry.organ or "", *(percent(of_model[entry.id]) for of_model in scores)]
            for entry in self.selection.entries
        ]
