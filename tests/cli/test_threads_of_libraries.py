"""Libraries that the command line loads start no threads that nothing asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_SAYS_THREADS = """
import wsi_nucssl_cli, os, numpy, scipy.linalg
print(os.environ["OPENBLAS_NUM_THREADS"], len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
@pytest.mark.parametrize(("given", "told"), [(None, "1 1"), ("2", "2")])
def test_openblas_has_one_thread_unless_told(given: str | None, told: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {"OPENBLAS_NUM_THREADS": given} if given else {}
    done = subprocess.run(
        (sys.executable, "-c", _SAYS_THREADS), env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[: len(told.split())] == told.split()
