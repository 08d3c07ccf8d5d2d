"""Options checked where they enter: a value outside its range is refused with its parameter's name.

Parameters appear in messages as ⟨name⟩ (see `errors.spelled`).
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable
from typing import Any, SupportsFloat, SupportsIndex, get_args

from wsi_nucssl.errors import UsageError

_LONGEST = 100
"""Characters of a value that a message repeats."""


def one_of(name: str, value: object, allowed: Any) -> None:
    """Refuse a value that is none of `allowed`, a `Literal` or an iterable of values.

    Raises
    ------
    UsageError
        It is none of them; the message lists them.
    """
    values: Iterable[object] = get_args(allowed) or allowed
    known = list(values)
    if not any(value == each and type(value) is type(each) for each in known):
        raise UsageError(
            f"no ⟨{name}⟩ is called {value!r}" if isinstance(value, str) else f"⟨{name}⟩ cannot be {value!r}",
            remedy=f"Choose one of {', '.join(map(str, known))}",
        )


def whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number from `least` to `most`.

    Raises
    ------
    UsageError
        It is no whole number, or outside.
    """
    number = as_whole(value)
    if number is None or number < least or (most is not None and number > most):
        raise UsageError(f"⟨{name}⟩ must be a whole number {_range(least, most)}, not {value!r}")


def within(name: str, value: object, least: float, most: float, *, above: bool = False) -> None:
    """Refuse what is no number from `least` to `most`; with `above`, `least` itself is refused too.

    Raises
    ------
    UsageError
        It is no number, not finite, or outside.
    """
    number = as_number(value)
    if number is None or not least <= number <= most or (above and number == least):
        raise UsageError(
            f"⟨{name}⟩ must be a number {'above' if above else 'from'} {least:g} "
            f"{'and at most' if above else 'to'} {most:g}, not {value!r}"
        )


def path(name: str, value: object) -> str:
    """A path as text; what is no text and no path is refused.

    Raises
    ------
    UsageError
        It is none; the message says what was given instead.
    """
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"⟨{name}⟩ must be a path, not {shown(value)}")
    return os.fspath(value)


def class_names(given: object) -> tuple[str, ...]:
    """Names of classes of annotations: one, several, or several in one text, with commas between them.

    Raises
    ------
    UsageError
        One is empty or no text.
    """
    several = (
        given if isinstance(given, Iterable) and not isinstance(given, str) else [given] if given else []
    )
    names = [*several]
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f"a class of annotations is a name, not {shown(name)}", remedy='Such as "Tumor"')
    parts = [part.strip() for name in names for part in name.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def shown(value: object) -> str:
    """A value as a message shows it: as it is where that is short, else what kind of thing it is."""
    kind, shape = type(value).__name__, getattr(value, "shape", None)
    if shape:
        dtype = f"{value.dtype} " if hasattr(value, "dtype") else ""
        return f"{dtype}{kind} of shape {tuple(shape)}"
    text = repr(value)
    return text if len(text) <= _LONGEST and "\n" not in text else f"an object of type {kind}"


def as_number(value: object) -> float | None:
    """A finite real number as a float, numpy's included; None for anything else, text and booleans too."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def as_whole(value: object) -> int | None:
    """A whole number as an int, numpy's included; None for anything else, booleans and 2.0 too."""
    if isinstance(value, bool) or getattr(value, "ndim", 0) != 0 or not isinstance(value, SupportsIndex):
        return None
    return operator.index(value)


def _range(least: int, most: int | None) -> str:
    return f"of at least {least}" if most is None else f"from {least} to {most}"
