"""Results of a benchmark as JSON, CSV and Markdown (docs/benchmark.md describes them)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import wsi_nucssl
from wsi_nucssl.evaluate.averages import MEASURES, ImageResult, intervals, means, pooled_aji
from wsi_nucssl.evaluate.selection import Selection

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
_ERRORS: Final = ("found", "missed", "invented", "merged", "split")


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One contestant's scores on all selected images."""

    name: str
    source: Mapping[str, Any]
    images: Sequence[ImageResult]

    def as_json(self) -> dict[str, Any]:
        """The contestant's member of results.json."""
        return {
            "mean": _finite(means(self.images)),
            "interval": {k: [_number(v) for v in pair] for k, pair in intervals(self.images).items()},
            "pooled": _finite({"aji": pooled_aji(self.images)}),
            "errors": {name: sum(image.errors[name] for image in self.images) for name in _ERRORS},
            "images": {
                image.id: {
                    **_finite(asdict(image.scores)),
                    "true_nuclei": image.true_nuclei,
                    "pred_nuclei": image.pred_nuclei,
                    **image.errors,
                }
                for image in self.images
            },
            "source": dict(self.source),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark found out."""

    dataset: str
    layout: str
    selection: Selection
    models: Sequence[ModelResult]

    def as_json(self) -> str:
        """results.json."""
        entries = [asdict(entry) for entry in self.selection.entries]
        content = {
            "format": _FORMAT,
            "version": wsi_nucssl.__version__,
            "models": {
                model.name: {**model.as_json(), "trained_on": list(self.selection.seen.get(model.name, ()))}
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
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    def as_csv(self) -> str:
        """One row for each contestant and image; an undefined value is an empty cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["model", "image", "organ", *MEASURES, "true_nuclei", "pred_nuclei", *_ERRORS])
        organs = {entry.id: entry.organ or "" for entry in self.selection.entries}
        for model in self.models:
            for image in model.images:
                values = _finite(asdict(image.scores)).values()
                counts = (image.true_nuclei, image.pred_nuclei, *(image.errors[name] for name in _ERRORS))
                writer.writerow([model.name, image.id, organs[image.id], *values, *counts])
        return text.getvalue()

    def as_markdown(self) -> str:
        """Tables for people."""
        lines = [f"# Benchmark on {self.dataset}", "", f"Scored: {self.selection.reason}.", ""]
        lines += [f"**Warning: {warning}.**\n" for warning in self.selection.warnings]
        lines += ["Mean over images, in %; in brackets the 95 % bootstrap interval of the mean AJI.", ""]
        lines += _rows(["model", "AJI", *list(_COLUMNS.values())[1:], "AJI, pooled"], self._means())
        lines += ["", "What became of the nuclei, summed over images.", ""]
        lines += _rows(["model", *_ERRORS], self._errors())
        lines += ["", "AJI of each image, in %.", ""]
        lines += _rows(["image", "organ", *(model.name for model in self.models)], self._by_image())
        return "\n".join(lines) + "\n"

    def _means(self) -> list[list[str]]:
        rows = []
        for model in self.models:
            mean, (low, high) = means(model.images), intervals(model.images)["aji"]
            first = f"{_percent(mean['aji'])} [{_percent(low)}, {_percent(high)}]"
            others = [_percent(mean[name]) for name in list(_COLUMNS)[1:]]
            rows.append([model.name, first, *others, _percent(pooled_aji(model.images))])
        return rows

    def _errors(self) -> list[list[str]]:
        return [
            [model.name, *(str(sum(image.errors[name] for image in model.images)) for name in _ERRORS)]
            for model in self.models
        ]

    def _by_image(self) -> list[list[str]]:
        scores = [{image.id: image.scores.aji for image in model.images} for model in self.models]
        return [
            [entry.id, entry.organ or "", *(_percent(of_model[entry.id]) for of_model in scores)]
            for entry in self.selection.entries
        ]


def _rows(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f}"


def _number(value: float) -> float | None:
    """JSON knows no nan."""
    return None if math.isnan(value) else value


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}
