"""A scheduler and workers that somebody else has started: any of them may die, the head too; `--resume` goes on."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from tests.cluster.conftest import run
from tests.cluster.outer import Outer, end, until
from tests.cluster.troubled import KERNEL
from tests.segment.children import files_in
from wsi_nucssl.cluster.connecting import pool_of
from wsi_nucssl.cluster.executor import steps_on
from wsi_nucssl.errors import ClusterError
from wsi_nucssl.files import sha256_file
from wsi_nucssl.segment.run import Steps

HEAD = ("segment", "--engine", "troubled", "--device", "cpu")


def begun(output: Path, files: int = 6) -> Callable[[], bool]:
    """Whether a run has some windows on the disk."""
    return lambda: files_in(output.with_name(f"{output.name}.run") / "windows.zarr") >= files


def test_a_scheduler_that_is_killed_ends_the_command_and_a_new_one_goes_on(
    outer: Outer, slide: Path, plain: str, troubles: Path, tmp_path: Path
) -> None:
    output = tmp_path / "a.geojson"
    (troubles / "slow").write_text("0.3")
    scheduler, _ = outer.scheduler(), outer.worker()
    outer.await_workers(1)
    head = outer.head(*HEAD, slide, "-o", output, "--cluster", outer.file)
    until(begun(output))
    end(scheduler)
    assert head.wait(90) == 6
    said = outer.said("head")
    assert "the scheduler is gone" in said
    assert "--resume" in said
    assert "Traceback" not in said
    assert not output.exists()
    (troubles / "slow").unlink()
    kept = files_in(tmp_path / "a.geojson.run" / "windows.zarr")
    outer.scheduler()
    outer.worker()
    again = outer.head(*HEAD, slide, "-o", output, "--cluster", outer.file, "--resume")
    assert again.wait(90) == 0, outer.said("head")
    assert sha256_file(output) == plain
    assert kept >= 6
    predicted = len((troubles / "pids").read_text().split())
    assert predicted < 30 + 10  # windows that were there were not predicted again


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_a_head_that_is_ended_is_gone_on_with(
    outer: Outer, slide: Path, plain: str, troubles: Path, tmp_path: Path, number: signal.Signals
) -> None:
    output = tmp_path / "a.geojson"
    (troubles / "slow").write_text("0.3")
    outer.scheduler()
    outer.worker()
    outer.await_workers(1)
    head = outer.head(*HEAD, slide, "-o", output, "--cluster", outer.file)
    until(begun(output))
    end(head, number)
    assert head.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert not output.exists()
    (troubles / "slow").unlink()
    again = outer.head(*HEAD, slide, "-o", output, "--cluster", outer.file, "--resume")
    assert again.wait(90) == 0, outer.said("head")
    assert sha256_file(output) == plain


def test_a_worker_that_joins_late_works_and_one_that_would_give_other_bytes_is_refused_by_name(
    outer: Outer, slide: Path, plain: str, troubles: Path, tmp_path: Path, in_small_windows: Steps
) -> None:
    (troubles / "slow").write_text("0.3")
    outer.scheduler()
    outer.worker("--name", "first")
    outer.await_workers(1)
    said: list[str] = []
    joined: list[Any] = []

    def join(now: Any) -> None:
        if now.windows_done > 2 and not joined:
            (troubles / "slow").write_text("1.5")  # so that they come before the end, on a busy machine too
            joined.append(outer.worker("--name", "odd", env={KERNEL: "other"}))
            joined.append(outer.worker("--name", "late"))
            outer.await_workers(3)
            (troubles / "slow").write_text("0.3")

    with pool_of(str(outer.file), warn=said.append) as pool:
        run({slide: tmp_path / "a.geojson"}, steps_on(pool, in_small_windows), on_slide=lambda _: join)
    assert sha256_file(tmp_path / "a.geojson") == plain
    (refusal,) = [each for each in said if "left out" in each]
    assert "engine double-other instead of double-plain" in refusal
    assert len(set((troubles / "pids").read_text().split())) == 2


def test_workers_of_two_kinds_at_the_beginning_and_only_those_with_a_gpu_predict(
    outer: Outer, slide: Path, plain: str, troubles: Path, tmp_path: Path, in_small_windows: Steps
) -> None:
    outer.scheduler()
    for kernel, resources in (("plain", "GPU=1"), ("plain", "OTHER=1"), ("other", "GPU=1")):
        outer.worker("--resources", resources, env={KERNEL: kernel})
    outer.await_workers(3)
    said: list[str] = []
    with pool_of(str(outer.file), warn=said.append) as pool:
        run({slide: tmp_path / "a.geojson"}, steps_on(pool, in_small_windows))
    assert sha256_file(tmp_path / "a.geojson") == plain
    assert len([each for each in said if "engine double-other instead of double-plain" in each]) == 1
    assert len(set((troubles / "pids").read_text().split())) == 1


@pytest.mark.slow  # one with a nanny hangs in test_local_cluster
def test_a_worker_without_nanny_that_hangs_is_left_out(
    outer: Outer, slide: Path, plain: str, troubles: Path, tmp_path: Path, in_small_windows: Steps
) -> None:
    outer.scheduler()
    for _ in range(2):
        outer.worker(nanny=False)
    outer.await_workers(2)
    (troubles / "hang").touch()
    with pool_of(str(outer.file), task_s=5.0) as pool:
        run({slide: tmp_path / "a.geojson"}, steps_on(pool, in_small_windows))
    assert sha256_file(tmp_path / "a.geojson") == plain


def without_package(outer: Outer, folder: Path) -> str:
    """A `PYTHONPATH` by which a process cannot import this package."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'wsi_nucssl':\n"
        "            raise ModuleNotFoundError('No module named wsi_nucssl', name='wsi_nucssl')\n"
        "sys.meta_path.insert(0, Blocked())\n"
    )
    return os.pathsep.join([str(folder), outer.env["PYTHONPATH"]])


@pytest.mark.parametrize("lacking", ["scheduler", "workers"])
def test_a_scheduler_or_workers_without_this_package_are_named(
    outer: Outer, slide: Path, tmp_path: Path, lacking: str
) -> None:
    env = {"PYTHONPATH": without_package(outer, tmp_path / "blocked")}
    outer.scheduler(**(env if lacking == "scheduler" else {}))
    outer.worker(env=env if lacking == "workers" else {})
    outer.await_workers(1)
    head = outer.head(*HEAD, slide, "-o", tmp_path / "a.geojson", "--cluster", outer.file)
    assert head.wait(60) == 6, outer.said("head")
    said = " ".join(outer.said("head").split())
    assert f"{lacking} can" in said
    assert "import this package" in said
    assert "Install the same versions" in said


def test_one_worker_without_this_package_is_left_out_by_name(outer: Outer, tmp_path: Path) -> None:
    outer.scheduler()
    outer.worker()
    outer.worker(env={"PYTHONPATH": without_package(outer, tmp_path / "blocked")})
    outer.await_workers(2)
    said: list[str] = []
    with pool_of(str(outer.file), warn=said.append) as pool:
        pool.require_package()
        pool.require_package()
        assert pool.threads == 1
    (refusal,) = said
    assert "is left out: it cannot import this package" in refusal


def test_workers_that_others_keep_busy_do_not_keep_a_command_from_asking_who_is_there(outer: Outer) -> None:
    outer.scheduler()
    outer.worker()
    outer.await_workers(1)
    with Client(scheduler_file=str(outer.file), set_as_default=False) as others:
        busy = others.submit(time.sleep, 60, pure=False)
        until(lambda: any(others.processing().values()))
        with pool_of(str(outer.file)) as pool:
            pool.require_package()
        assert busy.status == "pending"


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_nucssl.cluster.connecting._CONNECT_S", 1)
    with pytest.raises(ClusterError, match="does not answer"), pool_of("tcp://127.0.0.1:9"):
        pass


def test_a_cluster_without_workers_says_so_and_waits(
    outer: Outer,
    slide: Path,
    plain: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_small_windows: Steps,
) -> None:
    monkeypatch.setattr("wsi_nucssl.cluster.pool._SILENT_S", 0.5)
    outer.scheduler()
    said: list[str] = []

    def warn(message: str) -> None:
        said.append(message)
        outer.worker()

    with pool_of(str(outer.file), warn=warn) as pool:
        run({slide: tmp_path / "a.geojson"}, steps_on(pool, in_small_windows))
    assert "has had no worker for" in said[0]
    assert sha256_file(tmp_path / "a.geojson") == plain


def test_the_head_imports_neither_torch_nor_openvino() -> None:
    code = (
        "import sys, wsi_nucssl.cluster.connecting, wsi_nucssl.cluster.executor, wsi_nucssl.cluster.tiling\n"
        "sys.exit(1 if {'torch', 'openvino'} & {*sys.modules} else 0)"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
