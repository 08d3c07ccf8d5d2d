"""The ledger of a batch: rows survive processes, and processes each other."""

from __future__ import annotations

import contextlib
import csv
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import OutputError
from wsi_nucssl.ledger import LOG, TABLE, Ledger, Row


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, now=lambda: 1_800_000_000.0)


def test_a_slide_waits_runs_and_is_done(ledger: Ledger) -> None:
    ledger.enter([("slides/a.svs", "a.geojson"), ("slides/b.svs", "b.geojson")])
    assert [row.state for row in ledger.rows().values()] == ["waiting", "waiting"]
    _, begun = ledger.begin("a.geojson", "1.0")
    assert ledger.rows()["a.geojson"] == Row(
        "slides/a.svs", "a.geojson", "running", 1, "2027-01-15T08:00:00+00:00", versions="1.0"
    )
    ledger.put(replace(begun, state="done", nuclei=12, per_mm2=3.5, tissue_mm2=0.25, sha256="ab"))
    done = ledger.rows()["a.geojson"]
    assert (done.state, done.attempts, done.nuclei, done.per_mm2, done.sha256) == ("done", 1, 12, 3.5, "ab")
    assert ledger.rows()["b.geojson"].state == "waiting"


def test_a_slide_that_fails_and_is_tried_again_forgets_its_error(ledger: Ledger) -> None:
    ledger.enter([("a.svs", "a.geojson")])
    why = 'it is damaged, "they" say\nand more'
    failed = replace(ledger.begin("a.geojson", "")[1], state="failed", error=why, remedy="Scan it again")
    ledger.put(failed)
    assert ledger.rows()["a.geojson"] == failed
    before, _ = ledger.begin("a.geojson", "")
    assert before == failed
    assert (ledger.rows()["a.geojson"].attempts, ledger.rows()["a.geojson"].error) == (2, "")


def test_entering_again_keeps_what_is_known(ledger: Ledger) -> None:
    ledger.enter([("a.svs", "a.geojson")])
    ledger.put(replace(ledger.begin("a.geojson", "")[1], state="done", nuclei=3))
    ledger.enter([("moved/a.svs", "a.geojson"), ("b.svs", "b.geojson")])
    assert [(row.path, row.state) for row in ledger.rows().values()] == [
        ("moved/a.svs", "done"),
        ("b.svs", "waiting"),
    ]


def test_the_log_has_a_line_for_each_change(ledger: Ledger) -> None:
    ledger.enter([("a.svs", "a.geojson")])
    ledger.put(replace(ledger.begin("a.geojson", "")[1], state="failed", error="two\nlines"))
    lines = (ledger.folder / LOG).read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["running", "failed"]
    assert all(line.startswith("2027-01-15T08:00:00+00:00 ") for line in lines)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    ledger.enter([(text, "a")])
    ledger.put(replace(ledger.begin("a", "")[1], state="failed", error=text, remedy=text))
    row = ledger.rows()["a"]
    assert (row.path, row.error, row.remedy) == (text, text, text)


def test_tables_are_read_by_others(ledger: Ledger) -> None:
    ledger.enter([("a.svs", "a.geojson")])
    with (ledger.folder / TABLE).open(newline="") as file:
        (row,) = csv.DictReader(file)
    expected = asdict(Row("a.svs", "a.geojson"))
    assert row == {name: "" if value is None else str(value) for name, value in expected.items()}


@pytest.mark.parametrize(
    "text", ["\xff\xfe".encode("latin1"), b'path,output,nuclei\na,b,"many"\n', b"a\nb\n"]
)
def test_a_damaged_table_is_named(ledger: Ledger, text: bytes) -> None:
    (ledger.folder / TABLE).write_bytes(text)
    with pytest.raises(OutputError, match=TABLE):
        ledger.enter([("a.svs", "a.geojson")])
    assert (ledger.folder / TABLE).read_bytes() == text


@pytest.mark.parametrize(
    "text", ["path,mpp,output,patient\na.svs,0.5,one,p1\n", "path,output\na.svs,b\n", "x;y\n1;2\n"]
)
def test_somebodys_table_is_not_replaced(ledger: Ledger, text: str) -> None:
    (ledger.folder / TABLE).write_text(text)
    with pytest.raises(OutputError, match="no ledger of ours") as caught:
        ledger.enter([("a.svs", "a.geojson")])
    assert "Remove" not in str(caught.value.remedy)
    assert (ledger.folder / TABLE).read_text() == text


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_text("a slide")
    with pytest.raises(OutputError, match="not a folder"):
        Ledger(tmp_path / "a.svs").rows()


def test_wherever_a_table_is_cut_it_is_seen(ledger: Ledger) -> None:
    names = ["a.geojson", "it's.geojson", "both \"' of them.geojson", "n\nl.geojson"]
    ledger.enter((f"{name}.svs", name) for name in names)
    for name in names:
        ledger.put(replace(ledger.begin(name, "")[1], state="done", nuclei=3, error="because, output='z'"))
    assert ledger.logged() == {*names}
    whole = (ledger.folder / TABLE).read_bytes()
    for length in range(len(whole) - 2):
        (ledger.folder / TABLE).write_bytes(whole[:length])
        with contextlib.suppress(OutputError):
            assert ledger.logged() - {*ledger.rows()}, length


def test_processes_side_by_side_lose_no_row(tmp_path: Path) -> None:
    code = (
        "import sys; from dataclasses import replace; from pathlib import Path; from wsi_nucssl.ledger import Ledger\n"
        "ledger, mine = Ledger(Path(sys.argv[1])), [f'{sys.argv[2]}-{i}' for i in range(15)]\n"
        "ledger.enter((f'{name}.svs', name) for name in mine)\n"
        "for name in mine: ledger.put(replace(ledger.begin(name, '')[1], state='done'))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    rows = Ledger(tmp_path).rows()
    assert {(row.output, row.state, row.attempts) for row in rows.values()} == {
        (f"{n}-{i}", "done", 1) for n in range(4) for i in range(15)
    }
    assert len((tmp_path / LOG).read_text().splitlines()) == 4 * 15 * 2
