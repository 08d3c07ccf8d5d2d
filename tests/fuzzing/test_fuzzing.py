"""A small campaign on every run, a large one on demand: damage gives the right pixels or an error with a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fuzzing.bases import BASES
from tests.fuzzing.campaign import FAULTS, ReaderProcess, run, table

SMALL, LARGE = 10, 640


@pytest.fixture
def working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])


def _faults(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["outcome"] in FAULTS]


@pytest.mark.usefixtures("working_directory")
def test_damaged_slides_are_never_silently_wrong(tmp_path: Path) -> None:
    rows = list(run(tmp_path, 1, range(SMALL * len(BASES))))
    assert not _faults(rows)
    outcomes = {row["outcome"] for row in rows}
    assert {"right", "refused"} <= outcomes
    assert f"| all | {len(rows)} |" in table(rows, "kind")


@pytest.mark.fuzz
@pytest.mark.usefixtures("working_directory")
def test_ten_thousand_damaged_slides(tmp_path: Path) -> None:
    rows = list(run(tmp_path, 2, range(LARGE * len(BASES))))
    print(table(rows, "kind"), table(rows, "base"), sep="\n\n")
    assert not _faults(rows)


@pytest.mark.usefixtures("working_directory")
def test_every_base_is_read_and_a_mutation_is_the_same_each_time(tmp_path: Path) -> None:
    first = list(run(tmp_path, 3, range(len(BASES))))
    again = list(run(tmp_path, 3, range(len(BASES))))
    assert [(row["kind"], row["place"]) for row in first] == [(row["kind"], row["place"]) for row in again]
    with ReaderProcess() as reader:
        for name in BASES:
            path = tmp_path / f"base_{name}"
            assert reader.read(path, path)["outcome"] == "right"
