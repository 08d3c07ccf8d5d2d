"""Loaded by the workers of `local:N`: each keeps to its share of this machine's cores.

Engines start as many threads as they see cores; N workers that all see all of them would wait for one another.
"""

from __future__ import annotations

import os
from typing import Final

from distributed import Worker

WORKERS: Final = "WSI_NUCSSL_LOCAL_WORKERS"
"""Environment variable: how many workers share the machine."""


def share(cores: list[int], number: int, workers: int) -> set[int]:
    """The cores of one of some workers: as many for each, one at least, none left idle.

    Parameters
    ----------
    cores : list of int
        Those that may be used.
    number, workers : int
        Which worker, from 0, of how many.
    """
    first, last = number * len(cores) // workers, -(-(number + 1) * len(cores) // workers)
    return {cores[each % len(cores)] for each in range(first, max(last, first + 1))}


def dask_setup(worker: Worker) -> None:
    """What dask calls when the worker starts; the threads that come later keep to the same cores."""
    if hasattr(os, "sched_setaffinity") and isinstance(worker.name, int):
        cores = sorted(os.sched_getaffinity(0))
        workers = int(os.environ.get(WORKERS, "1"))
        os.sched_setaffinity(0, share(cores, worker.name % workers, workers))
