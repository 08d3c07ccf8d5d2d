"""PyTorch as an engine, and the module from bytes to bytes that every engine runs."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.errors import ResourceError
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.weights import Model

_CUDA_BATCH_PX: Final = 16 * 2**20


class ByteNetwork(nn.Module):
    """A ResUNet from RGB bytes to probability bytes."""

    def __init__(self, network: ResUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) → uint8 (N, 2 + types, upscale · H, upscale · W), rounded to nearest.

        Body and boundary are out of all planes, the types out of all types.
        """
        logits = self.network(windows.permute(0, 3, 1, 2).float()).float()
        schema = self.network.schema
        planes = len(schema.planes)
        probabilities = (logits[:, :planes] if schema.types else logits).softmax(dim=1)[:, 1:]
        if schema.types:
            probabilities = torch.cat([probabilities, logits[:, planes:].softmax(dim=1)], dim=1)
        return torch.round(probabilities * 255).to(torch.uint8)


class TorchEngine:
    """PyTorch, on the CPU or a CUDA device; bf16 autocast and channels-last where the hardware is fast at it."""

    streams = 1

    def __init__(self, network: ResUNet, device: torch.device, *, compiled: bool = False) -> None:
        self.device, self.upscale = device, network.upscale
        self.batch_px = _CUDA_BATCH_PX if device.type == "cuda" else 0
        self.bf16 = device.type == "cuda" or _cpu_has_bf16()
        module = ByteNetwork(network).eval().to(device).to(memory_format=torch.channels_last)
        self._forward = torch.compile(module, dynamic=False) if compiled else module

    @property
    def name(self) -> str:
        """For instance "torch-2.11.0-cuda-bf16-NVIDIA_H100": another processor's or GPU's kernels round otherwise."""
        version = torch.__version__.split("+")[0]
        return f"torch-{version}-{self.device.type}-{'bf16' if self.bf16 else 'fp32'}-{_kernels(self.device)}"

    @torch.inference_mode()
    def predict(self, windows: Windows) -> BodyBoundary:
        """See `Engine.predict`. On CUDA, copies go through pinned memory."""
        batch = torch.from_numpy(windows)
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        try:
            result: BodyBoundary = self.forward(batch).cpu().numpy()
        except torch.cuda.OutOfMemoryError as error:
            raise ResourceError(
                f"{len(windows)} windows at a time do not fit the GPU's memory",
                remedy="Give a smaller ⟨batch_size⟩",
            ) from error
        return result

    @torch.inference_mode()
    def forward(self, windows: Tensor) -> Tensor:
        """As `predict`, from a tensor on the device to one there."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            result: Tensor = self._forward(windows)
        return result


def open_torch(model: Model, device: str) -> TorchEngine:
    """See `registry.OpenEngine`; compiled on CUDA."""
    return TorchEngine(model.network, torch.device(device), compiled=device == "cuda")


def _kernels(device: torch.device) -> str:
    """The GPU's name, or the instructions that PyTorch uses on this processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device).replace(" ", "_")
    amx = "_AMX" if torch.cpu._is_amx_tile_supported() else ""
    return f"{torch.backends.cpu.get_cpu_capability()}{amx}"


def _cpu_has_bf16() -> bool:
    """True where PyTorch runs bf16 convolutions in hardware: on AMX, or with AVX-512 BF16."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
