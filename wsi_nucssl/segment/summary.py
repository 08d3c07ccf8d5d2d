"""What segmenting a slide came to: kept in the run directory when all is done, and believed only if nothing changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import OutputExists
from wsi_nucssl.files import sha256_tree, write_atomic
from wsi_nucssl.segment.seam_figure import SeamFigure

RUN: Final = ".run"
"""What the name of a run adds to that of its first output."""
SUMMARY: Final = "summary.json"
WINDOWS: Final = "windows.zarr"
KEPT: Final = "probabilities.zarr"
BLOCKS: Final = "blocks"
"""What lies in the directory of a run; windows and blocks until it is done, probabilities if they were asked for."""


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """What segmenting a slide came to.

    Attributes
    ----------
    outputs : Mapping[Path, str]
        Each output and the SHA-256 of its bytes, in the order of the formats.
    nuclei : int
        How many, in each output.
    tissue_mm2 : float
        Area of the tissue that was looked at.
    seconds, network_seconds : float
        Of this process: wall time of the slide, and within it of the network alone.
    seams : SeamFigure
        Traces of the grid in the result.
    median_um2 : float
        Area of the median nucleus in µm²; 0 without nuclei.
    doubts : tuple of Doubt
        What makes the result doubtful; nothing, as a rule.
    slide_px, origin_l0 : tuple of two numbers, or None
        Width and height of the slide in level-0 px, and the (x, y) that coordinates count from, for `verification`.
    earlier : bool
        An earlier run finished it, and this one found all as it was left.
    dropped : tuple of Path
        What went with an earlier result that this one replaced: outputs of other formats, its page, its run.
    """

    outputs: Mapping[Path, str]
    nuclei: int
    tissue_mm2: float
    seconds: float
    network_seconds: float
    seams: SeamFigure
    median_um2: float = 0.0
    doubts: tuple[Doubt, ...] = ()
    slide_px: tuple[int, int] | None = None
    origin_l0: tuple[float, float] | None = None
    earlier: bool = field(default=False, compare=False)
    dropped: tuple[Path, ...] = field(default=(), compare=False)

    @property
    def output(self) -> Path:
        """The first output."""
        return next(iter(self.outputs))

    @property
    def sha256(self) -> str:
        """The hash of the first output."""
        return self.outputs[self.output]

    @property
    def per_mm2(self) -> float:
        """Nuclei per mm² of tissue."""
        return self.nuclei / self.tissue_mm2 if self.tissue_mm2 else 0.0


def keep_summary(run: Path, summary: SegmentSummary) -> None:
    """Write the summary, which says that the run is finished, with what it says of formats written earlier."""
    hashes = {output.name: sha256 for output, sha256 in summary.outputs.items()}
    before = _read(run) or {"outputs": {}}
    content = {**asdict(summary), "outputs": {**before["outputs"], **hashes}}
    del content["dropped"]
    write_atomic(run / SUMMARY, json.dumps(content, indent=2))


def finished_summary(run: Path, outputs: Sequence[Path]) -> SegmentSummary | None:
    """The summary of a run whose outputs are all there; None if there is still something to do.

    Raises
    ------
    OutputExists
        An output is not, or no longer, what the run wrote.
    """
    kept = _read(run)
    if kept is None:
        return None
    hashes = {output: kept["outputs"].get(output.name) for output in outputs}
    for output, sha256 in hashes.items():
        if output.exists() and sha256_tree(output) != sha256:
            raise OutputExists(
                "the output was changed after it was finished"
                if sha256
                else "the output is there, but the run did not write it",
                path=output,
                remedy="Add ⟨overwrite⟩ to replace it, or choose another output",
            )
    if not all(output.exists() for output in outputs):
        return None
    doubts = tuple(Doubt(**each) for each in kept.get("doubts", ()))
    seams = SeamFigure(**kept["seams"])
    places = {name: tuple(kept[name]) for name in ("slide_px", "origin_l0") if kept.get(name)}
    read = {"outputs": hashes, "seams": seams, "doubts": doubts, **places}
    return SegmentSummary(**{**kept, **read, "earlier": True})


def kept_outputs(run: Path) -> dict[str, str]:
    """Names of the outputs that a finished run wrote, and their SHA-256; none where nobody knows."""
    named = (_read(run) or {}).get("outputs")
    return {str(name): str(sha256) for name, sha256 in named.items()} if isinstance(named, dict) else {}


def kept_median(run: Path) -> float | None:
    """Area of the median nucleus in µm² as a finished run's summary has it; None where nobody knows."""
    found = (_read(run) or {}).get("median_um2")
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _read(run: Path) -> dict[str, Any] | None:
    """What `keep_summary` wrote; None if it is absent or damaged."""
    try:
        kept: dict[str, Any] = dict(json.loads((run / SUMMARY).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return kept if "outputs" in kept else None
