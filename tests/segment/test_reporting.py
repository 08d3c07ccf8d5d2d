"""Who reports on a run is told what is there, and is asked nothing more once it has failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wsi_nucssl.errors import InputError
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.segment.reporting import (
    Guarded,
    NucleiNear,
    Subject,
    near_in_blocks,
    report_path,
    result_of_page,
)
from wsi_nucssl.segment.seam_figure import SeamFigure
from wsi_nucssl.segment.summary import SegmentSummary

SUBJECT: Any = SimpleNamespace(path=Path("n.report.html"))
SUMMARY = SegmentSummary({Path("n.csv"): "0" * 64}, 0, 0.0, 1.0, 1.0, SeamFigure())


def nothing(_: object) -> Iterable[Nuclei]:
    return ()


class Watching:
    """Notes what it is asked, and fails at one of it."""

    def __init__(self, fails_at: int = -1) -> None:
        self.fails_at = fails_at
        self.asked: list[str] = []

    def note(self, name: str) -> None:
        self.asked.append(name)
        if len(self.asked) == self.fails_at:
            raise InputError("no luck", path=Path("x.csv"))

    def see(self, _: Nuclei) -> None:
        self.note("see")

    def write(self, summary: SegmentSummary, seconds: Mapping[str, float], near: NucleiNear) -> None:
        assert (summary, seconds, near) == (SUMMARY, {"network": 2.0}, nothing)
        self.note("write")


@pytest.mark.parametrize("fails_at", [-1, 1, 2, 3])
def test_after_a_fault_nothing_is_asked_and_the_fault_is_said(fails_at: int) -> None:
    watching, tables = Watching(fails_at), [Nuclei.empty() for _ in range(2)]

    def begin(subject: Subject) -> Watching:
        assert subject is SUBJECT
        return watching

    guarded = Guarded(begin, SUBJECT)
    passed = [*guarded.seen(tables)]
    assert [id(each) for each in passed] == [id(each) for each in tables]
    summary = guarded.write(SUMMARY, {"network": 2.0}, nothing)
    assert watching.asked == ["see", "see", "write"][: fails_at if fails_at > 0 else 3]
    if fails_at < 0:
        assert summary is SUMMARY
    else:
        (doubt,) = summary.doubts
        assert (doubt.kind, summary.outputs) == ("no-report", SUMMARY.outputs)
        assert "n.report.html was not written (x.csv: no luck)" in doubt.what


def test_blocks_that_a_nucleus_may_reach_a_box_from_are_read_and_no_others() -> None:
    blocks = list(TileGrid(Size(3000, 3000), Size(500, 500)))
    read: list[tuple[int, int]] = []

    def table(block: Any) -> Nuclei:
        read.append((block.row, block.col))
        return Nuclei.empty()

    work: Any = SimpleNamespace(plan=SimpleNamespace(active=blocks), table=table)
    near = near_in_blocks(work, lambda tables: [*tables] * 2)
    assert len([*near([Box(1200, 1200, 1300, 1300)])]) == 2
    assert read == [(2, 2)]
    read.clear()
    boxes = [Box(1100, 700, 1200, 800), Box(1110, 720, 1120, 730), Box(2800, 2250, 2900, 2300)]
    assert len([*near(boxes)]) == 6
    assert read == [(1, 1), (1, 2), (4, 5)]  # 100 px from the first box's, and each once
    read.clear()
    assert [*near([])] == []
    assert read == []


@pytest.mark.parametrize("name", ["n.geojson", "n.geojson.gz", "n.csv", "n.parquet"])
def test_a_report_lies_beside_its_outputs(tmp_path: Path, name: str) -> None:
    assert report_path(tmp_path / name) == tmp_path / "n.report.html"


def test_a_page_is_ours_if_it_says_so_where_ours_do(tmp_path: Path) -> None:
    page, said = tmp_path / "n.report.html", f'<meta name="wsi-nucssl-output" content="{"ab" * 32}">'
    assert result_of_page(page) is None
    page.write_text("<html>")
    assert result_of_page(page) is None
    page.write_text(f"<html><head>{said}")
    assert result_of_page(page) == "ab" * 32
    page.write_text(f"<html><head>{said.replace('abab', 'xy', 1)}")
    assert result_of_page(page) is None
