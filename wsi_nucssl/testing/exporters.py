"""What a run and whoever reads its outputs rely on, whichever the format.

from wsi_nucssl.testing.exporters import ExporterTests

class TestMyFormat(ExporterTests):
    name = "mine"

    def count(self, path): ...
    def ids(self, path): ...
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei, export
from wsi_nucssl.export.registry import EXPORTERS, format_of, in_order
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.files import sha256_tree
from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei

CONTEXT = ExportContext(
    CanvasTransform(2.0, 0.5, 10.0, 4.0), Mpp(0.25, 0.3), "slide", {"version": "1"}, extent=Size(60, 40)
)
"""A canvas whose px are no squares, neither in level-0 px nor in µm, and which does not start at the origin."""


def make_nuclei() -> Nuclei:
    """Three rectangles: one with a hole that is not in its middle, one truncated."""
    body: NDArray[np.uint8] = np.zeros((40, 60), np.uint8)
    body[2:20, 3:21] = 255
    body[5:8, 6:9] = 0
    body[4:9, 40:52] = 255
    body[24:28, 30:38] = 255
    scene = np.stack([body, np.zeros_like(body), np.full_like(body, 50)])
    nuclei = extract_nuclei(scene, InstanceConfig(regrow_px=0, min_marker_px=0, min_area_px=0))
    return replace(nuclei, truncated=np.array([False, True, False]))


class ExporterTests(ABC):
    """Inherit it, name the format, and read what was written.

    Attributes
    ----------
    name : str
        The format's name in `EXPORTERS`, which is the ending of its files.
    """

    name: ClassVar[str]

    @abstractmethod
    def count(self, path: Path) -> int:
        """How many nuclei the file or folder holds."""

    def ids(self, path: Path) -> Sequence[str] | None:  # noqa: ARG002
        """Their ids in the order in which they stand there; None if the format holds none."""
        return None

    @pytest.fixture
    def exporter(self) -> Exporter:
        """The exporter under test."""
        return EXPORTERS.get(self.name)

    @pytest.fixture
    def context(self) -> ExportContext:
        """What the nuclei stand for; a format that refers to a slide gives one."""
        return CONTEXT

    @pytest.fixture
    def nuclei(self) -> Nuclei:
        """What is written."""
        return make_nuclei()

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Where it is written, in a folder that is empty."""
        return tmp_path / f"nuclei.{self.name}"

    def test_its_name_is_the_ending_of_its_files(self) -> None:
        """By which an output's format is known, and it has a line of help."""
        assert format_of(Path(f"a.b/slide.{self.name}")) == self.name
        assert in_order([self.name]) == (self.name,)
        (plugin,) = (each for each in EXPORTERS if each.name == self.name)
        assert plugin.help
        assert "\n" not in plugin.help

    def test_it_makes_what_it_says(
        self, exporter: Exporter, nuclei: Nuclei, path: Path, context: ExportContext
    ) -> None:
        """A file or a folder, and nothing beside it."""
        assert export({path: exporter}, [nuclei], context) == len(nuclei)
        assert path.is_dir() == exporter.is_folder
        assert [*path.parent.iterdir()] == [path]

    def test_nuclei_are_those_of_the_geojson(
        self, exporter: Exporter, nuclei: Nuclei, path: Path, context: ExportContext
    ) -> None:
        """As many, with the same ids; another slide's have other ones."""
        geojson = path.with_name("other.geojson")
        export({path: exporter, geojson: EXPORTERS.get("geojson")}, nuclei.slices(2), context)
        expected = [feature["id"] for feature in orjson.loads(geojson.read_bytes())["features"]]
        assert self.count(path) == len(expected) == len(nuclei)
        ids = self.ids(path)
        if ids is not None:
            assert [*ids] == expected
            export({path: exporter}, [nuclei], replace(context, identity="another slide"))
            assert not {*expected} & {*(self.ids(path) or ())}

    def test_the_same_tables_give_the_same_bytes_however_cut(
        self, exporter: Exporter, nuclei: Nuclei, path: Path, context: ExportContext
    ) -> None:
        """Blocks depend on settings, and some are empty."""
        export({path: exporter}, [nuclei], context)
        whole = sha256_tree(path)
        export({path: exporter}, [Nuclei.empty(), *nuclei.slices(1), Nuclei.empty()], context)
        assert sha256_tree(path) == whole
        export({path: exporter}, nuclei.slices(2), context)
        assert sha256_tree(path) == whole

    def test_fewer_nuclei_are_other_bytes(
        self, exporter: Exporter, nuclei: Nuclei, path: Path, context: ExportContext
    ) -> None:
        """What was there before is replaced, all of it."""
        export({path: exporter}, [nuclei], context)
        whole = sha256_tree(path)
        export({path: exporter}, [*nuclei.slices(1)][:-1], context)
        assert sha256_tree(path) != whole
        assert self.count(path) == len(nuclei) - 1

    def test_a_slide_without_nuclei_has_an_output(
        self, exporter: Exporter, path: Path, context: ExportContext
    ) -> None:
        """A valid one, that holds none."""
        for tables in ([], [Nuclei.empty()]):
            assert export({path: exporter}, tables, context) == 0
            assert self.count(path) == 0
            assert not self.ids(path)

    def test_what_is_not_whole_does_not_appear(
        self, exporter: Exporter, nuclei: Nuclei, path: Path, context: ExportContext
    ) -> None:
        """Neither under the final name nor under another; what was there stays as it was."""

        def broken() -> Iterator[Nuclei]:
            yield nuclei
            raise RuntimeError

        with pytest.raises(RuntimeError):
            export({path: exporter}, broken(), context)
        assert not [*path.parent.iterdir()]
        export({path: exporter}, [], context)
        before = sha256_tree(path)
        with pytest.raises(RuntimeError):
            export({path: exporter}, broken(), context)
        assert sha256_tree(path) == before
        assert [*path.parent.iterdir()] == [path]

    def test_a_format_that_fails_keeps_it_from_appearing(
        self, exporter: Exporter, nuclei: Nuclei, path: Path, context: ExportContext
    ) -> None:
        """Outputs of one run are those of one pass."""
        with pytest.raises(RuntimeError):
            export({path: exporter, path.with_name("last"): Exporter(fails_at_the_end)}, [nuclei], context)
        assert not [*path.parent.iterdir()]

    def test_several_formats_take_each_table_once(
        self, exporter: Exporter, nuclei: Nuclei, path: Path, context: ExportContext
    ) -> None:
        """In one pass, with the bytes of a pass of its own; tables are shared and left as they are."""
        export({path: exporter}, [nuclei], context)
        alone = sha256_tree(path)
        others = {name: _usable(name, context) for name in EXPORTERS.own_names if name != self.name}
        beside = {path.with_name(f"o.{name}"): other for name, other in others.items() if other}
        outputs = {path: exporter, **beside}
        tables = [*nuclei.slices(1)]
        assert export(outputs, iter(tables), context) == len(nuclei)
        assert sha256_tree(path) == alone
        assert sorted(path.parent.iterdir()) == sorted(outputs)
        export({path: exporter}, tables, context)
        assert sha256_tree(path) == alone

    def test_tables_that_were_written_are_let_go(
        self, exporter: Exporter, nuclei: Nuclei, path: Path, context: ExportContext
    ) -> None:
        """A slide has millions of nuclei."""
        outlines: list[weakref.ref[NDArray[np.int32]]] = []
        held: list[int] = []

        def tables() -> Iterator[Nuclei]:
            for place in range(20):
                table = replace(nuclei, ring_xy=nuclei.ring_xy.copy(), seed_xy=nuclei.seed_xy + 60 * place)
                outlines.append(weakref.ref(table.ring_xy))
                yield table
                held.append(sum(outline() is not None for outline in outlines))

        assert export({path: exporter}, tables(), context) == 20 * len(nuclei)
        assert max(held) <= 3


def _usable(name: str, context: ExportContext) -> Exporter | None:
    """A format whose packages are installed and that is for the slide."""
    try:
        exporter = EXPORTERS.get(name)
        exporter.check(context.slide)
    except UsageError:
        return None
    return exporter


@contextmanager
def fails_at_the_end(path: Path, _: ExportContext) -> Iterator[WriteNuclei]:
    """A format that fails when everything is written."""
    with path.open("w") as file:
        yield lambda nuclei: file.write(str(len(nuclei)))
    raise RuntimeError
