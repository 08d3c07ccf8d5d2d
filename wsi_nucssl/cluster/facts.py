"""What decides the bytes that a worker makes, so that workers which would make others are refused by name."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

from distributed import get_worker

from wsi_nucssl._version import __version__
from wsi_nucssl.engines.base import Engine
from wsi_nucssl.models.devices import Device


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Which network a worker is to open, and how.

    Attributes
    ----------
    path : Path
        The weights, absolute.
    sha256 : str
        Of the file.
    device, engine, views
        As `SegmentOptions` has them.
    """

    path: Path
    sha256: str
    device: Device
    engine: str
    views: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker is, as far as its bytes depend on it.

    Attributes
    ----------
    version : str
        Of this package.
    weights : str
        SHA-256 of the weights that it sees.
    engine : str
        The engine's name, kernels included.
    batch_px, upscale : int
        Of the engine.
    host : str
        Where it runs; no part of the comparison.
    """

    version: str
    weights: str
    engine: str
    batch_px: int
    upscale: int
    host: str = field(compare=False)

    @classmethod
    def of(cls, engine: Engine, weights: str) -> Self:
        """Those of this process."""
        return cls(__version__, weights, engine.name, engine.batch_px, engine.upscale, socket.gethostname())

    def difference(self, other: Facts) -> str:
        """What differs in words; "" if nothing does."""
        names = [each.name for each in fields(self) if each.compare]
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return ", ".join(f"{name} {mine} instead of {its}" for name, mine, its in pairs if mine != its)


class WorkerRefused(Exception):
    """A worker that cannot do a task as it has to be done; others may.

    Parameters
    ----------
    address : str
        Of the worker, as dask names it.
    host : str
        Where it runs.
    reason : str
        What is wrong with it, as a sentence's end: "cannot see …".
    for_slide : bool
        Only this slide is out of its reach.
    """

    def __init__(self, address: str, host: str, reason: str, for_slide: bool = False) -> None:
        super().__init__(address, host, reason, for_slide)
        self.address, self.host, self.reason, self.for_slide = address, host, reason, for_slide

    @classmethod
    def here(cls, reason: str, *, for_slide: bool = False) -> Self:
        """The worker that this process is."""
        return cls(get_worker().address, socket.gethostname(), reason, for_slide)
