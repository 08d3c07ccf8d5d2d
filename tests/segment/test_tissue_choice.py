"""Tissue by another way than the default: in the command's options, its record, and as files read and written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wsi_nucssl.errors import OutputExists, UsageError
from wsi_nucssl.locations import locate
from wsi_nucssl.slide.tissue_files import check_tissue


def _header(path: Path) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(path.read_bytes())["wsi_nucssl"]
    return header


def test_tissue_that_was_written_gives_the_same_nuclei(
    sample: Path, tmp_path: Path, segment: Callable[..., Any]
) -> None:
    found, again = tmp_path / "a.geojson", tmp_path / "b.geojson"
    tissue = tmp_path / "tissue" / "t.geojson"
    segment(sample, found, write_tissue=tissue)
    segment(sample, again, tissue=str(tissue))
    first, second = json.loads(found.read_bytes()), json.loads(again.read_bytes())
    assert first["features"] == second["features"] != []
    assert "tissue" not in _header(found)
    assert len(_header(again)["tissue"]) == 64


def test_a_name_is_recorded(sample: Path, tmp_path: Path, segment: Callable[..., Any]) -> None:
    segment(sample, tmp_path / "a.geojson", tissue="none")
    assert _header(tmp_path / "a.geojson")["tissue"] == "none"


def test_tissue_is_not_replaced_and_never_its_own_input(
    sample: Path, tmp_path: Path, segment: Callable[..., Any]
) -> None:
    tissue = tmp_path / "t.geojson"
    segment(sample, tmp_path / "a.geojson", write_tissue=tissue)
    before = tissue.read_bytes()
    with pytest.raises(OutputExists, match=r"t\.geojson"):
        segment(sample, tmp_path / "b.geojson", write_tissue=tissue)
    with pytest.raises(OutputExists, match="input"):
        segment(sample, tmp_path / "b.geojson", tissue=str(tissue), write_tissue=tissue, overwrite=True)
    assert tissue.read_bytes() == before


@pytest.mark.parametrize("given", ["a.geojson", "."])
def test_tissue_does_not_go_where_the_nuclei_go(
    sample: Path, tmp_path: Path, segment: Callable[..., Any], given: str
) -> None:
    slide = shutil.copy(sample, tmp_path / "a.svs")
    with pytest.raises(UsageError, match="one file"):
        segment(slide, tmp_path / "a.geojson", write_tissue=tmp_path / given)
    assert not (tmp_path / "a.geojson").exists()


def test_one_file_is_not_for_several_slides(tmp_path: Path) -> None:
    slides = [locate("a.svs"), locate("b.svs")]
    (file := tmp_path / "t.geojson").touch()
    for method, written in ((str(file), None), ("none", file)):
        check_tissue(slides[:1], method, written)
        with pytest.raises(UsageError, match="2 slides"):
            check_tissue(slides, method, written)
    check_tissue(slides, "none", tmp_path)


@pytest.mark.parametrize("slides", [1, 2])
def test_what_finds_no_tissue_is_refused_before_any_slide_is_opened(tmp_path: Path, slides: int) -> None:
    with pytest.raises(UsageError, match="neither a file nor a way"):
        check_tissue([locate(f"{number}.svs") for number in range(slides)], str(tmp_path / "nowhere"))
