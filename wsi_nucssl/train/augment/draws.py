"""Random numbers for a whole batch at once, such that those of a crop depend on its own number alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


class Draws:
    """A stream of numbers for each crop: SplitMix64 (Steele et al., 2014, https://doi.org/10.1145/2714064.2660195).

    Every call takes as many numbers from each stream, so that what a crop gets does not depend on the crops beside it.
    """

    def __init__(self, keys: Words) -> None:
        self._keys, self._used = keys, 0

    @classmethod
    def of_crops(cls, seed: int, numbers: Sequence[int]) -> Self:
        """The streams of these crops of a run."""
        crops = _mixed(np.asarray(numbers, np.uint64) * _STEP + _FIRST)
        return cls(_mixed(crops ^ _mixed(np.array([seed], np.uint64) * _SECOND + _STEP)))

    def __len__(self) -> int:
        return len(self._keys)

    def branch(self, chosen: NDArray[np.intp]) -> Draws:
        """Streams of their own for some of the crops."""
        return Draws(self._words(1)[chosen, 0])

    def random(self, *shape: int) -> Floats:
        """Uniform in [0, 1), (N, *shape)."""
        words = self._words(math.prod(shape)).reshape(len(self), *shape)
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def uniform(self, low: float, high: float, *shape: int) -> Floats:
        """Uniform in [low, high), (N, *shape)."""
        return low + (high - low) * self.random(*shape)

    def normal(self, *shape: int) -> Floats:
        """Standard normal by Box and Muller, (N, *shape)."""
        radius = np.sqrt(-2 * np.log1p(-self.random(*shape)))
        values: Floats = radius * np.cos(2 * np.pi * self.random(*shape))
        return values

    def integers(self, low: int, high: int, *shape: int) -> NDArray[np.int64]:
        """Whole numbers from `low` to below `high`, (N, *shape)."""
        return low + (self.random(*shape) * (high - low)).astype(np.int64)

    def seed(self) -> int:
        """For a generator of the whole batch."""
        return int(self._words(1)[0, 0] >> np.uint64(1))

    def _words(self, count: int) -> Words:
        places = np.arange(self._used + 1, self._used + count + 1, dtype=np.uint64)
        self._used += count
        return _mixed(self._keys[:, None] + places * _STEP)


def _mixed(words: Words) -> Words:
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def to_device(values: Floats | NDArray[np.int64] | NDArray[np.intp], device: torch.device) -> Tensor:
    """A few numbers, floats as float32, where the views are; the device's queue is not waited for."""
    kind = np.float32 if values.dtype.kind == "f" else np.int64
    tensor = torch.from_numpy(np.ascontiguousarray(values, kind))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def white_noise(shape: Sequence[int], device: torch.device, draws: Draws) -> Tensor:
    """Standard normal noise, made on the device for all crops together."""
    generator = torch.Generator(device).manual_seed(draws.seed())
    return torch.randn(tuple(shape), generator=generator, device=device)
