"""The metrics by name, ours and those that packages add; importing this costs nothing.

A metric is one file with a `Metric`, and one line below; from outside, an entry point `name = "package.module:METRIC"`
of the group `wsi_nucssl.metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsi_nucssl.errors import UsageError
from wsi_nucssl.registry import Plugin, Registry

if TYPE_CHECKING:
    from wsi_nucssl.metrics.metric import Metric

_HOME: Final = "wsi_nucssl.metrics"
METRICS: Final[Registry[Metric]] = Registry(
    "metric",
    "wsi_nucssl.metrics",
    Plugin("aji", f"{_HOME}.aggregated_jaccard:AJI", "aggregated Jaccard index"),
    Plugin(
        "aji_plus", f"{_HOME}.aggregated_jaccard:AJI_PLUS", "aggregated Jaccard index, matched one to one"
    ),
    Plugin("pq", f"{_HOME}.panoptic:PQ", "panoptic quality"),
    Plugin("sq", f"{_HOME}.panoptic:SQ", "segmentation quality"),
    Plugin("dq", f"{_HOME}.panoptic:DQ", "detection quality"),
    Plugin("f1", f"{_HOME}.panoptic:F1", "F1 score of detection"),
    Plugin("dice1", f"{_HOME}.overlap:DICE1", "Dice of the foregrounds"),
    Plugin("dice2", f"{_HOME}.overlap:DICE2", "ensemble Dice of nuclei"),
    Plugin("pixel_jaccard", f"{_HOME}.overlap:PIXEL_JACCARD", "Jaccard index of the foregrounds"),
    Plugin("hausdorff", f"{_HOME}.hausdorff_distance:HAUSDORFF", "Hausdorff distance of matched outlines"),
)
"""All metrics, in the order of tables."""


def all_metrics() -> tuple[Metric, ...]:
    """Every metric, in the order of tables.

    Raises
    ------
    UsageError
        A metric from outside cannot be imported, or calls itself otherwise than its entry point does.
    """
    return tuple(_checked(name) for name in METRICS.names)


def _checked(name: str) -> Metric:
    metric = METRICS.get(name)
    if metric.name != name:
        raise UsageError(
            f"the metric {metric.name!r} is announced as {name!r}",
            remedy="Give the entry point the name of the metric",
        )
    return metric
