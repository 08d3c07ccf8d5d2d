"""Things by name that packages from outside can add to: readers, exporters, layouts, encoders, tasks, engines, metrics.

A registry holds names and lines of help, and imports what a name stands for when it is asked for, so that choices and
help texts cost nothing. A package adds a thing by an entry point, `name = "package.module:thing"`, in the registry's
group, such as `wsi_nucssl.readers`: https://packaging.python.org/en/latest/specifications/entry-points/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from wsi_nucssl.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A name, where the thing lives, and one line of help.

    Attributes
    ----------
    name : str
        As people type it.
    target : str
        "package.module:attribute".
    help : str
        For choices and tables of the documentation.
    """

    name: str
    target: str
    help: str


class Registry(Generic[T]):
    """The things of one kind.

    Parameters
    ----------
    kind : str
        What one of them is called in messages, such as "reader".
    group : str
        The entry points' group.
    own : Plugin
        What comes with this package, in the order in which choices are listed and, where that matters, tried.
    """

    def __init__(self, kind: str, group: str, *own: Plugin) -> None:
        self.kind, self.group, self.own = kind, group, own

    @cached_property
    def _plugins(self) -> dict[str, Plugin]:
        plugins = {plugin.name: plugin for plugin in self.own}
        for entry in sorted(entry_points(group=self.group)):
            plugin = _from_outside(entry)
            other = plugins.setdefault(plugin.name, plugin)
            if other != plugin:
                raise UsageError(
                    f"two {self.kind}s are called {plugin.name!r}: {other.target} and {plugin.target}",
                    remedy="Uninstall the package of one of them",
                )
        return plugins

    def __iter__(self) -> Iterator[Plugin]:
        return iter(self._plugins.values())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.own_names or name in self._plugins)

    def in_turn(self) -> Iterator[T]:
        """Each thing, imported as it is reached; what else is installed is looked at after ours."""
        yield from map(self.get, self.own_names)
        yield from map(self.get, self.names[len(self.own) :])

    @property
    def names(self) -> tuple[str, ...]:
        """Ours in their order, then those from outside by name."""
        return tuple(self._plugins)

    @property
    def own_names(self) -> tuple[str, ...]:
        """Of those that come with this package, without a look at what else is installed."""
        return tuple(plugin.name for plugin in self.own)

    def table(self) -> str:
        """Names and help of ours as a Markdown table, as the documentation shows them."""
        rows = [f"| `{plugin.name}` | {plugin.help} |" for plugin in self.own]
        return "\n".join([f"| {self.kind} | |", "|---|---|", *rows])

    def get(self, name: str) -> T:
        """The thing of that name.

        Raises
        ------
        UsageError
            There is none, or the package that adds it cannot be imported.
        """
        plugin = next((each for each in self.own if each.name == name), None)
        if plugin is None and isinstance(name, str):
            plugin = self._plugins.get(name)
        if plugin is None:
            raise UsageError(f"no {self.kind} {name!r}", remedy=f"Choose one of {', '.join(self.names)}")
        module, _, attribute = plugin.target.partition(":")
        try:
            return cast(T, getattr(import_module(module), attribute))
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"the {self.kind} {name!r} cannot be imported ({error})",
                remedy=f"Install what {plugin.target} needs",
            ) from error


def _from_outside(entry: EntryPoint) -> Plugin:
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module
    return Plugin(entry.name, entry.value, f"from {package}")
