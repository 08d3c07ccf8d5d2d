"""Reports beside outputs: whole, and of the result that is there now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.segment.reporting import report_path, result_of_page
from wsi_nucssl.verification.fault import Fault

_LARGEST_BYTES: Final = 1 << 25
_REMEDY: Final = "Remove it, and run the same command again with ⟨resume⟩, which makes it anew"


def look_at_report(run: Path, summary: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with the report of a finished run; none at all is no fault, nor is somebody else's page."""
    path = report_path(run.with_name(run.name.removesuffix(".run")))
    try:
        page = path.read_bytes() if path.stat().st_size <= _LARGEST_BYTES else b""
    except OSError:
        return
    found = result_of_page(path)
    if found is None:
        return
    if not page.rstrip().endswith(b"</html>"):
        yield Fault(str(path), "report", "the report is cut off", _REMEDY)
    elif found not in {str(each) for each in summary.get("outputs", {}).values()}:
        yield Fault(str(path), "report", "the report is of an earlier result", _REMEDY)
