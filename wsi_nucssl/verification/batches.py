"""Folders of many slides: each row of the ledger, and whatever else of ours lies below."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wsi_nucssl.errors import OutputError
from wsi_nucssl.ledger import LOG, TABLE, Ledger, Row
from wsi_nucssl.verification.fault import Fault, Verdict

_GO_ON: Final = "Run the same command again with ⟨resume⟩"


def look_at_ledger(folder: Path) -> tuple[Verdict, dict[Path, Row]]:
    """What the ledger of a folder says, and each output that it says is done, with its row."""
    path = folder / TABLE
    try:
        rows = Ledger(folder).rows()
    except OutputError as error:
        fault = Fault(str(path), "ledger", error.what, error.remedy or _GO_ON)
        return Verdict(path, "batch", "", (fault,)), {}
    done = {folder / name: row for name, row in rows.items() if row.state == "done"}
    said = f"{len(done)} of {len(rows)} slides done"
    return Verdict(path, "batch", said, (*_cut(folder, rows), *_not_done(path, rows))), done


def _cut(folder: Path, rows: dict[str, Row]) -> Iterator[Fault]:
    """A table that was cut or emptied: the log, which only grows, tells of more slides."""
    if lost := sorted(Ledger(folder).logged() - {*rows}):
        what = f"{len(lost)} slides are missing of which {LOG} tells, such as {lost[0]}"
        yield Fault(str(folder / TABLE), "ledger", what, _GO_ON)


def _not_done(path: Path, rows: dict[str, Row]) -> Iterator[Fault]:
    for name, row in rows.items():
        if row.state == "failed":
            what = f"{row.path} failed, and {name} is not made: {row.error}"
            yield Fault(str(path), "failed", what, row.remedy or _GO_ON)
        elif row.state != "done":
            yield Fault(
                str(path), "unfinished", f"{row.path} is not done ({row.state}), nor is {name}", _GO_ON
            )
