"""Which image of its file a slide is: one of several scenes, one plane of a focus stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from wsi_nucssl.checks import whole
from wsi_nucssl.errors import SlideError
from wsi_nucssl.locations import Location

_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Part:
    """Where a slide lies in its file.

    Attributes
    ----------
    scenes : tuple of str
        Names of the file's scenes, "" for one without; empty where the reader knows of none.
    scene : int
        Which of them the slide is.
    planes : int
        Planes of its focus stack, 1 if it is none.
    plane : int
        Which of them is read.
    """

    scenes: tuple[str, ...] = ()
    scene: int = 0
    planes: int = 1
    plane: int = 0

    def record(self) -> dict[str, Any]:
        """What a manifest says of it: nothing where the file holds nothing else."""
        found: dict[str, Any] = {}
        if len(self.scenes) > 1:
            found |= {"scene": self.scene, "scene_name": self.scenes[self.scene]}
        return found | ({"focus": self.plane} if self.planes > 1 else {})

    @property
    def choice(self) -> PartChoice:
        """What asks for this part."""
        return PartChoice(
            self.scene if len(self.scenes) > 1 else None, self.plane if self.planes > 1 else None
        )


WHOLE_FILE: Final = Part()
"""The file is one slide."""


@dataclass(frozen=True, slots=True)
class PartChoice:
    """Which part of a file a caller asks for.

    Attributes
    ----------
    scene : str, int or None
        A scene's name, or its number from 0; None takes the only one.
    focus : int or None
        A plane's number from 0; None takes the sharpest.
    """

    scene: str | int | None = None
    focus: int | None = None

    def __post_init__(self) -> None:
        if self.scene is not None and not isinstance(self.scene, str):
            whole("scene", self.scene, 0)
        if self.focus is not None:
            whole("focus", self.focus, 0)

    @classmethod
    def recorded(cls, header: Mapping[str, Any]) -> Self:
        """What `Part.record` wrote; anything where it did not."""
        scene, focus = (
            value if isinstance(value, int) and value >= 0 else None
            for value in (header.get("scene"), header.get("focus"))
        )
        return cls(scene, focus)

    @property
    def suits_one_image(self) -> bool:
        """True if a file that holds one image is what is asked for."""
        return self.scene in (None, 0, "0") and self.focus in (None, 0)

    def scene_of(self, names: Sequence[str], path: Location | str) -> int:
        """The number of the scene that is asked for; `names` has one for each, "" where it has none.

        Raises
        ------
        SlideError
            There is no such scene, or there are several and none is asked for; the message lists them.
        """
        if self.scene is None:
            if len(names) == 1:
                return 0
            raise _unsettled(
                f"it holds {len(names)} images, scenes or planes, and nothing says which is the slide",
                names,
                path,
            )
        named = [number for number, name in enumerate(names) if name and name == self.scene]
        if len(named) > 1:
            raise _unsettled(f"{len(named)} of its scenes are called {self.scene!r}", names, path)
        number = str(self.scene)
        if named or (number.isdecimal() and int(number) < len(names)):
            return named[0] if named else int(number)
        raise _unsettled(f"it has no scene {self.scene!r}", names, path)

    def plane_of(self, planes: int, path: Location | str) -> int | None:
        """The number of the plane that is asked for; None for the sharpest of several.

        Raises
        ------
        SlideError
            There is no such plane.
        """
        if self.focus is None:
            return 0 if planes == 1 else None
        if self.focus < planes:
            return self.focus
        raise SlideError(
            f"it has no focus plane {self.focus}",
            path=str(path),
            remedy="Leave out ⟨focus⟩: it is no focus stack"
            if planes == 1
            else f"Choose ⟨focus⟩ from 0 to {planes - 1}",
        )


ANY_PART: Final = PartChoice()


def _unsettled(what: str, names: Sequence[str], path: Location | str) -> SlideError:
    listed = "; ".join(f"{number}: {_named(name)}" for number, name in enumerate(names[:_LISTED]))
    return SlideError(
        f"{what} ({listed})", path=str(path), remedy="Choose one with ⟨scene⟩, by its name or its number"
    )


def _named(name: str) -> str:
    return name or "without a name"
