"""Anything that dies at any moment, again and again: `pytest -m slow tests/cluster/test_random_deaths.py`."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.outer import Outer, end
from wsi_nucssl.files import sha256_file


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_the_bytes_stay_whatever_dies(
    outer: Outer, slide: Path, plain: str, troubles: Path, tmp_path: Path, seed: int
) -> None:
    """Workers, scheduler and head are killed by chance until the head has been let through."""
    chance, output = random.Random(seed), tmp_path / "a.geojson"
    (troubles / "slow").write_text("0.3")
    scheduler: subprocess.Popen[Any] = outer.scheduler()
    workers = [outer.worker() for _ in range(2)]
    outer.await_workers(1)
    command = (
        "segment",
        "--engine",
        "troubled",
        "--device",
        "cpu",
        slide,
        "-o",
        output,
        "--cluster",
        outer.file,
    )
    deaths, code = 0, -1
    while code != 0:
        head = outer.head(*command, "--resume")
        while deaths < 6 and head.poll() is None:
            time.sleep(chance.uniform(2, 6))
            deaths += 1
            victim = chance.choice(["worker", "worker", "scheduler", "head"])
            if victim == "worker":
                end(workers.pop(0))
                workers.append(outer.worker())
            elif victim == "scheduler":
                for each in (scheduler, *workers):
                    end(each)
                scheduler = outer.scheduler()
                workers = [outer.worker() for _ in range(2)]
            else:
                end(head)
        code = head.wait(240)
        assert code in (0, 6, -9), outer.said("head")
    assert sha256_file(output) == plain
    assert deaths
