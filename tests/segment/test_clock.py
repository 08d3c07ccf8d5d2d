"""Where the time of a slide goes, by a clock of whole seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.segment.clock import Clock


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows, to be moved on."""
    now = [4.0]
    monkeypatch.setattr("wsi_nucssl.segment.clock.perf_counter", lambda: now[0])
    return now


def test_seconds_are_those_before_in_and_after_the_tables(time: list[float]) -> None:
    """7 s before, 5 s for each of two tables, 3 s until there are no more; 2 s to write each, and 4 s at the end."""

    def tables() -> Iterator[Nuclei]:
        for _ in range(2):
            time[0] += 5
            yield Nuclei.empty()
        time[0] += 3

    clock = Clock(-3.0)
    for _ in clock.waited_for(tables()):
        time[0] += 2
    time[0] += 4
    assert clock.stages(9.0, time[0]) == {"prepare": 7, "network": 9, "extract": 13 - 9, "write": 8}
    assert clock.stages(13.5, time[0])["extract"] == 0  # streams of the network work side by side


def test_what_fails_takes_time_too_and_none_is_negative(time: list[float]) -> None:
    def tables() -> Iterator[Nuclei]:
        yield from ()
        time[0] += 5
        raise OSError("no space")

    clock = Clock(4.0)
    with pytest.raises(OSError, match="no space"):
        list(clock.waited_for(tables()))
    assert clock.stages(1.0, time[0]) == {"prepare": 0, "network": 1, "extract": 4, "write": 0}
    assert clock.stages(1.0, time[0] - 3)["write"] == 0
