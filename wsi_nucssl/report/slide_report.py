"""The page of one slide: gathered while nuclei pass, written when the run is done."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from wsi_nucssl._version import __version__
from wsi_nucssl.export.registry import format_of
from wsi_nucssl.files import write_atomic
from wsi_nucssl.locations import as_text
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.report.charts import BarChart
from wsi_nucssl.report.maps import Maps
from wsi_nucssl.report.pages import page
from wsi_nucssl.report.samples import draw_samples
from wsi_nucssl.report.tally import Tally
from wsi_nucssl.report.words import FILES, MEASURED, PAPER, STAGES, doubt_title
from wsi_nucssl.segment.reporting import NucleiNear, Subject
from wsi_nucssl.segment.summary import SegmentSummary


class SlideReport:
    """A `segment.reporting.Watch`.

    Parameters
    ----------
    subject : Subject
        What it is of.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._tally = Tally(subject)

    def see(self, nuclei: Nuclei) -> None:
        """See `Watch.see`."""
        self._tally.add(nuclei)

    def write(self, summary: SegmentSummary, seconds: Mapping[str, float], near: NucleiNear) -> None:
        """See `Watch.write`."""
        subject = self._subject
        subject.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(subject.path, self._page(summary, seconds, near))

    def _page(self, summary: SegmentSummary, seconds: Mapping[str, float], near: NucleiNear) -> str:
        subject, tally = self._subject, self._tally
        charts = [BarChart.of(tally.spreads[name], *said) for name, said in MEASURED.items()]
        samples = draw_samples(tally, subject, near)
        return page(
            "slide.html",
            name=as_text(subject.slide.path.name),
            summary=summary,
            doubts=[(doubt_title(each.kind), each.what, each.remedy) for each in summary.doubts],
            maps=Maps.of(subject, tally),
            charts=charts if tally.nuclei else [],
            samples=samples,
            stages=_stages(seconds),
            files=_files(subject, summary),
            model=subject.context.header.get("model"),
            provenance=_provenance(subject, summary),
            methods=_methods(subject),
            paper=PAPER,
            has_regions="roi" in subject.context.header,
            now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )


def _stages(seconds: Mapping[str, float]) -> list[tuple[str, str, float, float]]:
    """Title, what it is, seconds, and per cent of the longest."""
    longest = max(seconds.values(), default=0.0) or 1.0
    return [
        (*STAGES[name], taken, 100 * taken / longest) for name, taken in seconds.items() if name in STAGES
    ]


def _files(subject: Subject, summary: SegmentSummary) -> list[tuple[str, str]]:
    """What lies beside the page, and what to do with it."""
    rows = [(path.name, FILES.get(format_of(path) or "", "")) for path in summary.outputs]
    if format_of(summary.output) in _VIEWED:
        words = shlex.join(["wsi-nucssl", "view", as_text(subject.slide.path.name), summary.output.name])
        rows.append(("in a browser", words))
    return rows


def _provenance(subject: Subject, summary: SegmentSummary) -> list[tuple[str, str]]:
    """What decided the result, in words and values."""
    header: Mapping[str, Any] = subject.context.header
    slide = subject.slide
    mpp = f"{slide.mpp} µm per pixel, {header.get('mpp_source', '')}" if slide.mpp else "not stated"
    rows = [
        ("Slide", as_text(slide.path.name)),
        ("Its fingerprint", str(header.get("slide", ""))),
        ("Size", f"{slide.dimensions} px, read by {slide.reader}"),
        ("Resolution", mpp),
        ("Model", f"{header.get('model')} ({str(header.get('model_sha256', ''))[:12]}…)"),
        ("Model's resolution", f"sees {header.get('input_mpp')}, answers at {header.get('model_mpp')} µm per pixel"),
        ("Runs on", str(header.get("engine", ""))),
        ("Coordinates from", f"({', '.join(f'{each:g}' for each in header.get('origin_l0', ()))}) in level-0 px"),
        ("Software", f"wsi-nucssl {header.get('version', __version__)}"),
    ]  # fmt: skip
    if "roi" in header:
        rows.append(
            ("Regions", f"{header['roi']['rule']} in outlines of SHA-256 {header['roi']['sha256'][:12]}…")
        )
    rows += [(f"Least {name[4:].split('_')[0]}", f"{header[name]:g}") for name in _LEAST if name in header]
    rows += [("File", f"{path.name} (SHA-256 {sha256[:12]}…)") for path, sha256 in summary.outputs.items()]
    return rows


_VIEWED: Final = ("geojson", "geojson.gz", "parquet")
_LEAST: Final = ("min_area_um2", "min_probability")


def _methods(subject: Subject) -> str:
    header = subject.context.header
    return (
        f"Nuclei were segmented with wsi-nucssl {header.get('version', __version__)}, model {header.get('model')} "
        f"(SHA-256 {str(header.get('model_sha256', ''))[:12]}), at {header.get('model_mpp')} µm per pixel."
    )
