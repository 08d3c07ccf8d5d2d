"""Outputs on a real S3 server: the bytes of a local run, whatever dies, and one writer for all hosts."""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

pytest.importorskip("moto.server", reason="moto's server is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed")

from moto.server import ThreadedMotoServer

from tests.segment import fakes
from tests.segment.children import Child, fork_server
from wsi_nucssl.errors import OutputError, OutputLocked, UsageError
from wsi_nucssl.ledger import Ledger, Row
from wsi_nucssl.locations import Url, locate
from wsi_nucssl.locks import Holder
from wsi_nucssl.objects import ObjectFolder
from wsi_nucssl.slide import open_slide
from wsi_nucssl.staging import SCRATCH, Stage, staged

BUCKET = "s3://results"
ELSEWHERE = Holder("node07", 4242, "SLURM 991_3", "2026-01-02T03:04:05+00:00", 1.0)
HOW = ("--format", "geojson,csv", "--batch-size", 1)
"""Window by window, so that there are many moments to die at."""
Begin = Callable[..., Child]

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An S3 server, and the environment by which whoever starts here finds it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv(SCRATCH, str(tmp_path_factory.mktemp("scratch")))
        fsspec.filesystem("s3").mkdir("results")
        yield
    server.stop()


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of some dozen small windows."""
    sample = Path(__file__).parent.parent / "sample_slides" / "sample.svs"
    from wsi_nucssl.geometry import Box

    with open_slide(sample) as opened:
        pixels = opened.read_level(0, Box(500, 400, 2300, 1900))
    return fakes.write_slide(tmp_path_factory.mktemp("slide") / "a.tif", pixels)


@pytest.fixture(scope="module")
def begin(_server: None, slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    with fork_server(slide, tmp_path_factory.mktemp("fork_server") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def plain(begin: Begin, slide: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a local run leaves, by name."""
    out = tmp_path_factory.mktemp("plain")
    assert begin("segment", slide, "-o", out / "a.geojson", *HOW).wait() == 0
    assert begin("tile", slide, "-o", out, "--tile-size", 256).wait() == 0
    files = (path for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A folder of the bucket that no other test has."""
    return f"{BUCKET}/{abs(hash(request.node.nodeid)):x}"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[], dict[str, str]]:
    """The environment of a machine that has nothing of an earlier run."""
    numbers = iter(range(100))
    return lambda: {SCRATCH: str(tmp_path / f"machine{next(numbers)}")}


def objects(place: str) -> dict[str, bytes]:
    folder = ObjectFolder(Url(place))
    return {name: folder.read(name) or b"" for name in folder.names("")}


def outputs(found: dict[str, bytes]) -> dict[str, bytes]:
    """Without what tells times."""
    return {
        name: data
        for name, data in found.items()
        if not name.endswith(("summary.json", ".report.html", "batch.csv", "batch.log", ".batch.tissue.json"))
        and not name.endswith((".batch.lock", ".tissue.lock"))
    }


def segmented(plain: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in outputs(plain).items() if ".zarr" not in name}


def tiled(plain: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in outputs(plain).items() if ".zarr" in name}


def mirrored(place: str, what: str, count: int) -> Callable[[], bool]:
    """Whether so many objects are there whose names hold a text."""
    folder = ObjectFolder(Url(place))
    return lambda: sum(what in name for name in folder.names("")) >= count


def test_nuclei_and_run_are_those_of_a_local_run(
    begin: Begin, slide: Path, plain: dict[str, bytes], place: str
) -> None:
    child = begin("segment", slide, "-o", f"{place}/a.geojson", *HOW)
    assert child.wait() == 0, child.log.read_text()
    assert f"{place}/a.geojson" in child.log.read_text()
    found = objects(place)
    assert outputs(found) == segmented(plain)
    assert "a.geojson.run/summary.json" in found
    assert found["a.report.html"].startswith(b"<!doctype html>")
    again = begin("segment", slide, "-o", f"{place}/a.geojson", *HOW)
    assert again.wait() == 5
    assert "it is there already" in again.log.read_text() or "the output is there" in again.log.read_text()
    assert objects(place) == found
    resumed = begin("segment", slide, "-o", f"{place}/a.geojson", *HOW, "--resume")
    assert resumed.wait() == 0
    assert "done earlier" in resumed.log.read_text()
    assert outputs(objects(place)) == outputs(found)


def test_a_slide_is_read_from_there_too(
    begin: Begin, slide: Path, plain: dict[str, bytes], place: str
) -> None:
    ObjectFolder(Url(place)).put(slide, "slides/a.tif")
    child = begin("segment", f"{place}/slides/a.tif", "-o", f"{place}/out", *HOW)
    assert child.wait() == 0, child.log.read_text()
    found = objects(f"{place}/out")
    assert found["a.geojson"] == plain["a.geojson"]
    assert found["a.csv"] == plain["a.csv"]
    assert b",done," in found["batch.csv"]
    assert b"running" in found["batch.log"]


@pytest.mark.parametrize("same_machine", [pytest.param(True, marks=pytest.mark.slow), False])
def test_killed_and_resumed_it_ends_with_the_same_bytes(
    begin: Begin,
    slide: Path,
    plain: dict[str, bytes],
    place: str,
    same_machine: bool,
    elsewhere: Callable[[], dict[str, str]],
) -> None:
    words = ("segment", slide, "-o", f"{place}/a.geojson", *HOW)
    how = {"environment": elsewhere()}
    for kill, count in (("windows.zarr/c/", 3), ("windows.zarr/c/", 8), ("blocks/", 1)):
        child = begin(*words, "--resume", seconds=1.0, **how)
        assert child.kill_when(mirrored(place, kill, count)) == -signal.SIGKILL, child.log.read_text()
        if not same_machine:
            how = {"environment": elsewhere()}
        there = objects(place).get(
            "a.geojson"
        )  # whole or not at all; a busy machine may kill after the last upload
        assert there is None or (kill == "blocks/" and there == plain["a.geojson"])
    child = begin(*words, "--resume", **how)
    assert child.wait() == 0, child.log.read_text()
    assert outputs(objects(place)) == segmented(plain)


def test_what_another_machine_mirrored_is_not_done_again(
    begin: Begin, slide: Path, place: str, elsewhere: Callable[[], dict[str, str]]
) -> None:
    words = ("segment", slide, "-o", f"{place}/a.geojson", *HOW, "--resume")
    child = begin(*words, seconds=1.0, environment=elsewhere())
    child.kill_when(mirrored(place, "windows.zarr/c/", 6))
    windows = {name: data for name, data in objects(place).items() if "windows.zarr/c/" in name}
    how = elsewhere()
    child = begin(*words, seconds=30, environment=how)  # the first window it would predict keeps it busy
    (scratch,) = (Path(how[SCRATCH]),)

    def fetched() -> bool:
        return len([*scratch.rglob("windows.zarr/c/*/*/0/0/0")]) >= len(windows)

    deadline = time.monotonic() + 60
    while not fetched() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    assert fetched()  # damaged ones, and those that no log knows, would be gone by now
    child.kill(signal.SIGKILL)


def test_tiles_are_those_of_a_local_run_killed_or_not(
    begin: Begin,
    slide: Path,
    plain: dict[str, bytes],
    place: str,
    elsewhere: Callable[[], dict[str, str]],
) -> None:
    words = ("tile", slide, "-o", place, "--tile-size", 256)
    child = begin(*words, environment=elsewhere())
    assert child.kill_when(mirrored(place, "a.zarr/0/", 3)) == -signal.SIGKILL
    assert "a.zarr/zarr.json" not in objects(place)
    child = begin(*words, environment=elsewhere())
    assert child.wait() == 0, child.log.read_text()
    assert outputs(objects(place)) == tiled(plain)
    assert begin(*words, environment=elsewhere()).wait() == 0
    assert outputs(objects(place)) == tiled(plain)


def test_what_another_host_is_at_is_left_alone(
    begin: Begin, slide: Path, plain: dict[str, bytes], place: str
) -> None:
    words = ("segment", slide, "-o", f"{place}/a.geojson", *HOW)
    ObjectFolder(Url(place)).write("a.geojson.lock", ELSEWHERE.text().encode())
    child = begin(*words)
    assert child.wait() == 5
    said = " ".join(child.log.read_text().split())
    assert "process 4242 on node07, job SLURM 991_3" in said
    assert "--break-lock" in said
    assert [*objects(place)] == ["a.geojson.lock"]
    assert begin(*words, "--break-lock").wait() == 0
    assert outputs(objects(place)) == segmented(plain)


def test_who_was_robbed_puts_nothing_more(place: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage", ObjectFolder(Url(place)))
    output = stage.folder / "a.csv"

    def write_late() -> None:
        with stage.holding([output]):
            stage.objects.write("a.csv.lock", ELSEWHERE.text().encode())
            output.write_text("late")

    with pytest.raises(OutputLocked, match="taken this output over"):
        write_late()
    assert "a.csv" not in objects(place)


def test_one_of_two_processes_of_a_host_holds_an_output(place: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage", ObjectFolder(Url(place)))
    output = stage.folder / "a.csv"
    with (
        stage.holding([output]),
        pytest.raises(OutputLocked, match=socket.gethostname()),
        stage.holding([output], break_lock=True),
    ):
        raise AssertionError


def test_of_several_that_create_an_object_one_does(place: str) -> None:
    folder = ObjectFolder(Url(place))
    with ThreadPoolExecutor(8) as pool:
        made = [*pool.map(lambda n: folder.create("one", str(n).encode()), range(16))]
    assert sum(made) == 1
    assert folder.read("one") == str(made.index(True)).encode()


def test_several_processes_keep_one_ledger(place: str, tmp_path: Path) -> None:
    def keep(number: int) -> None:
        ledger = Stage(tmp_path / str(number), ObjectFolder(Url(place))).ledger()
        for turn in range(4):
            name = f"{number}-{turn}"
            ledger.enter([(f"{name}.svs", name)])
            _, begun = ledger.begin(name, "1", f"{name}.svs")
            ledger.put(replace(begun, state="done"))

    with ThreadPoolExecutor(4) as pool:
        [*pool.map(keep, range(4))]
    rows = Stage(tmp_path / "reader", ObjectFolder(Url(place))).ledger().rows()
    assert {name for name, row in rows.items() if row.state == "done"} == {
        f"{number}-{turn}" for number in range(4) for turn in range(4)
    }
    assert objects(place)["batch.log"].count(b"\n") == 32
    assert isinstance(next(iter(rows.values())), Row)
    assert ".batch.lock" not in objects(place)
    assert Ledger(tmp_path / "reader").rows() == rows


@pytest.mark.parametrize("output", ["https://host/x", "nonsense://host/x"])
def test_a_url_that_takes_no_files_is_refused(output: str) -> None:
    with pytest.raises(UsageError, match="output"):
        staged(locate(output))


def test_a_store_that_does_not_answer_is_an_error_by_name(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage", ObjectFolder(Url("s3://no-such-bucket/x")))
    with (
        pytest.raises(OutputError, match=r"no-such-bucket/x/a\.csv"),
        stage.holding([stage.folder / "a.csv"]),
    ):
        raise AssertionError


def test_a_path_is_no_url(tmp_path: Path) -> None:
    assert staged(tmp_path) == (tmp_path, None)
