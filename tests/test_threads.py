"""Work done ahead: in order, bounded, and ended early without starting what had not begun."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.threads import prefetch, thread_pool


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 30), st.integers(1, 4), st.integers(1, 8))
def test_results_come_in_order_and_no_more_are_ahead_than_asked_for(
    count: int, workers: int, most: int
) -> None:
    taken = 0
    furthest = 0

    def inputs() -> Iterator[int]:
        nonlocal furthest
        for number in range(count):
            furthest = max(furthest, number + 1 - taken)
            yield number

    def late(number: int) -> int:
        time.sleep(0.002 * (number % 3 == 0))
        return number * number

    seen = []
    with thread_pool(workers) as pool:
        for result in prefetch(pool, most, late, inputs()):
            taken += 1
            seen.append(result)
    assert seen == [number * number for number in range(count)]
    assert furthest <= most + 1  # the next one is drawn before the first result is handed on


def test_an_error_comes_in_its_place_and_what_had_not_begun_never_does() -> None:
    begun: list[int] = []
    release = threading.Event()

    def job(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError("the second")
        if number > 1:
            release.wait(5)
        return number

    with thread_pool(1) as pool:
        results = prefetch(pool, 8, job, range(100))
        assert next(results) == 0
        with pytest.raises(ValueError, match="the second"):
            next(results)
        threading.Timer(0.1, release.set).start()
    assert len(begun) <= 4
