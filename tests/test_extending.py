"""docs/extending.md as a reader would follow it: its files pass the suites, its tables are the registries'."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.outside import EXTENDING, documented, installed
from wsi_nucssl.datasets import LAYOUTS, open_dataset
from wsi_nucssl.engines.registry import ENGINES
from wsi_nucssl.errors import DatasetError, UsageError
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.metrics import METRICS
from wsi_nucssl.models.encoders import ENCODERS
from wsi_nucssl.pretext.groups import SlideGroup, TileSettings
from wsi_nucssl.pretext.slide_pool import SlidePool
from wsi_nucssl.pretext.tasks import TASKS
from wsi_nucssl.registry import Registry
from wsi_nucssl.slide import READERS, open_slide
from wsi_nucssl_cli.app import app

SAMPLE = Path(__file__).parent.parent / "sample_slides" / "sample.svs"

PACKAGES: dict[str, tuple[Registry[Any], str]] = {
    "npy_slides": (READERS, "npy = npy_slides:READER"),
    "case_folders": (LAYOUTS, "cases = case_folders:LAYOUT"),
    "brightness": (TASKS, "brightness = brightness:Brightness"),
    "five_convolutions": (ENCODERS, "five-convolutions = five_convolutions:FAMILY"),
    "double_precision": (ENGINES, "double = double_precision:open_double"),
    "wkt_format": (EXPORTERS, "wkt = wkt_format:WKT"),
    "miscount": (METRICS, "miscount = miscount:MISCOUNT"),
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
TestTheTask = suite("brightness")
TestTheEncoder = suite("five_convolutions")
TestTheEngine = suite("double_precision")
TestTheExporter = suite("wkt_format")
TestTheMetric = suite("miscount")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_shows_the_entry_that_the_tests_install(package: str) -> None:
    registry, entry = PACKAGES[package]
    name, target = entry.split(" = ")
    assert f'[project.entry-points."{registry.group}"]\n{name} = "{target}"\n' in EXTENDING.read_text()


def test_each_kind_is_one_file_and_one_line() -> None:
    """The modules of the page's table are where the registries and the suites are."""
    row = re.compile(r"^\| ([\w ]+) \| `([\w/]+)/` \| `([\w/]+)\.py` \| `testing\.(\w+)` \|$", re.MULTILINE)
    listed = row.findall(EXTENDING.read_text())
    registries = {registry.kind: registry for registry, _ in PACKAGES.values()}
    assert {kind for kind, *_ in listed} == registries.keys()
    for kind, *places in listed:
        folder, module, shown = (place.removesuffix("/__init__").replace("/", ".") for place in places)
        for plugin in registries[kind].own:
            assert plugin.target.startswith(f"wsi_nucssl.{folder}.")
        assert registries[kind] in vars(import_module(f"wsi_nucssl.{module}")).values()
        assert import_module(f"wsi_nucssl.testing.{shown}")


OPTIONS = [
    ("npy_slides", "segment", "--reader"),
    ("brightness", "pretrain", "--task"),
    ("five_convolutions", "pretrain", "--arch"),
    ("double_precision", "segment", "--engine"),
    ("double_precision", "benchmark", "--engine"),
    ("wkt_format", "segment", "--format"),
]


@pytest.mark.parametrize(("package", "command", "option"), OPTIONS)
def test_what_is_from_outside_is_a_choice_of_the_command_line(
    tmp_path: Path, package: str, command: str, option: str
) -> None:
    registry, entry = PACKAGES[package]
    words = [command, str(SAMPLE), "-o", str(tmp_path / "out"), option, "nonsense"]
    name = entry.split(" = ")[0]
    wide = {"COLUMNS": "400"}
    assert name not in CliRunner().invoke(app, words, env=wide).output
    with installed(tmp_path, registry, package, entry, documented(f"{package}.py")):
        refused = CliRunner().invoke(app, words, env=wide)
    assert refused.exit_code != 0
    assert name in refused.output + str(refused.exception)


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


def test_a_reader_of_plain_images_from_outside_is_treated_as_ours(tmp_path: Path) -> None:
    path = tmp_path / "picture.npy"
    np.save(path, np.full((300, 260, 3), 255, np.uint8))
    named = '    name = "npy"'
    code = documented("npy_slides.py").replace(named, f"    is_plain_image = True\n{named}")
    with (
        installed(tmp_path, READERS, "npy_pictures", "npy = npy_pictures:READER", code),
        contextlib.closing(SlidePool()) as pool,
    ):
        group = SlideGroup(path, TileSettings(tile_px=130), pool)
    assert len(group) == 6  # every tile, though all is white and nobody states an mpp


def test_a_layout_from_outside_is_one_of_the_choices(tmp_path: Path) -> None:
    code = documented("case_folders.py")
    with installed(tmp_path, LAYOUTS, "case_folders", "cases = case_folders:LAYOUT", code):
        with pytest.raises(UsageError, match="Choose auto, pannuke, regions, coco, folders, beside, cases"):
            open_dataset(tmp_path, layout="case")
        with pytest.raises(DatasetError, match=r"beside \(.*\); cases \(from case_folders 1\.2\)"):
            open_dataset(tmp_path)


def test_the_tables_are_the_registries() -> None:
    shown: list[Registry[Any]] = [READERS, LAYOUTS, ENGINES, EXPORTERS]
    for registry in shown:
        assert registry.table() in EXTENDING.read_text(), registry.table()
    pages: dict[str, Registry[Any]] = {"datasets": LAYOUTS, "pretrain": TASKS, "models": ENCODERS}
    for name, other in pages.items():
        assert other.table() in EXTENDING.with_name(f"{name}.md").read_text(), other.table()
