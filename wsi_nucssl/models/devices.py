"""Where a network runs."""

from __future__ import annotations

import torch

from wsi_nucssl.errors import UsageError


def torch_device(name: str) -> torch.device:
    """The device called "cpu" or "cuda"; "auto" takes CUDA where there is one.

    Raises
    ------
    UsageError : CUDA was asked for and is not there.
    """
    at_hand = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if at_hand else "cpu")
    if name == "cuda" and not at_hand:
        raise UsageError(
            "no CUDA device is at hand", remedy="Use ⟨device⟩ cpu, or install a driver and a CUDA build"
        )
    return torch.device(name)
