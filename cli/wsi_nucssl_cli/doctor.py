"""`wsi-nucssl doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wsi_nucssl.errors import spelled
from wsi_nucssl_cli.display import flag, say_hello

if TYPE_CHECKING:
    from wsi_nucssl.doctor.finding import Line

_STYLES: Final = {"ok": "green", "warning": "yellow", "fault": "bold red"}
_NAME_WIDTH: Final = 15
_STATE_WIDTH: Final = 7


def doctor(
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON, without private paths and names, to paste into a report."),
    ] = False,
) -> None:
    """See whether this machine and installation are well. Each line says what is wrong, and the remedy."""
    say_hello("doctor", quiet=as_json)

    from wsi_nucssl.doctor.examination import examine, page, refuse_faults

    lines = []
    console = Console(highlight=False)
    for line in examine():
        lines.append(line)
        if not as_json:
            console.print(_row(line))
    if as_json:
        typer.echo(spelled(json.dumps(page(lines), indent=2, ensure_ascii=False), flag))
    refuse_faults(lines)


def _row(line: Line) -> Table:
    """A line of the page; what does not fit the width goes on below itself."""
    found = line.finding
    table = Table(show_header=False, box=None, padding=(0, 1, 0, 0))
    table.add_column(width=_STATE_WIDTH, style=_STYLES[found.state])
    table.add_column(width=_NAME_WIDTH)
    table.add_column(overflow="fold")
    table.add_row(found.state, line.name, Text(found.what))
    if found.remedy:
        table.add_row("", "", Text(f"→ {spelled(found.remedy, flag)}"))
    return table
