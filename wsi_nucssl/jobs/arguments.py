"""What people give to a job, as the rooms below want it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wsi_nucssl import checks
from wsi_nucssl.errors import UsageError
from wsi_nucssl.locations import Location, Url, local, locate

if TYPE_CHECKING:
    from wsi_nucssl.staging import Stage
    from wsi_nucssl.train.recipe import RecipeFile

PathArgument = str | PathLike[str]
Paths = PathArgument | Sequence[PathArgument]
AnyRecipe = TypeVar("AnyRecipe", bound="RecipeFile")


def one_path(name: str, given: PathArgument) -> Path:
    """One path, as a path.

    Raises
    ------
    UsageError
        It is none, or a URL.
    """
    return local(given, name)


def paths(name: str, given: Paths) -> tuple[Path, ...]:
    """One path or several, as paths.

    Raises
    ------
    UsageError
        One of them is none.
    """
    return tuple(one_path(name, each) for each in several(given))


def locations(name: str, given: Paths) -> tuple[Location, ...]:
    """One path or URL or several, as places.

    Raises
    ------
    UsageError
        One of them is none.
    """
    return tuple(locate(each, name) for each in several(given))


def staged_outputs(given: PathArgument) -> tuple[Path, Stage | None]:
    """Where outputs are made, and what brings them to where they belong if that is a URL.

    Raises
    ------
    UsageError
        It is no place that takes files.
    """
    from wsi_nucssl.export.registry import format_of
    from wsi_nucssl.staging import staged

    place = locate(given, "output")
    is_file = isinstance(place, Url) and format_of(Path(place.name)) is not None
    return staged(place, is_file=is_file)


def several(given: Any) -> tuple[Any, ...]:
    """What was given as one or as several, as several; a text or a path is one."""
    is_one = isinstance(given, str | bytes | PathLike) or not isinstance(given, Iterable)
    return (given,) if is_one else tuple(given)


def recipe_of(kind: type[AnyRecipe], given: PathArgument | Mapping[str, Any] | AnyRecipe | None) -> AnyRecipe:
    """A recipe from a YAML file, from values by name, or as it is; the defaults if nothing is given.

    Raises
    ------
    UsageError
        No such file, an unknown name or a value out of range.
    """
    if isinstance(given, str | PathLike):
        return kind.load(Path(given))
    if given is None or isinstance(given, Mapping):
        return kind.parse(dict(given or {}))
    if not isinstance(given, kind):
        raise UsageError(
            f"⟨recipe⟩ is a YAML file, values by name or a {kind.__name__}, not {checks.shown(given)}"
        )
    return given
