"""How many windows a task has: many while there are many, few towards the end."""

from __future__ import annotations

import pytest

from wsi_nucssl.cluster.executor import LEAST_WINDOWS, MOST_WINDOWS, windows_of_a_task


@pytest.mark.parametrize(
    ("missing", "threads", "batch_size", "size"),
    [(4000, 8, 1, 16), (447, 2, 1, 16), (100, 4, 1, 6), (10, 2, 1, 4), (4000, 512, 1, 4), (4000, 8, 64, 64)],
)
def test_a_task_has_as_many_as_keep_every_thread_busy(
    missing: int, threads: int, batch_size: int, size: int
) -> None:
    assert windows_of_a_task(missing, threads, batch_size) == size


@pytest.mark.parametrize("threads", [1, 2, 7, 64])
@pytest.mark.parametrize("windows", [1, 30, 447, 4001])
def test_tasks_never_grow_and_the_last_ones_are_small(windows: int, threads: int) -> None:
    sizes = []
    while windows:
        sizes.append(min(windows, windows_of_a_task(windows, threads, 1)))
        windows -= sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= MOST_WINDOWS
    assert sizes[-1] <= LEAST_WINDOWS
