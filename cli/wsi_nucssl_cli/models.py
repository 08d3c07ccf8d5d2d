"""`wsi-nucssl models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wsi_nucssl.errors import WeightsError
from wsi_nucssl_cli.display import say_error, say_hello

if TYPE_CHECKING:
    from wsi_nucssl.models.catalogue import ModelEntry

_HASH_DIGITS: Final = 12


def models(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of weights or of runs to look in, besides what is bundled.", show_default=False
        ),
    ] = None,
    speed: Annotated[
        bool, typer.Option("--speed", help="Also measure how fast each is here; seconds to minutes a model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """List models, with scores, licence, size and speed. What is bundled, and what is found."""
    say_hello("models", quiet=as_json)

    from wsi_nucssl.models.catalogue import model_entry, weights_files

    entries, damaged = [], []
    for path in weights_files(folders or ()):
        try:
            entry = model_entry(path)
        except WeightsError as error:
            damaged.append(error)
            continue
        if entry is not None:
            entry = _timed(entry, path) if speed else entry
            entries.append(entry)
            if not as_json:
                _show(entry)
    if as_json:
        typer.echo(json.dumps([entry.to_dict() for entry in entries], indent=2, ensure_ascii=False))
    for each in damaged:
        say_error(each.message)
    if damaged:
        raise typer.Exit(WeightsError.exit_code)


def _timed(entry: ModelEntry, path: Path) -> ModelEntry:
    from wsi_nucssl.doctor.speed import mm2_per_minute

    return entry.at_speed(mm2_per_minute(str(path)))


def _show(entry: ModelEntry) -> None:
    """A paragraph a model: a table of all this would not fit a terminal."""
    from wsi_nucssl.models.defaults import DEFAULT_MODEL

    where = ("default" if entry.name == DEFAULT_MODEL else "bundled") if entry.bundled else entry.file
    scores = ", ".join(f"{value:.2f} % ({name})" for name, value in entry.aji.items())
    rows = {
        "network": f"{entry.architecture}, encoder {entry.encoder}, {entry.parameters / 1e6:.1f} M parameters",
        "µm per px": f"sees {entry.input_mpp:g}, answers at {entry.mpp:g}",
        "types": ", ".join(entry.types),
        "AJI": scores or "no card states it",
        "licence": entry.licence or "no card states it",
        "file": f"{entry.bytes / 1e6:.1f} MB, SHA-256 {entry.sha256[:_HASH_DIGITS]}…"
        + (", INT8 beside it" if entry.int8 else ""),
        "speed here": "" if entry.mm2_per_minute is None else f"{entry.mm2_per_minute:.3g} mm² a minute",
    }
    console = Console(highlight=False)
    console.print(Text.assemble((entry.name, "bold"), f"  {where}"), overflow="fold")
    table = Table(show_header=False, box=None, padding=(0, 1, 0, 2))
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))
    console.print(table)
