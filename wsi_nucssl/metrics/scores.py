"""The values of all metrics for one predicted label image, from one count of the overlaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wsi_nucssl.metrics.contingency import Comparison, Labels, compare
from wsi_nucssl.metrics.metric import Metric
from wsi_nucssl.metrics.registry import all_metrics


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scores(Mapping[str, float]):
    """The value of each metric by its name, as an item and as an attribute: `scores["aji"]`, `scores.aji`."""

    _values: Mapping[str, float]

    @classmethod
    def of(cls, comparison: Comparison, metrics: Iterable[Metric] | None = None) -> Scores:
        """Score by these metrics, or by all that are registered."""
        chosen = all_metrics() if metrics is None else metrics
        return cls({metric.name: float(metric.of(comparison)) for metric in chosen})

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"no metric {name!r} among {', '.join(self._values)}", name=name, obj=self)
        return self._values[name]

    def __dir__(self) -> Iterable[str]:
        return [*object.__dir__(self), *self._values]

    def __repr__(self) -> str:
        return f"Scores({', '.join(f'{name}={value:.4g}' for name, value in self.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Scores, (dict(self._values),)


def score(true: Labels, pred: Labels) -> Scores:
    """Every registered metric of `pred` against `true`, two label images of one shape (row, col).

    Raises
    ------
    UsageError
        The shapes differ, or an array is not a label image.
    """
    return Scores.of(compare(true, pred))
