"""Options whose choices are the names of a registry, of packages from outside too."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import click

from wsi_nucssl.registry import Registry


class PluginName(click.ParamType):  # type: ignore[type-arg]  # not subscriptable before click 8.2
    """One of a registry's names.

    What else is installed is looked up when help is asked for or a name is given that is not our own.
    """

    def __init__(self, registry: Registry[Any]) -> None:
        self.registry = registry
        self.name = registry.kind

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002
        """The names, as help shows them."""
        return f"[{'|'.join(self.registry.names)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself."""
        known = value in self.registry.own_names or value in self.registry.names
        if not known:
            self.fail(f"{value!r} is not one of {', '.join(self.registry.names)}.", param, ctx)
        return str(value)


def listed(registry: Registry[Any]) -> str:
    """Our own names with their lines of help; neighbours of one line together."""
    groups = [
        (text, [each.name for each in some]) for text, some in groupby(registry.own, lambda each: each.help)
    ]
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in groups) + "."
