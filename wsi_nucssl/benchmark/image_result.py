"""One predicted label image against its truth: every number that a benchmark keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wsi_nucssl.metrics.aggregated_jaccard import aji_sums_of
from wsi_nucssl.metrics.contingency import Comparison
from wsi_nucssl.metrics.scores import Scores
from wsi_nucssl.metrics.verdicts import COUNTS, verdicts_of

_FORMER_COUNTS: Final = {"found": "true_positives", "invented": "false_positives"}
"""What a benchmark that was interrupted before their names changed calls these counts."""


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One predicted label image against its truth.

    Attributes
    ----------
    id : str
        Of the image.
    scores : Scores
        The value of every metric.
    aji_sums : tuple[int, int]
        C and U of its AJI, px.
    true_nuclei, pred_nuclei : int
        How many.
    errors : dict[str, int]
        Nuclei of each verdict, by the names of `metrics.verdicts.COUNTS`.
    type_pq : dict[str, float]
        PQ of each type of nuclei (`metrics.by_type`); empty where dataset or predictor tells none apart.
    """

    id: str
    scores: Scores
    aji_sums: tuple[int, int]
    true_nuclei: int
    pred_nuclei: int
    errors: dict[str, int]
    type_pq: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the journal; nan stays."""
        return {
            "id": self.id,
            "scores": dict(self.scores),
            "aji_sums": self.aji_sums,
            "true_nuclei": self.true_nuclei,
            "pred_nuclei": self.pred_nuclei,
            "errors": self.errors,
            **({"type_pq": self.type_pq} if self.type_pq else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ImageResult:
        """What `as_json` gave, once it has been JSON."""
        first, second = value["aji_sums"]
        errors = {_FORMER_COUNTS.get(name, name): count for name, count in value["errors"].items()}
        scores = Scores(value["scores"])
        return cls(
            value["id"],
            scores,
            (first, second),
            value["true_nuclei"],
            value["pred_nuclei"],
            {name: errors[name] for name in COUNTS},
            dict(value.get("type_pq", {})),
        )


def score_image(sample_id: str, pair: Comparison, type_pq: Mapping[str, float] | None = None) -> ImageResult:
    """Score two label images by every registered metric; `type_pq` is kept beside."""
    table = pair.table
    return ImageResult(
        sample_id,
        Scores.of(pair),
        aji_sums_of(table),
        int(table.true_ids.size),
        int(table.pred_ids.size),
        verdicts_of(table).counts(),
        dict(type_pq or {}),
    )
