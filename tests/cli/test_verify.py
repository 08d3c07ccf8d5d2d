"""`wsi-nucssl verify`: exit code 0 or 5, a line and a remedy for each fault, JSON, repair."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import Ended
from tests.segment import fakes
from wsi_nucssl.slide import RGB

Cli = Callable[..., Ended]


@pytest.fixture
def batch(cli: Cli, pixels: RGB, weights: Path, tmp_path: Path) -> Path:
    slides = [
        fakes.write_slide(tmp_path / f"{name}.tif", pixels[:, first:])
        for name, first in (("a", 0), ("b", 90))
    ]
    assert cli("segment", *slides, "-o", tmp_path / "out", "--model", weights, "-q").code == 0
    return tmp_path / "out"


def test_all_well_is_0(cli: Cli, batch: Path, weights: Path) -> None:
    ended = cli("verify", batch, "--slide", batch.parent, "--model", weights)
    assert ended.code == 0
    assert "all is well: 5 looked at" in ended.out
    assert cli("verify", batch, "--quiet").out == ""


def test_faults_are_5_and_a_list(cli: Cli, batch: Path) -> None:
    (batch / "a.geojson").unlink()
    (batch / "b.geojson").write_text((batch / "b.geojson").read_text()[:-99])
    ended = cli("verify", batch)
    assert ended.code == 5
    lines = ended.out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert sum(line.startswith("fault") for line in lines) == 3
    assert sum("→" in line for line in lines) == 3
    assert "error: 3 faults in 2 of 5 things that were looked at" in ended.err
    told = json.loads(cli("verify", batch, "--json").out)
    assert not told["well"]
    faults = [fault for each in told["checked"] for fault in each["faults"]]
    assert [fault["kind"] for fault in faults] == ["absent", "damaged", "changed"]
    assert all("--repair" in fault["remedy"] for fault in faults)


def test_repair_makes_them_again(cli: Cli, batch: Path, weights: Path) -> None:
    before = (batch / "a.geojson").read_bytes()
    (batch / "a.geojson").unlink()
    ended = cli("verify", batch, "--repair", "--model", weights)
    assert ended.code == 0
    assert "repaired" in ended.out
    assert (batch / "a.geojson").read_bytes() == before


def test_a_slide_that_is_none_is_4(cli: Cli, batch: Path) -> None:
    assert cli("verify", batch, "--slide", batch / "batch.csv").code == 4
    assert cli("verify", batch, "--model", "nonsense").code == 4
