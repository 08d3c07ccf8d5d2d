"""Runs that report: the steps of a run with what writes its page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsi_nucssl.segment.run import Steps


def with_report(steps: Steps | None, *, wanted: bool) -> Steps | None:
    """The steps, and each slide's page at the end where pages are wanted."""
    if not wanted:
        return steps
    from wsi_nucssl.report.slide_report import SlideReport
    from wsi_nucssl.segment.run import Steps

    return replace(steps or Steps(), report=SlideReport)
