"""Slides that share a pool each hear of their own tasks, whoever of them asked the scheduler."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from distributed import Client

from wsi_nucssl.cluster import pool as pools
from wsi_nucssl.cluster.pool import Pool


@dataclass(eq=False)
class Future:
    key: str
    status: str = "pending"


@dataclass
class Scheduler:
    """What a client says of it."""

    workers: dict[str, Any] = field(default_factory=dict)
    at_work: dict[str, list[str]] = field(default_factory=dict)
    restarted: list[str] = field(default_factory=list)
    status: str = "running"

    def scheduler_info(self) -> dict[str, Any]:
        return {"workers": self.workers}

    def processing(self) -> dict[str, list[str]]:
        return self.at_work

    def submit(self, _run: object, *_: object, key: str, **_how: object) -> Future:
        return Future(key)

    def restart_workers(self, workers: list[str], **_: object) -> None:
        self.restarted += workers
        for each in workers:
            self.at_work[each] = []


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler({"tcp://a": {"nthreads": 1}, "tcp://b": {"nthreads": 1}})


def sent(pool: Pool, key: str, **how: Any) -> Any:
    return pool.submit(print, key=key, refused={}, **how)


def test_a_task_whose_worker_is_gone_is_begun_again_though_another_slide_looked_last(
    scheduler: Scheduler,
) -> None:
    pool = Pool(cast(Client, scheduler))
    task, other = sent(pool, "task", alone=True), sent(pool, "other")
    assert pool.watch([task]) == ([], [])
    del scheduler.workers["tcp://a"]
    sent(pool, "of the other slide", alone=True)  # sees who is there
    assert pool.watch([other]) == ([], [])
    assert pool.watch([task]) == ([], [task])


def test_a_task_that_hangs_is_told_to_its_slide_though_another_found_it(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_LOOK_S", 0.0)
    said: list[str] = []
    pool = Pool(cast(Client, scheduler), task_s=0.01, warn=said.append)
    task, other = sent(pool, "task"), sent(pool, "other")
    scheduler.at_work = {"tcp://a": ["task"], "tcp://b": []}
    assert pool.watch([other]) == ([], [])
    time.sleep(0.02)
    assert pool.watch([other]) == ([], [])
    assert scheduler.restarted == ["tcp://a"]
    assert len(said) == 1
    assert pool.watch([task]) == ([task], [])
    pool.release("task", task)
    assert pool.watch([]) == ([], [])


def test_others_tasks_may_take_as_long_as_they_like(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_LOOK_S", 0.0)
    pool = Pool(cast(Client, scheduler), task_s=0.01)
    task = sent(pool, "task")
    scheduler.at_work = {"tcp://a": ["of another client"], "tcp://b": []}
    pool.watch([task])
    time.sleep(0.02)
    assert pool.watch([task]) == ([], [])
    assert not scheduler.restarted


def test_somebody_is_told_when_no_worker_takes_a_task_though_one_slide_has_none(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_LOOK_S", 0.0)
    monkeypatch.setattr(pools, "_SILENT_S", 0.0)
    said: list[str] = []
    pool = Pool(cast(Client, scheduler), warn=said.append)
    pool.watch([])
    assert not said
    sent(pool, "task")
    pool.watch([])  # a slide without a task
    assert len(said) == 1
    assert "no worker has taken a task" in said[0]
