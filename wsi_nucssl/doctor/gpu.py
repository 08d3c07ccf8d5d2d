"""The GPU, where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsi_nucssl.doctor.finding import Check, Finding, doubtful, faulty, fine
from wsi_nucssl.models.devices import chosen_device, driver_at_hand

_ENOUGH_BYTES: Final = 4 * 10**9


@dataclass(frozen=True, slots=True)
class Gpu:
    """What is known of the first GPU.

    Attributes
    ----------
    driver : bool
        Whether the system has a driver for one.
    name : str
        Empty where PyTorch cannot use it.
    free, total : int
        Bytes of its memory.
    error : str
        What a small product of matrices ended in; empty if it came out right.
    """

    driver: bool
    name: str = ""
    free: int = 0
    total: int = 0
    error: str = ""


def _gpu() -> Gpu:
    if not driver_at_hand() or chosen_device("auto") == "cpu":
        return Gpu(driver_at_hand())
    import torch

    name = torch.cuda.get_device_name(0)
    try:
        free, total = torch.cuda.mem_get_info(0)
        ones = torch.ones(64, 64, device="cuda")
        error = "" if float((ones @ ones)[0, 0]) == 64 else "a product of matrices came out wrong"
    except RuntimeError as raised:  # all that CUDA raises through PyTorch
        return Gpu(True, name, error=str(raised).splitlines()[0])
    return Gpu(True, name, free, total, error)


def judge_gpu(found: Gpu) -> Finding:
    """None, or one that computes and has memory."""
    if not found.driver:
        return fine("none; work runs on the CPU")
    if not found.name:
        return doubtful(
            "a driver is there, but PyTorch finds no GPU",
            "Install a CUDA build of PyTorch that suits the driver, and look at CUDA_VISIBLE_DEVICES",
        )
    if found.error:
        return faulty(f"{found.name}: {found.error}", "Update the driver, or work with ⟨device⟩ cpu")
    what = f"{found.name}, {found.free / 1e9:.1f} of {found.total / 1e9:.1f} GB free"
    if found.free < _ENOUGH_BYTES:
        return doubtful(what, "Wait for what uses it, or give a smaller ⟨batch_size⟩")
    return fine(what)


GPU: Final = Check("gpu", _gpu, judge_gpu)
