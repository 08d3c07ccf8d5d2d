"""The network as a function of bytes: RGB windows in, quantised probabilities out, on whichever engine is at hand."""

from __future__ import annotations

from typing import Final, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.resunet import ResUNet

Device = Literal["auto", "cpu", "cuda"]
Windows = NDArray[np.uint8]
"""RGB of shape (N, row, col, 3)."""
BodyBoundary = NDArray[np.uint8]
"""P(body) and P(boundary) in 255ths, of shape (N, 2, row, col)."""

TTA_VIEWS: Final = (1, 2, 4, 8)


class Engine(Protocol):
    """Predicts batches of windows of one fixed shape; the same bytes for the same batch, every time."""

    @property
    def name(self) -> str:
        """Engine, device and precision: part of a run's identity, since each rounds in its own way."""
        ...

    def predict(self, windows: Windows) -> BodyBoundary:
        """(N, row, col, 3) → (N, 2, row, col)."""
        ...


class Quantised(nn.Module):
    """A ResUNet from RGB bytes to probability bytes, averaged over `views` mirrored and rotated inputs."""

    def __init__(self, network: ResUNet, views: int = 1) -> None:
        super().__init__()
        if views not in TTA_VIEWS:
            raise UsageError(f"test-time augmentation takes {TTA_VIEWS} views, not {views}")
        self.network, self.views = network, views

    def forward(self, windows: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) → uint8 (N, 2, H, W), rounded to nearest; H = W where views > 2."""
        image = windows.permute(0, 3, 1, 2)
        total = self._probabilities(image, 0)
        for view in range(1, self.views):
            total = total + self._probabilities(image, view)
        return torch.round(total * (255 / self.views)).to(torch.uint8)

    def _probabilities(self, image: Tensor, view: int) -> Tensor:
        mirror, turns = view % 2 == 1, view // 2
        seen = torch.rot90(image.flip(-1) if mirror else image, turns, (-2, -1))
        probabilities = self.network(seen.float()).float().softmax(dim=1)[:, 1:]
        turned = torch.rot90(probabilities, -turns, (-2, -1))
        return turned.flip(-1) if mirror else turned


class TorchEngine:
    """PyTorch, on the CPU or a CUDA device; bf16 autocast and channels-last where the hardware is fast at it."""

    def __init__(
        self, network: ResUNet, device: torch.device, views: int = 1, *, compiled: bool = False
    ) -> None:
        self.device = device
        self.autocast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
        module = Quantised(network, views).eval().to(device, memory_format=torch.channels_last)
        self._forward = torch.compile(module) if compiled else module

    @property
    def name(self) -> str:
        """For instance "torch-2.11-cuda-bf16"."""
        return f"torch-{torch.__version__}-{self.device.type}-{'bf16' if self.autocast else 'fp32'}"

    @torch.inference_mode()
    def predict(self, windows: Windows) -> BodyBoundary:
        """See `Engine.predict`. On CUDA, copies go through pinned memory."""
        batch = torch.from_numpy(windows)
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            result: BodyBoundary = self._forward(batch).cpu().numpy()
        return result
