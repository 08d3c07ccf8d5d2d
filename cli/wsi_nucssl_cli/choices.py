"""Options whose choices are what a registry holds."""

from __future__ import annotations

from typing import Any

import typer

from wsi_nucssl.registry import Registry


def one_of(registry: Registry[Any], *words: str, help: str) -> Any:
    """An option that takes a name of a registry, or one of a few words.

    The help text lists what comes with this package, a line each; what other packages add is looked for when a name is
    none of these, since that takes longer than showing the help.
    """

    def parse(text: str) -> str:
        if text in (*words, *registry.own_names) or text in registry.names:
            return text
        names = ", ".join(map(repr, (*words, *registry.names)))
        raise typer.BadParameter(f"{text!r} is not one of {names}")

    listed = "; ".join(f"{each.name}: {each.help}" for each in registry.own)
    return typer.Option(parser=parse, metavar="NAME", help=f"{help} {listed}.")
