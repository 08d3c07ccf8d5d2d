"""`wsi-nucssl verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wsi_nucssl.errors import spelled
from wsi_nucssl_cli.display import flag, say_hello

if TYPE_CHECKING:
    from wsi_nucssl.verification.fault import Verdict

_STATE_WIDTH: Final = 8
_STYLES: Final = {"ok": "green", "repaired": "yellow", "fault": "bold red"}


def verify(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Outputs, run folders, tile stores, weights, or folders of them.", show_default=False
        ),
    ],
    slide: Annotated[
        list[str] | None,
        typer.Option(help="The slide that they are of, or a folder of slides; may be given again."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="The weights that they are of: a name or a file.", show_default="any")
    ] = "",
    repair: Annotated[
        bool, typer.Option("--repair", help="Make again what is lost, and nothing else; needs the slide.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes that look at files.", show_default="one per core")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print faults only.")] = False,
) -> None:
    """See whether results are there, whole and valid. And of their slides and weights; exit code 5 if not."""
    say_hello("verify", quiet=quiet or as_json)

    from wsi_nucssl.doctor.limits import cores_allowed
    from wsi_nucssl.jobs.verifying import verify as run

    console = Console(highlight=False)

    def show(verdict: Verdict) -> None:
        if not as_json and (verdict.faults or not quiet):
            console.print(_rows(verdict))

    found = run(
        paths,
        slide=slide or (),
        model=model or None,
        repair=repair,
        workers=workers or cores_allowed(),
        on_verdict=show,
        steps=context.obj,
    )
    if as_json:
        typer.echo(spelled(json.dumps(found.to_dict(), indent=2, ensure_ascii=False), flag))
    elif not quiet and not found.faults:
        console.print(f"all is well: {len(found.verdicts)} looked at")
    found.refuse_faults()


def _rows(verdict: Verdict) -> Table:
    """A line for what is well, and one for each fault with its remedy below; what does not fit goes on below itself."""
    table = Table(show_header=False, box=None, padding=(0, 1, 0, 0))
    table.add_column(width=_STATE_WIDTH)
    table.add_column(overflow="fold")
    state = "repaired" if verdict.repaired else "ok"
    if not verdict.faults or verdict.repaired:
        said = "; ".join(filter(None, (verdict.said, verdict.repaired)))
        table.add_row(Text(state, _STYLES[state]), Text(f"{verdict.path}: {said}"))
    for fault in verdict.faults:
        table.add_row(Text("fault", _STYLES["fault"]), Text(f"{fault.path}: {spelled(fault.what, flag)}"))
        table.add_row("", Text(f"→ {spelled(fault.remedy, flag)}"))
    return table
