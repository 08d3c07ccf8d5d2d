"""How to segment: every choice that a caller has, parsed and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from wsi_nucssl.errors import UsageError

Device = Literal["auto", "cpu", "cuda"]
EngineName = Literal["auto", "torch", "openvino", "int8"]
Origin = Literal["qupath", "level0"]

VIEWS: Final = (1, 2, 4, 8)
"""Numbers of views that test-time augmentation takes."""


@dataclass(frozen=True, slots=True)
class SegmentOptions:
    """Choices for one or more slides; those that decide the result are part of a run's identity.

    Attributes
    ----------
    mpp : µm per level-0 px where the slide does not say, or says it wrongly.
    reader : backend for slides, "auto" chooses by content.
    device, engine : what the network runs on; "int8" is OpenVINO with a quantised graph, made by `quantise`.
    views : mirrored and rotated inputs to average over: 1, 2, 4 or 8.
    batch_size : windows at a time; None chooses by device.
    workers : threads that read and as many that extract; they never change the result.
    origin : "qupath" subtracts the slide's bounds, as QuPath's reader does; "level0" does not.
    block_px : side of an extraction block; it never changes the result.
    keep_probabilities : leave the probability zarr in the run directory.
    """

    mpp: float | None = None
    reader: str = "auto"
    device: Device = "auto"
    engine: EngineName = "auto"
    views: int = 1
    batch_size: int | None = None
    workers: int = 2
    origin: Origin = "qupath"
    block_px: int | None = None
    keep_probabilities: bool = False

    def __post_init__(self) -> None:
        _least("⟨workers⟩", self.workers, 1)
        if self.batch_size is not None:
            _least("⟨batch_size⟩", self.batch_size, 1)
        if self.block_px is not None:
            _least("block_px", self.block_px, 64)
        if self.views not in VIEWS:
            raise UsageError(f"⟨views⟩ takes 1, 2, 4 or 8 views, not {self.views}")


def _least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{name} must be at least {least}, not {value}")
