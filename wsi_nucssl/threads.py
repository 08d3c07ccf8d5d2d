"""Threads that work ahead of whoever takes their results, in order and in bounded memory."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


@contextlib.contextmanager
def thread_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what they have not begun when the work ends early."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def prefetch(
    pool: ThreadPoolExecutor, max_in_flight: int, job: Callable[[In], Out], inputs: Iterable[In]
) -> Iterator[Out]:
    """Results of `job` over `inputs`, in their order, up to `max_in_flight` of them computed ahead."""
    remaining = iter(inputs)
    jobs = deque(pool.submit(job, each) for each in islice(remaining, max_in_flight))
    while jobs:
        result = jobs.popleft().result()
        jobs.extend(pool.submit(job, each) for each in islice(remaining, 1))
        yield result
