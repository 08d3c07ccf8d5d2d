"""What an interval says: means of its own steps, and the fraction of its time that went into waiting."""

from __future__ import annotations

import time

import pytest
import torch

from wsi_nucssl.train import interval as intervals
from wsi_nucssl.train.distributed import make_accelerator
from wsi_nucssl.train.interval import Meter


def test_means_are_those_of_the_steps_that_were_added() -> None:
    meter = Meter(10)
    for value in (1.0, 2.0, 6.0):
        meter.add({"loss": torch.tensor(value), "half": torch.tensor(value / 2)})
    interval = meter.read(13, make_accelerator("cpu", "fp32"))
    assert (interval.step, interval.steps) == (13, 3)
    assert interval.scalars == {"loss": 3.0, "half": 1.5}


def test_what_is_logged_now_and_then_is_a_mean_over_all_steps() -> None:
    meter = Meter(0)
    meter.add({"loss": torch.tensor(1.0), "rare": torch.tensor(4.0)})
    meter.add({"loss": torch.tensor(1.0)})
    assert meter.read(2, make_accelerator("cpu", "fp32")).scalars == {"loss": 1.0, "rare": 2.0}


def test_waiting_is_measured_and_nothing_else_is() -> None:
    def slowly() -> str:
        time.sleep(0.05)
        return "batch"

    meter = Meter(0)
    assert meter.waiting(slowly) == "batch"
    time.sleep(0.05)
    meter.add({"loss": torch.tensor(0.0)})
    interval = meter.read(1, make_accelerator("cpu", "fp32"))
    assert interval.seconds >= 0.1
    assert interval.seconds * interval.loader_fraction >= 0.05
    assert interval.seconds * (1 - interval.loader_fraction) >= 0.045


def test_adding_leaves_what_was_added_as_it_was() -> None:
    meter, first = Meter(0), torch.tensor(1.0)
    meter.add({"loss": first})
    meter.add({"loss": torch.tensor(2.0)})
    assert first == pytest.approx(1.0)


def test_seconds_and_the_share_of_waiting_by_a_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun at 5, waited from 6 to 8 and from 9 to 10, read at 13: 3 of 8 seconds."""
    times = iter([5.0, 6.0, 8.0, 9.0, 10.0, 13.0])
    monkeypatch.setattr(intervals, "perf_counter", lambda: next(times))
    meter = Meter(40)
    assert [meter.waiting(lambda: "one"), meter.waiting(lambda: "two")] == ["one", "two"]
    interval = meter.read(42, make_accelerator("cpu", "fp32"))
    assert (interval.seconds, interval.loader_fraction) == (8.0, 0.375)
    assert (interval.step, interval.steps) == (42, 2)
