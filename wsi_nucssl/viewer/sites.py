"""Which files the page consists of, and each of them: what a server gives and an export writes.

A path is looked up, never joined to a folder, so that no path leads anywhere else.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import orjson

from wsi_nucssl._version import __version__
from wsi_nucssl.doubts import Doubt
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.slide import Slide
from wsi_nucssl.viewer import layers
from wsi_nucssl.viewer.matching import COUNTS, SIDES
from wsi_nucssl.viewer.pictures import TILE_PX, SlidePictures
from wsi_nucssl.viewer.tiling import INDEX, PLACES, column_file, tile_file

PAGE: Final = "index.html"
VIEW: Final = "view.json"
_PICTURE: Final = re.compile(r"slide/(\d{1,2})/(\d{1,6})_(\d{1,6})\.jpg")
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".bin": "application/octet-stream",
}

Content = bytes | Path
"""What a file holds, or the file that holds it."""


@dataclass(frozen=True, slots=True)
class TiledSet:
    """Nuclei that are shown.

    Attributes
    ----------
    name : str
        What people call them.
    folder : Path
        Their tiles.
    """

    name: str
    folder: Path


@dataclass(frozen=True, eq=False)
class Site:
    """The page of one slide.

    Attributes
    ----------
    slide : Slide
        It stays the caller's to close.
    title : str
        What people call it.
    sets : tuple of TiledSet
        None, one or two.
    matches : Path or None
        The folder that says which nuclei two sets share.
    doubts : tuple of Doubt
        What the page says above all.
    mpp : Mpp or None
        µm per level-0 px.
    """

    slide: Slide
    title: str
    sets: tuple[TiledSet, ...] = ()
    matches: Path | None = None
    doubts: tuple[Doubt, ...] = ()
    mpp: Mpp | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _made: dict[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pictures", SlidePictures(self.slide))
        object.__setattr__(self, "_files", {**_page(), **self._nuclei_files()})

    _pictures: SlidePictures = field(init=False, repr=False)
    _files: Mapping[str, Path] = field(init=False, repr=False)

    def get(self, path: str) -> Content | None:
        """A file of the page by its path; None where there is no such file.

        Raises
        ------
        SlideError
            The slide cannot be read.
        """
        path = path or PAGE
        if path in self._files:
            return self._files[path]
        if path in self._makers:
            with self._lock:
                if path not in self._made:
                    self._made[path] = orjson.dumps(self._makers[path]())
                return self._made[path]
        found = _PICTURE.fullmatch(path)
        if found and self._pictures.has(*(place := (int(found[1]), int(found[2]), int(found[3])))):
            return self._pictures.jpeg(*place)
        return None

    def paths(self) -> Iterator[str]:
        """All of them."""
        yield from self._files
        yield from self._makers
        for level in range(self._pictures.coarsest, self._pictures.top + 1):
            grid = self._pictures.grid(level)
            yield from (
                f"slide/{level}/{col}_{row}.jpg" for row in range(grid.height) for col in range(grid.width)
            )

    @property
    def _makers(self) -> dict[str, Callable[[], Any]]:
        """Files that are made when somebody asks for them, as JSON values."""
        header = self._header()
        return {
            VIEW: self._view,
            "tissue.json": lambda: layers.tissue(self.slide, header),
            "seams.json": lambda: layers.seams(self.slide, header),
        }

    def _header(self) -> Mapping[str, Any]:
        return self._indexes[0].get("header", {}) if self.sets else {}

    @property
    def _indexes(self) -> list[Mapping[str, Any]]:
        return [_index(each.folder) for each in self.sets]

    def _view(self) -> dict[str, Any]:
        size, pictures = self.slide.dimensions, self._pictures
        counts = orjson.loads((self.matches / COUNTS).read_bytes()) if self.matches else None
        return {
            "version": __version__,
            "title": self.title,
            "slide": {
                "width": size.width,
                "height": size.height,
                "mpp": [self.mpp.x, self.mpp.y] if self.mpp else None,
                "tile_px": TILE_PX,
                "top": pictures.top,
                "coarsest": pictures.coarsest,
            },
            "sets": [each.name for each in self.sets],
            "matches": counts,
            "doubts": [str(doubt) for doubt in self.doubts],
        }

    def _nuclei_files(self) -> dict[str, Path]:
        files: dict[str, Path] = {}
        for number, (each, index) in enumerate(zip(self.sets, self._indexes, strict=True)):
            names = [INDEX, PLACES, *(column_file(k) for k in range(len(index["columns"])))]
            names += [tile_file(row, col) for row, col, *_ in index["tiles"]]
            files |= {f"nuclei/{number}/{name}": each.folder / name for name in names}
        if self.matches:
            files |= {f"nuclei/matches/{name}": self.matches / name for name in SIDES}
        return files


@cache
def _index(folder: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = orjson.loads((folder / INDEX).read_bytes())
    return found


@cache
def _page() -> dict[str, Path]:
    """The page's own files, by path."""
    root = Path(str(resources.files("wsi_nucssl.viewer") / "page"))
    files = sorted(file for file in root.rglob("*") if file.suffix in TYPES)
    return {file.relative_to(root).as_posix(): file for file in files}
