"""OpenSlide in processes of its own: a tile that makes it crash or hang ends one of them, not a batch.

Each thread that reads takes a free child, so that threads read side by side as they would in one process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from wsi_nucssl.errors import SlideError
from wsi_nucssl.guarded import ChildEndedError, KeptChild
from wsi_nucssl.locations import Location
from wsi_nucssl.photometric import flatten_alpha
from wsi_nucssl.slide.base import RGB
from wsi_nucssl.slide.source import closed

_Made = TypeVar("_Made")

READ_SECONDS: Final = 60
"""For one region; those of a slow disk take seconds."""

_CHILD: Final = """
try:
    slide = openslide.OpenSlide(sys.argv[1])
    answer({
        "sizes": slide.level_dimensions,
        "downsamples": slide.level_downsamples,
        "properties": dict(slide.properties),
        "associated": sorted(slide.associated_images),
    })
except openslide.OpenSlideError as error:
    answer({"error": str(error)})
    sys.exit()

def read(what, *where):
    if what == "region":
        x, y, level, width, height = where
        return slide.read_region((x, y), level, (width, height))
    if what == "icc":
        return slide.read_region((0, 0), slide.level_count - 1, (1, 1))
    return slide.associated_images[where[0]]

for request in requests():
    try:
        image = read(*request)
    except openslide.OpenSlideError as error:
        answer({"error": str(error)})
        continue
    if request[0] == "icc":
        answer({}, image.info.get("icc_profile") or b"")
    else:
        answer({"size": image.size}, image.tobytes())
"""


class OpenSlideRefusedError(Exception):
    """OpenSlide's own error, in its words."""


@dataclass(slots=True)
class OpenSlideChildren:
    """One slide, open in as many children as threads read it at once.

    Attributes
    ----------
    path : Path
        The slide.
    facts : dict
        Sizes and downsamples of levels, properties, names of associated images.

    Raises
    ------
    OpenSlideRefusedError
        OpenSlide does not open it.
    SlideError
        It crashes or hangs over it.
    """

    path: Path
    facts: dict[str, Any] = field(init=False)
    _free: list[KeptChild] = field(init=False, default_factory=list)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _owner: int = field(init=False, default_factory=os.getpid)
    _is_closed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        first, self.facts = self._started()
        self._free.append(first)

    def region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> RGB:
        """What OpenSlide's `read_region` gives, on white: uint8 RGB (row, col, 3).

        Raises
        ------
        OpenSlideRefusedError, SlideError
            It cannot be read; OpenSlide crashes or hangs over it.
        """
        return self._ask(_rgb, "region", *location, level, *size)

    def associated(self, name: str) -> RGB:
        """An associated image; raises as `region`."""
        return self._ask(_rgb, "associated", name)

    def icc_profile(self) -> bytes:
        """Its ICC profile, empty if there is none; raises as `region`."""
        return self._ask(lambda _, data: bytes(data), "icc")

    def close(self) -> None:
        """End the children. Closing twice is fine."""
        with self._lock:
            self._is_closed = True
            free, self._free = self._free, []
        if self._owner == os.getpid():
            for child in free:
                child.close()

    def _ask(self, make: Callable[[dict[str, Any], bytes | memoryview], _Made], *request: object) -> _Made:
        """What `make` makes of an answer, while its bytes are there."""
        with self._borrowed() as child:
            try:
                said, data = child.ask(*request)
            except ChildEndedError as error:
                raise _died(self.path, error) from error
            if "error" not in said:
                return make(said, data)
        raise OpenSlideRefusedError(said["error"])

    @contextmanager
    def _borrowed(self) -> Iterator[KeptChild]:
        """A child for one request; one that ended over it is not used again."""
        child = self._taken() or self._started()[0]
        yield child  # what is raised here leaves the child in an unknown state: it is ended with its last mention
        with self._lock:
            if not self._is_closed:
                self._free.append(child)
                return
        child.close()

    def _taken(self) -> KeptChild | None:
        with self._lock:
            if self._is_closed:
                raise closed(self.path)
            if self._owner != os.getpid():  # a fork: the children answer to another process
                self._owner, self._free = os.getpid(), []
            return self._free.pop() if self._free else None

    def _started(self) -> tuple[KeptChild, dict[str, Any]]:
        child = KeptChild("import openslide", _CHILD, os.fspath(self.path), seconds=READ_SECONDS)
        try:
            facts, _ = child.hear()
        except ChildEndedError as error:
            raise _died(self.path, error) from error
        if "error" in facts:
            child.close()
            raise OpenSlideRefusedError(facts["error"])
        return child, facts


def _rgb(said: dict[str, Any], data: bytes | memoryview) -> RGB:
    width, height = said["size"]
    return flatten_alpha(np.frombuffer(data, np.uint8).reshape(height, width, 4))


def _died(path: Location, error: ChildEndedError) -> SlideError:
    return SlideError(
        f"the file is damaged, or OpenSlide cannot cope with it: it {error.ended.fault}",
        path=str(path),
        remedy="Copy or export the slide again; if it opens elsewhere, convert it there to tiled TIFF",
    )
