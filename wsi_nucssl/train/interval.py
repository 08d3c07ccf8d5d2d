"""What a training loop says of each interval: means of what was logged, and where the time went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from wsi_nucssl.train.distributed import mean_over_processes

T = TypeVar("T")


@dataclass(slots=True)
class Interval:
    """Some steps of a loop, once they are done.

    Attributes
    ----------
    step : int
        The step that it ends with, counted from 1.
    steps : int
        How many it has.
    scalars : dict
        Means over its steps of the loss and of what was logged beside it.
    seconds : float
        From its first step to its end.
    loader_fraction : float
        Of these seconds, those in which the network waited for a batch.
    """

    step: int
    steps: int
    scalars: dict[str, float]
    seconds: float
    loader_fraction: float


class Meter:
    """Sums of the logged scalars and of the seconds since an interval began."""

    def __init__(self, step: int) -> None:
        self.first, self.begun, self.waited = step, perf_counter(), 0.0
        self.sums: dict[str, Tensor] = {}

    def waiting(self, fetch: Callable[[], T]) -> T:
        """What `fetch` gives; the time that it takes counts as waiting for the loader."""
        begun = perf_counter()
        fetched = fetch()
        self.waited += perf_counter() - begun
        return fetched

    def add(self, values: Mapping[str, Tensor]) -> None:
        """One step's scalars; they stay on their device."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value

    def read(self, step: int, accelerator: Accelerator) -> Interval:
        """The interval that ends with `step`, over all processes."""
        count, seconds = step - self.first, perf_counter() - self.begun
        sums = mean_over_processes(self.sums, accelerator)
        scalars = {name: float(total) / count for name, total in sums.items()}
        return Interval(step, count, scalars, seconds, self.waited / seconds)
