"""Where a network runs."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from wsi_nucssl.errors import UsageError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]


def torch_device(name: str) -> torch.device:
    """As `chosen_device`, for PyTorch."""
    import torch

    return torch.device(chosen_device(name))


def chosen_device(name: str) -> Literal["cpu", "cuda"]:
    """The device called "cpu" or "cuda"; "auto" takes CUDA where there is one.

    Raises
    ------
    UsageError
        CUDA was asked for and is not there, or the name is none of these.
    """
    if name not in get_args(Device):
        raise UsageError(f"no device {name!r}", remedy=f"Choose one of {', '.join(get_args(Device))}")
    if name == "cpu":
        return "cpu"
    if _cuda_at_hand():
        return "cuda"
    if name == "auto":
        return "cpu"
    raise UsageError(
        "no CUDA device is at hand", remedy="Use ⟨device⟩ cpu, or install a driver and a CUDA build"
    )


def _cuda_at_hand() -> bool:
    """PyTorch's answer; where there is no driver for a GPU, without the seconds that importing PyTorch takes."""
    if not driver_at_hand():
        return False
    import torch

    return torch.cuda.is_available()


def driver_at_hand() -> bool:
    """Whether there is a driver for a GPU: NVIDIA's library, or the device of AMD's, which PyTorch calls CUDA too."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True
