"""docs/extending.md as a reader would follow it: its files pass the suites, its tables are the registries'."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.outside import EXTENDING, documented, installed
from wsi_nucssl.datasets import LAYOUTS, open_dataset
from wsi_nucssl.errors import DatasetError, UsageError
from wsi_nucssl.registry import Registry
from wsi_nucssl.slide import READERS, open_slide

PACKAGES: dict[str, tuple[Registry[Any], str]] = {
    "npy_slides": (READERS, "npy = npy_slides:READER"),
    "case_folders": (LAYOUTS, "cases = case_folders:LAYOUT"),
}
"""The packages of the page, each with its registry and its entry point."""


def suite(package: str) -> type:
    """The class of tests that the page shows for a package, run while the package is installed."""
    registry, entry = PACKAGES[package]
    shown: dict[str, type] = {}
    exec(documented(f"test_{package}.py"), shown)
    (theirs,) = (thing for name, thing in shown.items() if name.startswith("Test"))

    class Installed:
        @pytest.fixture(scope="class", autouse=True)
        @classmethod
        def _installed(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
            site = tmp_path_factory.mktemp("site")
            with installed(site, registry, package, entry, documented(f"{package}.py")):
                yield

    return type(theirs.__name__, (Installed, theirs), {})


TestTheReader = suite("npy_slides")
TestTheLayout = suite("case_folders")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_shows_the_entry_that_the_tests_install(package: str) -> None:
    registry, entry = PACKAGES[package]
    name, target = entry.split(" = ")
    assert f'[project.entry-points."{registry.group}"]\n{name} = "{target}"\n' in EXTENDING.read_text()


def test_a_reader_from_outside_is_one_of_the_choices(tmp_path: Path) -> None:
    path = tmp_path / "slide.npy"
    np.save(path, np.zeros((30, 40, 3), np.uint8))
    code = documented("npy_slides.py")
    with installed(tmp_path, READERS, "npy_slides", "npy = npy_slides:READER", code):
        with open_slide(path) as slide:
            assert slide.reader == "npy"
        with pytest.raises(UsageError, match=r"no reader 'np'\. Choose one of auto, tiff, .*, image, npy"):
            open_slide(path, reader="np")
    with pytest.raises(UsageError, match="no reader 'npy'"):
        open_slide(path, reader="npy")


def test_a_layout_from_outside_is_one_of_the_choices(tmp_path: Path) -> None:
    code = documented("case_folders.py")
    with installed(tmp_path, LAYOUTS, "case_folders", "cases = case_folders:LAYOUT", code):
        with pytest.raises(UsageError, match="Choose auto, pannuke, folders, beside, cases"):
            open_dataset(tmp_path, layout="case")
        with pytest.raises(DatasetError, match=r"beside \(.*\); cases \(from case_folders 1\.2\)"):
            open_dataset(tmp_path)


def test_the_tables_are_the_registries() -> None:
    assert READERS.table() in EXTENDING.read_text(), READERS.table()
    for page in (EXTENDING, EXTENDING.with_name("datasets.md")):
        assert LAYOUTS.table() in page.read_text(), LAYOUTS.table()
