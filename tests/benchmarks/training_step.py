"""Crops a second that networks train with on this CPU: `python -m tests.benchmarks.training_step [ARCH …]`.

Each in bf16 as it is, in bf16 with all filters of single channels in bf16 too, and in float32; in turn, on one thread.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from time import perf_counter

import pytest
import torch
from torch import nn

from wsi_nucssl.models.encoders import efficientnet_lite
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet

CROPS, SIDE_PX, ROUNDS = 8, 256, 5


@contextlib.contextmanager
def _as_it_is() -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16):
        yield


@contextlib.contextmanager
def _all_in_bf16() -> Iterator[None]:
    with _as_it_is(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientnet_lite._Depthwise, "forward", nn.Conv2d.forward)
        yield


WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "bf16": _as_it_is,
    "bf16 throughout": _all_in_bf16,
    "float32": contextlib.nullcontext,
}


def seconds_of_a_step(network: ResUNet, image: torch.Tensor) -> float:
    """Forward and backward."""
    begun = perf_counter()
    network(image).float().square().mean().backward()
    return perf_counter() - begun


def main() -> None:
    """Print a line for each architecture."""
    torch.set_num_threads(1)
    image = torch.rand(CROPS, 3, SIDE_PX, SIDE_PX).contiguous(memory_format=torch.channels_last)
    for arch in sys.argv[1:] or ["liteunet0x2", "resunet101"]:
        network = build(arch).train().to(memory_format=torch.channels_last)
        seen = nn.functional.interpolate(image, size=SIDE_PX // network.upscale).contiguous(
            memory_format=torch.channels_last
        )
        taken: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS + 1):
            for way, entered in WAYS.items():
                with entered():
                    taken[way].append(seconds_of_a_step(network, seen))
        speeds = (f"{CROPS / statistics.median(each[1:]):.1f} {way}" for way, each in taken.items())
        print(f"{arch}, crops/s: {', '.join(speeds)}", flush=True)


if __name__ == "__main__":
    main()
