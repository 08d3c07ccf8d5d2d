"""Packages from outside that are installed for a test: a module, and the metadata that pip would write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wsi_nucssl.registry import Registry

EXTENDING = Path(__file__).parent.parent / "docs" / "extending.md"


def documented(name: str) -> str:
    """The file that docs/extending.md shows under its name, as a reader would copy it."""
    found = re.search(rf"^```\w+\n# {re.escape(name)}\n(.*?)^```$", EXTENDING.read_text(), re.M | re.S)
    assert found, f"{EXTENDING.name} shows no {name}"
    return found[1]


def install(site: Path, package: str, group: str, entry: str, code: str = "thing = 'from outside'\n") -> None:
    """A package of one module, as pip would leave it in a folder of sys.path."""
    (site / f"{package}.py").write_text(code)
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")


@contextmanager
def installed(site: Path, registry: Registry[Any], package: str, entry: str, code: str) -> Iterator[None]:
    """While it lasts, the package is on sys.path and the registry has looked again at what is installed."""
    install(site, package, registry.group, entry, code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        vars(registry).pop("_plugins", None)
        yield
    vars(registry).pop("_plugins", None)
