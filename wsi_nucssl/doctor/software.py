"""Python, and the libraries whose versions matter."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from packaging.requirements import Requirement

from wsi_nucssl.doctor.finding import Check, Finding, doubtful, faulty, fine

_OLDEST, _NEWEST_TRIED = (3, 11), (3, 13)
_SHOWN: Final = ("numpy", "openvino", "torch", "zarr")
_LOADED: Final = ("cv2", "imagecodecs", "numba", "openslide", "scipy", "shapely")
"""Modules with compiled parts that may be there and yet not load; light ones alone."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Which Python runs."""

    version: tuple[int, int, int]
    bits: int


def _interpreter() -> Interpreter:
    return Interpreter(sys.version_info[:3], struct.calcsize("P") * 8)


def judge_python(found: Interpreter) -> Finding:
    """From 3.11 on, in 64 bits."""
    name = ".".join(map(str, found.version))
    what = f"{name}, {found.bits} bits"
    if found.version[:2] < _OLDEST or found.bits != 64:
        return faulty(what, "Install a 64-bit Python of 3.11 to 3.13")
    if found.version[:2] > _NEWEST_TRIED:
        return doubtful(f"{what}: newer than what was tried", "Use Python 3.11 to 3.13 if something fails")
    return fine(what)


@dataclass(frozen=True, slots=True)
class Libraries:
    """What is wanted and what is there.

    Attributes
    ----------
    wanted : mapping of str to str
        Each library and the versions that suit, as "numpy" and "<3,>=1.26".
    installed : mapping of str to str
        Each library that is there and its version.
    broken : mapping of str to str
        Modules that do not load, and why.
    """

    wanted: Mapping[str, str]
    installed: Mapping[str, str]
    broken: Mapping[str, str]


def _libraries() -> Libraries:
    needed = [Requirement(text) for text in requires("wsi-nucssl") or ()]
    wanted = {
        each.name: str(each.specifier)
        for each in needed
        if each.marker is None or each.marker.evaluate({"extra": ""})
    }
    versions = {name: found for name in wanted if (found := _version(name)) is not None}
    return Libraries(wanted, versions, {name: why for name in _LOADED if (why := _why_broken(name))})


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _why_broken(module: str) -> str:
    try:
        import_module(module)
    except (ImportError, OSError) as error:
        return str(error) or type(error).__name__
    return ""


def judge_libraries(found: Libraries) -> Finding:
    """All there, of versions that suit, and those with compiled parts load."""
    missing = [name for name in found.wanted if name not in found.installed]
    unsuitable = [
        f"{name} {number} (wanted {found.wanted[name]})"
        for name, number in found.installed.items()
        if not Requirement(f"{name}{found.wanted[name]}").specifier.contains(number, prereleases=True)
    ]
    again = "Run: pip install --upgrade --force-reinstall wsi-nucssl"
    if missing:
        return faulty(f"not installed: {', '.join(missing)}", again)
    if found.broken:
        return faulty("; ".join(f"{name} does not load ({why})" for name, why in found.broken.items()), again)
    if unsuitable:
        return doubtful(", ".join(unsuitable), "Run: pip install --upgrade wsi-nucssl")
    shown = ", ".join(f"{name} {found.installed[name]}" for name in _SHOWN if name in found.installed)
    return fine(f"all {len(found.wanted)} suit: {shown}")


PYTHON: Final = Check("python", _interpreter, judge_python)
LIBRARIES: Final = Check("libraries", _libraries, judge_libraries)
