"""Slides in folders: known endings, each slide once, and neither its parts nor what we made of it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wsi_nucssl.errors import InputError
from wsi_nucssl.files import read_head
from wsi_nucssl.pictures import is_ours as is_picture_of_ours
from wsi_nucssl.runs import is_run
from wsi_nucssl.slide.registry import PICTURE_ENDINGS, READERS

HIDDEN: Final = "hidden"
OURS: Final = "results of ours"
STORES: Final = "zarr stores"
PARTS: Final = "parts of slides"
ANNOTATIONS: Final = "annotations of images"
UNREADABLE: Final = "folders that may not be read"

_ZARR: Final = ("zarr.json", ".zgroup", ".zarray")
_COMPANION: Final = re.compile(
    r"[ _.-]+(associated|labels?|macro|masks?|overlay|overview|preview|thumb|thumbnail|tissue)$",
    re.IGNORECASE,
)
_IMAGES: Final = {"images", "tissue images"}
_ANNOTATIONS: Final = {"labels", "masks", "annotations"}
_SERIES_UID: Final = re.compile(rb"\x20\x00\x0e\x00UI(.)\x00([0-9.]+)", re.DOTALL)
"""Tag (0020,000E) of DICOM with its length, little-endian, as slides have it."""
_DICOM_ANNOTATIONS: Final = b"1.2.840.10008.5.1.4.1.1.91.1"
"""The class of DICOM objects that hold outlines, as their first bytes name it."""
_META_BYTES: Final = 1 << 10
_HEAD_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds.

    Attributes
    ----------
    folder : Path
        It was looked through with all folders in it.
    slides : tuple of Path
        Below `folder`, in the order of their paths.
    left_out : mapping of str to int
        What else is there, by ending or kind, and how much of it; a folder that was not entered counts as one.
    stores : tuple of Path
        Zarr stores below `folder`, which are among what was left out.
    """

    folder: Path
    slides: tuple[Path, ...]
    left_out: Mapping[str, int]
    stores: tuple[Path, ...] = ()

    @property
    def message(self) -> str:
        """What was found and what was left out, in one line."""
        return self._told(_counted(len(self.slides), "slide"), self.left_out)

    @property
    def message_with_stores(self) -> str:
        """Likewise, for a job that takes stores too."""
        left_out = {kind: count for kind, count in self.left_out.items() if kind != STORES}
        stores = [_counted(len(self.stores), "store")] if self.stores else []
        return self._told(", ".join([_counted(len(self.slides), "slide"), *stores]), left_out)

    def _told(self, taken: str, left_out: Mapping[str, int]) -> str:
        kinds = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
        others = f"; left out: {', '.join(f'{count} {kind}' for kind, count in kinds)}" if kinds else ""
        return f"{self.folder}: {taken}{others}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def slide_endings() -> frozenset[str]:
    """How files end that a reader may understand."""
    return frozenset(ending for reader in READERS.in_turn() for ending in reader.endings)


def slides_in(folder: Path) -> Found:
    """The slides in a folder and in the folders in it.

    Taken is what has an ending that a reader names. Left out are: hidden files; runs, stores and pictures that this
    package made; of a slide of several files (MIRAX, VMS, DICOM) all but the one that opens it; pictures called like a
    scanner's file beside them, such as its label or thumbnail; annotations beside images. Folders that are links are
    entered, each once.

    Raises
    ------
    InputError
        There is no such folder, or it is itself a run or a store.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder", path=folder, remedy="Check its name")
    if is_run(folder) or is_store(folder):
        raise InputError(
            "this is a run or a store, not a folder of slides",
            path=folder,
            remedy="Give slides, or their folder",
        )
    search = _Search(slide_endings())
    slides = sorted(search.below(folder), key=lambda path: path.relative_to(folder).parts)
    return Found(folder, tuple(slides), dict(search.left_out), tuple(sorted(search.stores)))


@dataclass(slots=True)
class _Search:
    """A walk through folders, and what it passed by."""

    endings: frozenset[str]
    left_out: Counter[str] = field(default_factory=Counter)
    stores: list[Path] = field(default_factory=list)
    entered: set[str] = field(default_factory=set)

    def below(self, folder: Path) -> Iterator[Path]:
        real = os.path.realpath(folder)
        if real in self.entered:
            return
        self.entered.add(real)
        try:
            entries = sorted(folder.iterdir())
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            folders = [entry for entry in shown if entry.is_dir()]
        except OSError:
            self.left_out[UNREADABLE] += 1
            return
        self._leave_out(HIDDEN, len(entries) - len(shown))
        yield from self._slides_among([entry for entry in shown if not entry.is_dir()])
        for inner in self._to_enter(folders, shown):
            yield from self.below(inner)

    def _leave_out(self, kind: str, count: int = 1) -> None:
        if count:
            self.left_out[kind] += count

    def _to_enter(self, folders: list[Path], beside: list[Path]) -> Iterator[Path]:
        """Folders that are neither ours, nor annotations, nor the inside of a MIRAX slide or of a QuPath project."""
        inner = {entry.stem for entry in beside if entry.suffix.lower() == ".mrxs"}
        if any(entry.suffix == ".qpproj" for entry in beside):
            inner.add("data")
        is_dataset = any(folder.name.lower() in _IMAGES for folder in folders)
        for folder in folders:
            if folder.name in inner:
                self._leave_out(PARTS)
            elif is_dataset and folder.name.lower() in _ANNOTATIONS:
                self._leave_out(ANNOTATIONS)
            elif (kind := _kind(folder)) == STORES:
                self.stores.append(folder)
                self._leave_out(STORES)
            elif kind:
                self._leave_out(kind)
            else:
                yield folder

    def _slides_among(self, files: list[Path]) -> Iterator[Path]:
        """Of the files of one folder those that are slides; a link that leads nowhere is one that cannot be read."""
        known = []
        for file in files:
            if file.suffix.lower() not in self.endings:
                self._leave_out(file.suffix.lower() or "without ending")
            elif not (file.is_file() or file.is_symlink()):
                self._leave_out("no regular files")
            elif is_picture_of_ours(file):
                self._leave_out(OURS)
            elif file.suffix.lower() == ".dcm" and _DICOM_ANNOTATIONS in read_head(file, _META_BYTES):
                self._leave_out(ANNOTATIONS)
            else:
                known.append(file)
        parts = _parts(known)
        self._leave_out(PARTS, len(parts))
        yield from (file for file in known if file not in parts)


def _kind(folder: Path) -> str:
    """What a folder is that is not entered; "" for one that is."""
    try:
        return STORES if is_store(folder) else OURS if is_run(folder) else ""
    except OSError:
        return UNREADABLE


def is_store(folder: Path) -> bool:
    """True for a zarr store, whoever made it: no slide lies in it."""
    return folder.suffix == ".zarr" or any((folder / name).exists() for name in _ZARR)


def _parts(files: list[Path]) -> set[Path]:
    """Files of one folder that belong to a slide which another of them opens."""
    parts = _dicom_parts([file for file in files if file.suffix.lower() == ".dcm"])
    for file in files:
        if file.suffix.lower() in (".vms", ".vmu"):
            parts |= {file.with_name(name) for name in _named_in(file)} & {*files}
    names = {each for file in files for each in (file.stem, file.name)}
    scans = {each for file in files if not _is_picture(file) for each in (file.stem, file.name)}
    for file in files:
        about = _COMPANION.sub("", file.stem)
        is_companion = about != file.stem and about in names
        if (_is_picture(file) and (file.stem in scans or is_companion)) or (_is_mask(file) and is_companion):
            parts.add(file)
    return parts


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURE_ENDINGS


def _is_mask(file: Path) -> bool:
    """True if its ending is one of those that slides and label images share."""
    return file.suffix.lower() in (".tif", ".tiff")


def _named_in(index: Path) -> set[str]:
    """The files that the text of a VMS or VMU slide names."""
    lines = read_head(index, _HEAD_BYTES).decode("latin1").splitlines()
    return {Path(line.partition("=")[2].strip()).name for line in lines if "=" in line}


def _dicom_parts(files: list[Path]) -> set[Path]:
    """All files of each series but the largest, which stands for the slide; of equal ones the first stays."""
    series: dict[bytes, list[Path]] = {}
    for file in files:
        found = _SERIES_UID.search(read_head(file, _HEAD_BYTES))
        series.setdefault(found[2] if found else str(file).encode(), []).append(file)
    parts: set[Path] = set()
    for each in series.values():
        parts |= {*each} - {max(each, key=lambda file: file.stat().st_size)}
    return parts
