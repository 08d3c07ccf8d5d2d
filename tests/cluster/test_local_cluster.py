"""What workers of `local:N` make has the bytes of the plain run, whatever becomes of them."""

from __future__ import annotations

import gc
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Scheduler

from tests.cluster.conftest import run
from tests.segment import fakes
from tests.segment.features import read_features
from wsi_nucssl.cluster.connecting import _scale
from wsi_nucssl.cluster.cores import share
from wsi_nucssl.cluster.executor import RemoteEngine
from wsi_nucssl.cluster.finding import found_on
from wsi_nucssl.cluster.pool import Pool
from wsi_nucssl.cluster.tasks import here
from wsi_nucssl.cluster.tiling import copy_on
from wsi_nucssl.cluster.work import SEEN_AFTER_S, appears
from wsi_nucssl.errors import ClusterError, SlideError, SomeSlidesFailed, UsageError
from wsi_nucssl.files import sha256_file, sha256_tree
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.pretext.groups import FoundTiles, TileSettings
from wsi_nucssl.pretext.sources import open_source
from wsi_nucssl.segment.executor import SlideProgress
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.slide import RGB, open_slide
from wsi_nucssl.tiles.ingest import TileConfig, ingest

OnPool = Callable[..., Steps]


def test_the_bytes_are_those_of_the_plain_run(
    on_pool: OnPool, slide: Path, plain: str, tmp_path: Path
) -> None:
    output = tmp_path / "a.geojson"
    seen: list[SlideProgress] = []
    run({slide: output}, on_pool(), on_slide=lambda _: lambda now: seen.append(now))
    assert sha256_file(output) == plain
    assert seen[-1].windows == seen[-1].windows_done > 6
    assert seen[-1].blocks == seen[-1].blocks_done > 2
    assert seen[-1].nuclei > 100
    assert {each.name for each in (tmp_path / "a.geojson.run").iterdir()} == {
        "manifest.json", "summary.json", ".lock"
    }  # fmt: skip


def test_regions_give_the_bytes_of_the_plain_run(
    on_pool: OnPool, in_small_windows: Steps, tissue: RGB, tmp_path: Path
) -> None:
    """Also where a long nucleus has more windows predicted than were counted at first."""
    image = np.array(tissue)
    image[40:800, 400:440] = 90, 50, 130
    slide = fakes.write_slide(tmp_path / "band.tif", image)
    ring = [[[30, 20], [620, 30], [600, 200], [40, 180], [30, 20]]]
    roi = tmp_path / "roi.geojson"
    roi.write_text(json.dumps({"type": "Polygon", "coordinates": ring}))
    seen: list[int] = []
    for name, steps in (("plain", in_small_windows), ("pool", on_pool())):
        run(
            {slide: tmp_path / f"{name}.geojson"},
            steps,
            options={"roi": roi},
            on_slide=lambda _: lambda now: seen.append(now.windows),
        )
    assert sha256_file(tmp_path / "pool.geojson") == sha256_file(tmp_path / "plain.geojson")
    assert seen[-1] > seen[0] > 4
    nuclei = read_features(tmp_path / "pool.geojson")
    ends = [max(y for _, y in each["geometry"]["coordinates"][0]) for each in nuclei]
    assert len(nuclei) > 20
    assert max(ends) > 780


def test_tiles_are_those_of_the_plain_run(local: Pool, slide: Path, tmp_path: Path) -> None:
    config = TileConfig(0.25, tile_px=128)  # type: ignore[arg-type]
    with open_slide(slide) as opened:
        plain = ingest(opened, tmp_path / "plain.zarr", config)
        seen: list[int] = []
        made = ingest(
            opened,
            tmp_path / "made.zarr",
            config,
            copy=copy_on(local),
            on_progress=lambda now: seen.append(now.done),
        )
    assert sha256_tree(made.path) == sha256_tree(plain.path)
    assert seen == [*range(len(made) + 1)]


def test_the_tiles_that_pretraining_takes_are_those_of_the_plain_run(
    local: Pool, slide: Path, poisoned: Path, tmp_path: Path
) -> None:
    settings = TileSettings(tile_px=128)
    mine, gone = tmp_path / "mine.tif", tmp_path / "gone.tif"
    mine.write_bytes(slide.read_bytes())
    slides = [slide, poisoned, mine]
    with open_source(slides, settings) as plain:
        expected = [(group.identity, len(group)) for group in plain.groups]
        first = plain.tile(7)
    asked: list[int] = []

    def find(given: Sequence[Location], settings: TileSettings) -> Sequence[FoundTiles]:
        asked.append(len(given))
        return found_on(local, given, settings)

    with open_source(slides, settings, find=find) as found:
        assert [(group.identity, len(group)) for group in found.groups] == expected
        assert np.array_equal(found.tile(7), first)
        assert found.identity == plain.identity
    assert asked == [3]
    gone.write_bytes(slide.read_bytes()[:1000])
    with pytest.raises(SlideError, match=r"gone\.tif"):
        found_on(local, [slide, gone], settings)


@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_workers_that_are_killed_are_replaced(
    on_pool: OnPool, local: Pool, slide: Path, plain: str, troubles: Path, tmp_path: Path, times: int
) -> None:
    """And the scheduler has nothing kept: it would be done again when its worker dies, for a run that is over."""
    (troubles / "slow").write_text("0.2")
    kills = [2, 5, 8][:times]

    def watch(now: SlideProgress) -> None:
        if kills and now.windows_done >= kills[0]:
            kills.pop(0)
            pids = (troubles / "pids").read_text().split()
            os.kill(int(pids[-1]), signal.SIGKILL)

    run({slide: tmp_path / "a.geojson"}, on_pool(), on_slide=lambda _: watch)
    assert not kills
    assert sha256_file(tmp_path / "a.geojson") == plain
    until = time.monotonic() + 10
    while kept := local.client.run_on_scheduler(_tasks):
        assert time.monotonic() < until, kept
        time.sleep(0.1)


def _tasks(dask_scheduler: Scheduler) -> dict[str, str]:
    return {str(key): task.state for key, task in dask_scheduler.tasks.items()}


def test_a_window_that_ends_its_workers_fails_its_slide_alone(
    on_pool: OnPool, slide: Path, poisoned: Path, plain: str, tmp_path: Path
) -> None:
    outputs: dict[Location, Path] = {poisoned: tmp_path / "poisoned.geojson", slide: tmp_path / "a.geojson"}
    failures: list[tuple[Any, Exception]] = []
    with pytest.raises(SomeSlidesFailed, match=r"1 of 2 slides failed:\s+\S*poisoned\.tif: "):
        run(outputs, on_pool(), on_failure=lambda *each: failures.append(each))
    ((failed, error),) = failures
    assert failed == poisoned
    assert "row" in str(error)
    assert "the worker ended, 4 times" in str(error)
    assert not outputs[poisoned].exists()
    assert sha256_file(outputs[slide]) == plain


def test_a_worker_that_hangs_is_restarted(
    on_pool: OnPool, slide: Path, plain: str, troubles: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    (troubles / "hang").touch()
    run({slide: tmp_path / "a.geojson"}, on_pool(task_s=12.0, warn=said.append))
    assert sha256_file(tmp_path / "a.geojson") == plain
    assert any("for 12 s and is restarted" in each for each in said)


@pytest.mark.skipif(
    not Path("/proc/self/cwd").exists(), reason="needs a path that means another file to each process"
)
def test_a_slide_that_no_worker_sees_fails_by_name_and_the_others_do_not(
    on_pool: OnPool, slide: Path, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.tif").write_bytes(slide.read_bytes())
    mine, said, failures = Path("/proc/self/cwd/mine.tif"), [], []  # type: ignore[var-annotated]
    with pytest.raises(SomeSlidesFailed, match=r"mine\.tif"):
        run(
            {mine: tmp_path / "mine.geojson", slide: tmp_path / "a.geojson"},
            on_pool(warn=said.append),
            on_failure=lambda _, error: failures.append(str(error)),
        )
    assert "no worker can read it: the last cannot see /proc/self/cwd/mine.tif" in failures[0]
    assert sum("is left out: it cannot see" in each for each in said) == 2
    assert sha256_file(tmp_path / "a.geojson") == plain


def test_the_engine_of_a_pool_predicts_what_the_workers_predict(local: Pool) -> None:
    engine = RemoteEngine.open(local, load_model(), "cpu", "troubled", 1)
    windows = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert engine.name == "double-plain"
    assert engine.predict(windows).shape == (2, 2, 128, 128)


def test_a_task_that_was_given_up_waits_for_nothing_more(local: Pool, tmp_path: Path) -> None:
    """It would keep its worker from the next slide's tasks for a minute."""
    workers = [*local.client.scheduler_info()["workers"]]
    client, nothing = local.client, tmp_path / "nothing"
    waiting = [client.submit(appears, nothing, workers=[each], pure=False) for each in workers]
    while {key for keys in client.processing().values() for key in keys} != {each.key for each in waiting}:
        time.sleep(0.05)
    client.cancel(waiting, force=True)
    for each in workers:
        assert client.submit(here, workers=[each], pure=False).result(timeout=SEEN_AFTER_S / 2)


def test_workers_keep_their_memory_as_other_processes_do(local: Pool) -> None:
    found = local.client.run(_memory_setting)
    assert len(found) == 2
    assert set(found.values()) == {None}


def _memory_setting() -> str | None:
    return os.environ.get("MALLOC_TRIM_THRESHOLD_")


@pytest.mark.parametrize("cores", [1, 2, 7, 16])
@pytest.mark.parametrize("workers", [1, 2, 3, 5, 16, 40])
def test_workers_share_out_all_cores(cores: int, workers: int) -> None:
    there = [*range(100, 100 + cores)]
    shares = [share(there, number, workers) for number in range(workers)]
    assert set.union(*shares) == {*there}
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    if workers <= cores and cores % workers == 0:
        assert sum(map(len, shares)) == cores


@pytest.mark.parametrize(
    "text", ["local", "local:0", "local:-1", "local:x", "somewhere", "slurm", "http://x"]
)
def test_what_is_no_cluster_is_refused(text: str) -> None:
    from wsi_nucssl.cluster.connecting import pool_of

    with pytest.raises(UsageError, match="cluster"), pool_of(text):
        pass


def test_a_scheduler_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    from wsi_nucssl.cluster.connecting import pool_of

    with pytest.raises(UsageError, match="no scheduler file"), pool_of(str(tmp_path / "a.json")):
        pass


@pytest.mark.parametrize("content", ["", "{}", "xx", '{"address": 5}', "[" * 100_000, '["tcp://a:1"]'])
def test_a_file_that_names_no_scheduler_is_refused_at_once(content: str, tmp_path: Path) -> None:
    from wsi_nucssl.cluster.connecting import pool_of

    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UsageError, match="is no scheduler file"), pool_of(str(tmp_path / "a.json")):
        pass


@pytest.fixture
def uncollected() -> Iterator[None]:
    """What nobody holds any more is there until the end, in cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_a_batch_system_that_takes_no_job_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not jobs that were not taken are still remembered when the cluster is closed."""
    from wsi_nucssl.cluster.connecting import pool_of

    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: your account has expired' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    described = {"jobqueue.slurm.cores": 1, "jobqueue.slurm.memory": "1GB"}
    with (
        dask.config.set(described),
        pytest.raises(ClusterError, match="takes no job: sbatch: error: your account has expired"),
        pool_of("slurm:1") as pool,
    ):
        pool.require_package()


@pytest.mark.parametrize(("workers", "ends"), [({}, True), ({"tcp://a:1": {}}, False)])
def test_a_job_that_is_not_taken_ends_nothing_while_others_work(workers: dict[str, Any], ends: bool) -> None:
    asked: list[int] = []
    job = type("Job", (), {"refused": ["busy"]})
    cluster = SimpleNamespace(
        new_spec={"cls": job},
        job_cls=job,
        scheduler_info={"workers": workers},
        scale=lambda jobs: asked.append(jobs),
    )
    if ends:
        with pytest.raises(ClusterError, match="takes no job: busy"):
            _scale(cluster, 2)
    else:
        _scale(cluster, 2)
    assert asked == ([] if ends else [2])
