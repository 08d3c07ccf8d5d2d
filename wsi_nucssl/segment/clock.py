"""Where the time of a slide goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter

from wsi_nucssl.nuclei.table import Nuclei


class Clock:
    """Follows a run from when it began.

    Parameters
    ----------
    begun : float
        When that was, by `perf_counter`.
    """

    def __init__(self, begun: float) -> None:
        self._prepared, self._waited = perf_counter() - begun, 0.0
        self._begun = begun

    def waited_for(self, tables: Iterable[Nuclei]) -> Iterator[Nuclei]:
        """The tables, and how long they took to come."""
        each = iter(tables)
        while True:
            asked = perf_counter()
            try:
                table = next(each)
            except StopIteration:
                return
            finally:
                self._waited += perf_counter() - asked
            yield table

    def stages(self, network: float, now: float) -> dict[str, float]:
        """Seconds of each stage; threads work side by side, so that finding nuclei is what the network left over."""
        return {
            "prepare": self._prepared,
            "network": network,
            "extract": max(0.0, self._waited - network),
            "write": max(0.0, now - self._begun - self._prepared - self._waited),
        }
