"""Parameters, multiply-adds and receptive field of each architecture: `python -m tests.benchmarks.architectures`."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.spec import ARCHITECTURES

SIDE = 1024


def multiply_adds(network: ResUNet) -> float:
    """Of an answer of 1024 × 1024 px, in 10⁹."""
    side = SIDE // network.upscale
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, side, side))
    return float(counter.get_total_flops() / 2e9)


def receptive_field(network: ResUNet) -> int:
    """Side in px of the answer of what one of its px can depend on, along the deepest path."""
    field, stride = 1, 1
    for kernel, step in _main_path(network.encoder):
        field += (kernel - 1) * stride
        stride *= step
    for up in network.decoder.ups:
        stride //= 2
        field += stride + sum((kernel - 1) * stride for kernel, _ in _main_path(up))
    field += sum((kernel - 1) * stride for kernel, _ in _main_path(network.decoder.head))
    return field * network.upscale


def _main_path(module: nn.Module) -> list[tuple[int, int]]:
    """(kernel, stride) of convolutions and pools in order, shortcuts aside; all of them are square."""
    found = []
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d) and "downsample" not in name:
            found.append((int(np.max(layer.kernel_size)), int(np.max(layer.stride))))
    return found


def main() -> None:
    """Print the table as Markdown."""
    print(
        "| architecture | encoder | sees µm/px | output | parameters | multiply-adds for 1024² | receptive field |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, numbers in ARCHITECTURES.items():
        network = build(name).eval()
        parameters = sum(p.numel() for p in network.parameters()) / 1e6
        print(
            f"| `{name}` | {numbers.encoder} | {0.25 * numbers.upscale:g} | {numbers.output_stage} "
            f"| {parameters:.1f} M | {multiply_adds(network):.0f} × 10⁹ | {receptive_field(network)} px |"
        )


if __name__ == "__main__":
    main()
