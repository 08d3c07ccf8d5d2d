"""Amounts of memory: as people write them, as this process has them, and shared out among threads."""

from __future__ import annotations

import ctypes
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

from wsi_nucssl.errors import UsageError

Out = TypeVar("Out")

_AMOUNT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(B|iB)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_EVERY_S: Final = 0.002


def parse_bytes(name: str, given: str | int) -> int:
    """An amount of memory in bytes: a whole number of them, or a text such as 512M, 4G, 1.5GiB or 4GB.

    Without a B, or with iB, units are those of schedulers: 1 G is 1024³ bytes. 1 GB is 1000³.

    Raises
    ------
    UsageError
        It is none, or nothing; the message names the parameter.
    """
    found = _AMOUNT.fullmatch(str(given).strip()) if not isinstance(given, bool) else None
    if found is None or (amount := _in_bytes(*found.groups())) < 1:
        raise UsageError(
            f"⟨{name}⟩ is an amount of memory, not {given!r}", remedy="Write it as 512M, 4G or 4GiB"
        )
    return amount


def _in_bytes(number: str, unit: str, ending: str | None) -> int:
    thousand = 1000 if (ending or "").upper() == "B" else 1024
    return int(float(number) * thousand ** _POWERS[unit.upper()])


def spelled_bytes(amount: float) -> str:
    """An amount as `parse_bytes` takes it, rounded up to a MiB: "640M"."""
    return f"{-(-int(amount) // 2**20)}M"


def resident_bytes() -> int:
    """Memory that this process holds now, by the operating system's account."""
    import psutil  # asked for by few

    return int(psutil.Process().memory_info().rss)


def most_resident(job: Callable[[], Out]) -> int:
    """The most memory that this process was seen to hold while a job ran, in bytes."""
    with ThreadPoolExecutor(1) as pool:
        most, running = resident_bytes(), pool.submit(job)
        while not running.done():
            most = max(most, resident_bytes())
            threading.Event().wait(_EVERY_S)
        running.result()
    return max(most, resident_bytes())


def give_back() -> None:
    """Give memory that is free, but still held, back to the system, where the C library can."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


class Allowance:
    """Bytes that threads share: who wants more than is left waits for the others, and who comes later waits behind.

    Parameters
    ----------
    total : int
        Bytes in all.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._taken = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def __reduce__(self) -> tuple[object, ...]:
        """An allowance pickles as one of which nothing is taken."""
        return type(self), (self.total,)

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Gives what takes bytes in place of those that it took before; all are given back when the context ends.

        More than `total` is granted to one who is alone.
        """
        mine = 0

        def take(wanted: int) -> None:
            nonlocal mine
            self._give(mine)
            mine = 0
            self._wait_for(wanted)
            mine = wanted

        try:
            yield take
        finally:
            self._give(mine)

    def _give(self, given: int) -> None:
        with self._changed:
            self._taken -= given
            self._changed.notify_all()

    def _wait_for(self, wanted: int) -> None:
        me = object()
        with self._changed:
            self._waiting.append(me)
            self._changed.wait_for(lambda: self._waiting[0] is me and self._fits(wanted))
            self._waiting.popleft()
            self._taken += wanted
            self._changed.notify_all()

    def _fits(self, wanted: int) -> bool:
        return not self._taken or self._taken + wanted <= self.total
