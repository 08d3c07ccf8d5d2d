"""The soak notices what it is there for, and a small one goes well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "right.geojson").write_text("as in peace")
    (folder / "wrong.geojson").write_text("otherwise")
    (folder / "made-up.geojson").write_text("of a file that is no slide")
    (folder / ".right.geojson.0123abcd.partial").write_text("half of")
    return folder


def test_each_fault_is_told_from_what_is_right(outputs: Path) -> None:
    from scripts.soak import judge, sha256s

    right = sha256s(outputs)["right.geojson"]
    truth = {"right.geojson": right, "wrong.geojson": right, "lost.geojson": right}
    slides = ["right.tif", "wrong.tif", "lost.tif", "made-up.svs", "refused.svs"]
    outcomes = {each.slide: each.outcome for each in judge(0, slides, outputs, truth)}
    assert outcomes == {
        "right.tif": "right",
        "wrong.tif": "wrong",
        "lost.tif": "lost",
        "made-up.svs": "wrong",
        "refused.svs": "refused",
        ".right.geojson.0123abcd.partial": "left over",
    }


@pytest.mark.parametrize(
    ("outcome", "fault", "well"),
    [
        ("right", "", True),
        ("refused", "", True),
        ("lost", "", False),
        ("right", "traceback: KeyError", False),
    ],
)
def test_a_report_is_well_only_where_nothing_is_lost_and_no_run_at_fault(
    tmp_path: Path, outcome: str, fault: str, well: bool
) -> None:
    from scripts.soak import report

    (tmp_path / "slides.csv").write_text(f"batch,slide,outcome\n0,a.tif,{outcome}\n")
    (tmp_path / "runs.csv").write_text(f"batch,disturbance,exit_code,fault\n0,killed,-9,{fault}\n")
    text, found = report(tmp_path)
    assert found is well
    assert f"| {outcome} | 1 |" in text
    assert fault in text


@pytest.mark.slow
def test_a_small_soak_loses_nothing(tmp_path: Path) -> None:
    from scripts.soak import report, soak

    soak(tmp_path, 40, seed=1, batch=20, crops=3)
    text, well = report(tmp_path)
    assert well, text
