"""Metrics are records: units, names, the table of the documentation, and one that a package adds."""

from __future__ import annotations

import csv
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.outside import documented, install
from tests.train.tiny import write_dataset
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.metrics import METRICS, PERCENT, PX, Unit, score
from wsi_nucssl.metrics.registry import all_metrics

DOCS = Path(__file__).parents[2] / "docs" / "benchmark.md"


def test_each_metric_has_a_unit_a_line_and_its_own_name() -> None:
    for metric in all_metrics():
        assert METRICS.get(metric.name) is metric
        assert "\n" not in metric.help
        assert metric.help
    units = {metric.name: metric.unit for metric in all_metrics()}
    assert units.pop("hausdorff") == PX
    assert set(units.values()) == {PERCENT}
    assert [metric.name for metric in all_metrics() if not metric.higher_is_better] == ["hausdorff"]


def test_the_documentation_has_a_line_for_each() -> None:
    lines = DOCS.read_text().splitlines()
    for metric in all_metrics():
        definition = f"[{metric.help}]({metric.paper})" if metric.paper else metric.help
        better = "higher" if metric.higher_is_better else "lower"
        assert (
            f"| `{metric.name}` | {metric.title} | {metric.unit.symbol} | {better} | {definition} |" in lines
        )


def test_a_value_is_shown_in_its_unit() -> None:
    aji, hausdorff = METRICS.get("aji"), METRICS.get("hausdorff")
    assert (aji.text(0.3217), aji.heading, aji.column) == ("32.17", "AJI", "aji")
    assert (hausdorff.text(3.2), hausdorff.heading, hausdorff.column) == (
        "3.20",
        "Hausdorff, px",
        "hausdorff_px",
    )
    assert Unit("nuclei").text(-2) == "−2.00"
    assert PERCENT.text(math.nan) == "–"


def test_scores_are_items_and_attributes() -> None:
    labels = np.eye(5, dtype=np.int32)
    scores = score(labels, labels)
    assert tuple(scores) == METRICS.names
    assert scores.aji == scores["aji"] == 1
    assert {"aji", "hausdorff"} <= set(dir(scores))
    assert dict(pickle.loads(pickle.dumps(scores))) == dict(scores)
    with pytest.raises(AttributeError, match=r"'ajj' among aji, aji_plus"):
        _ = scores.ajj


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A package with a metric, as pip would leave it in a folder of sys.path: one file, one line."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "miscount", METRICS.group, "miscount = miscount:MISCOUNT", documented("miscount.py"))
    return folder


def command(site: Path, *words: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "wsi_nucssl_cli", *map(str, words)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_metric_from_outside_stands_in_every_report(site: Path, tmp_path: Path) -> None:
    data, theirs, out = write_dataset(tmp_path / "data", images=2), tmp_path / "theirs", tmp_path / "out"
    theirs.mkdir()
    for sample in open_dataset(data):
        labels = sample.labels()
        np.save(theirs / f"{sample.id}.npy", np.where(labels <= 2, 0, labels))  # two nuclei are missed
    done = command(site, "benchmark", data, "--predictions", theirs, "-o", out)
    assert done.returncode == 0, done.stderr
    content = json.loads((out / "results.json").read_text())
    assert content["metrics"]["miscount"]["unit"] == "nuclei"
    assert content["models"]["theirs"]["mean"]["miscount"] == 2
    lines = (out / "results.md").read_text().splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("| model | AJI |"))
    table = dict(zip(lines[header].split(" | "), lines[header + 2].split(" | "), strict=True))
    assert table["miscount, nuclei"] == "2.00"
    with (out / "results.csv").open(newline="") as file:
        assert [float(line["miscount_nuclei"]) for line in csv.DictReader(file)] == [2, 2]


def test_a_misnamed_metric_is_refused(site: Path, tmp_path: Path) -> None:
    entries = site / "miscount-1.2.dist-info" / "entry_points.txt"
    entries.write_text("[wsi_nucssl.metrics]\nother = miscount:MISCOUNT\n")
    data = write_dataset(tmp_path / "data", images=1)
    done = command(site, "benchmark", data, "--predictions", data / "labels", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "the metric 'miscount' is announced as 'other'" in " ".join(done.stderr.split())
