"""What people give to a job, as the rooms below want it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wsi_nucssl.errors import UsageError

if TYPE_CHECKING:
    from wsi_nucssl.train.recipe import RecipeFile

PathArgument = str | PathLike[str]
Paths = PathArgument | Sequence[PathArgument]
AnyRecipe = TypeVar("AnyRecipe", bound="RecipeFile")


def paths(name: str, given: Paths) -> tuple[Path, ...]:
    """One path or several, as paths.

    Raises
    ------
    UsageError
        One of them is none.
    """
    several = (given,) if isinstance(given, str | PathLike) else tuple(given)
    if not all(isinstance(each, str | PathLike) for each in several):
        raise UsageError(f"⟨{name}⟩ are paths, not {given!r}")
    return tuple(map(Path, several))


def recipe_of(kind: type[AnyRecipe], given: PathArgument | Mapping[str, Any] | AnyRecipe | None) -> AnyRecipe:
    """A recipe from a YAML file, from values by name, or as it is; the defaults if nothing is given.

    Raises
    ------
    UsageError
        No such file, an unknown name or a value out of range.
    """
    if isinstance(given, str | PathLike):
        return kind.load(Path(given))
    return kind.parse(dict(given or {})) if given is None or isinstance(given, Mapping) else given
