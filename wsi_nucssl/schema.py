"""What a network answers: named planes, how they become nuclei, and which types of nuclei it tells apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from wsi_nucssl.checks import as_whole
from wsi_nucssl.errors import UsageError

BODY_BOUNDARY: Final = "body-boundary"
METHODS: Final[dict[str, tuple[str, ...]]] = {BODY_BOUNDARY: ("background", "body", "boundary")}
"""Each way from planes to nuclei, and the planes that it takes: `nuclei.instances` is the one."""

_HEMATOXYLIN: Final = "hematoxylin_od"
_MOST_TYPES: Final = 64
_COLORS: Final = (
    (230, 60, 60),
    (60, 160, 60),
    (50, 100, 220),
    (240, 180, 30),
    (150, 70, 200),
    (30, 180, 190),
    (230, 110, 180),
    (130, 100, 60),
)
"""Of types of which nobody says a colour; they repeat."""


@dataclass(frozen=True, slots=True)
class NucleusType:
    """A type of nuclei, as QuPath's classes are: a name and an RGB colour.

    Raises
    ------
    UsageError
        The name is empty or has a line break, or the colour is not three bytes.
    """

    name: str
    color: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise UsageError(
                f"a type of nuclei cannot be called {self.name!r}", remedy="Give it a plain name"
            )
        levels = [as_whole(level) for level in self.color]
        if len(levels) != 3 or any(level is None or not 0 <= level <= 255 for level in levels):
            raise UsageError(
                f"the colour of {self.name!r} is {self.color}", remedy="Give R, G, B from 0 to 255"
            )


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """What a network answers for each px.

    Attributes
    ----------
    planes : tuple of str
        Classes of px, of which each px is one: the first channels of the network.
    instances : str
        How they become nuclei, a name of `METHODS`.
    types : tuple of NucleusType
        Types of nuclei, of which each nucleus is one: a channel each, after the planes. None by default.

    Raises
    ------
    UsageError
        There is no such method, it takes other planes, or two types have one name.
    """

    planes: tuple[str, ...] = METHODS[BODY_BOUNDARY]
    instances: str = BODY_BOUNDARY
    types: tuple[NucleusType, ...] = ()

    def __post_init__(self) -> None:
        if METHODS.get(self.instances) != self.planes:
            raise UsageError(
                f"planes {', '.join(self.planes)} by {self.instances!r} are unknown to this version",
                remedy="Update wsi-nucssl",
            )
        names = self.type_names
        if len(set(names)) < len(names) or len(names) > _MOST_TYPES:
            raise UsageError(
                f"types of nuclei are at most {_MOST_TYPES}, each name once, not {', '.join(names)}"
            )

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types' names, in order."""
        return tuple(each.name for each in self.types)

    @property
    def channels(self) -> int:
        """Channels of the network's answer."""
        return len(self.planes) + len(self.types)

    @property
    def predicted(self) -> tuple[str, ...]:
        """What engines give of it, in 255ths: all planes but the background, then the types."""
        return (*self.planes[1:], *(f"type {name}" for name in self.type_names))

    @property
    def stored(self) -> tuple[str, ...]:
        """What is kept of a slide and extracted from: what is predicted, and last what needs no network."""
        return (*self.predicted, _HEMATOXYLIN)

    def as_header(self) -> dict[str, Any]:
        """Its members of a model's header: of a schema without types, what headers said before there were any."""
        if not self.types:
            return {"classes": self.planes}
        return {"schema": {"planes": self.planes, "instances": self.instances, "types": self.types_header()}}

    def types_header(self) -> list[dict[str, Any]]:
        """The types as JSON values."""
        return [{"name": each.name, "color": [*each.color]} for each in self.types]

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """The schema of a header that `as_header` is part of; a header that says nothing has the default.

        Raises
        ------
        UsageError
            This version does not know it.
        KeyError, TypeError, ValueError
            It is none.
        """
        if "schema" not in header:
            return cls(tuple(header.get("classes", METHODS[BODY_BOUNDARY])))
        stated = dict(header["schema"])
        types = types_of(stated.pop("types"))
        return cls(tuple(stated.pop("planes")), **stated, types=types)


UNTYPED: Final = OutputSchema()
"""Body, boundary and background, and no types."""


def types_of(values: Iterable[Mapping[str, Any]]) -> tuple[NucleusType, ...]:
    """Types from JSON values, as `OutputSchema.types_header` gives them.

    Raises
    ------
    UsageError, KeyError, TypeError, ValueError
        They are none.
    """
    return tuple(NucleusType(each["name"], tuple(each["color"])) for each in values)


def typed(names: Iterable[str]) -> OutputSchema:
    """The schema of body, boundary and types of these names, each with a colour of its own."""
    return OutputSchema(
        types=tuple(NucleusType(name, _COLORS[place % len(_COLORS)]) for place, name in enumerate(names))
    )
