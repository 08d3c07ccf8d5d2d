"""Amounts of memory, and sharing them out."""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import UsageError
from wsi_nucssl.memory import (
    Allowance,
    give_back,
    most_resident,
    parse_bytes,
    resident_bytes,
    spelled_bytes,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("512M", 512 * 2**20),
        ("4G", 4 * 2**30),
        ("4g", 4 * 2**30),
        ("4GiB", 4 * 2**30),
        ("4 GiB", 4 * 2**30),
        ("4GB", 4 * 10**9),
        ("4gb", 4 * 10**9),
        ("1.5G", 3 * 2**29),
        ("640K", 640 * 2**10),
        ("2T", 2**41),
        ("1073741824", 2**30),
        ("7B", 7),
        (2**30, 2**30),
    ],
)
def test_amounts_are_read_as_schedulers_read_them(text: str | int, amount: int) -> None:
    assert parse_bytes("memory", text) == amount


@pytest.mark.parametrize(
    "text", ["", "much", "4X", "-1G", "0", "0.1B", "G", "4G4", "4 5G", "1e9", True, "nan"]
)
def test_what_is_no_amount_is_refused_by_name(text: str | int) -> None:
    with pytest.raises(UsageError, match="`memory` is an amount"):
        parse_bytes("memory", text)


@given(st.integers(1, 2**45))
def test_an_amount_that_is_spelled_is_enough(amount: int) -> None:
    read = parse_bytes("memory", spelled_bytes(amount))
    assert amount <= read < amount + 2**20


def test_what_a_job_holds_is_seen_though_it_gives_it_back() -> None:
    def job() -> None:
        held = np.ones(100 << 20, np.uint8)
        time.sleep(0.1)
        del held

    before = resident_bytes()
    assert most_resident(job) >= before + (90 << 20)
    give_back()
    assert resident_bytes() < before + (50 << 20)


def test_a_job_that_fails_says_so() -> None:
    with pytest.raises(ZeroDivisionError):
        most_resident(lambda: 1 // 0)


def test_threads_never_hold_more_than_the_allowance() -> None:
    allowance, lock, held, most = Allowance(100), threading.Lock(), 0, 0

    def work(seed: int) -> None:
        nonlocal held, most
        rng = np.random.default_rng(seed)
        for _ in range(20):
            with allowance.share() as take:
                mine = 0
                for wanted in rng.integers(1, 100, 3).tolist():
                    with lock:
                        held -= mine
                    take(wanted)
                    with lock:
                        held, mine = held + wanted, wanted
                        most = max(most, held)
                with lock:
                    held -= mine

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert 60 < most <= 100
    assert held == 0


def test_who_wants_more_than_there_is_gets_it_alone() -> None:
    allowance, order = Allowance(100), list[str]()
    taken, seen = threading.Event(), threading.Event()

    def small() -> None:
        with allowance.share() as take:
            take(10)
            taken.set()
            seen.wait(10)
            order.append("small")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(small)
        taken.wait(10)
        threading.Timer(0.05, seen.set).start()
        with allowance.share() as take:
            take(1000)
            order.append("large")
    assert order == ["small", "large"]


def test_who_wants_much_is_not_kept_waiting_by_those_who_come_later() -> None:
    allowance, order = Allowance(100), list[str]()

    def share(name: str, wanted: int, begun: threading.Event) -> None:
        with allowance.share() as take:
            begun.set()
            take(wanted)
            order.append(name)

    with ThreadPoolExecutor(4) as pool, allowance.share() as take:
        take(50)
        for name, wanted in (("much", 90), ("little", 10), ("as little", 10)):
            begun = threading.Event()
            pool.submit(share, name, wanted, begun)
            begun.wait(10)
            time.sleep(0.05)
        assert order == []
        take(0)
    assert order[0] == "much"
    assert len(order) == 3


def test_an_allowance_pickles_with_nothing_taken() -> None:
    allowance = Allowance(100)
    with allowance.share() as take:
        take(100)
        copy = pickle.loads(pickle.dumps(allowance))
        with copy.share() as take_there:
            take_there(100)
