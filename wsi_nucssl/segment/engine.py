"""The network as a function of bytes: RGB windows in, quantised probabilities out, on whichever engine is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Size
from wsi_nucssl.models.devices import torch_device
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.options import VIEWS, Device, EngineName

Windows = NDArray[np.uint8]
"""RGB of shape (N, row, col, 3), in input px."""
BodyBoundary = NDArray[np.uint8]
"""P(body) and P(boundary) in 255ths, of shape (N, 2, row, col), in output px."""


class Engine(Protocol):
    """Predicts batches of windows; the same bytes for the same batch, every time."""

    @property
    def name(self) -> str:
        """Engine, version, device and precision: part of a run's identity, since each rounds in its own way."""
        ...

    @property
    def streams(self) -> int:
        """How many threads may call `predict` at a time, each with a batch of its own; it never changes the bytes."""
        ...

    @property
    def batch_px(self) -> int:
        """About how many input px a batch should have to keep the device busy; 0 where one window does."""
        ...

    @property
    def upscale(self) -> int:
        """Output px per input px along each axis: the network's."""
        ...

    def predict(self, windows: Windows) -> BodyBoundary:
        """(N, row, col, 3) → (N, 2, upscale · row, upscale · col); rows and cols are multiples of 32."""
        ...


@dataclass(frozen=True, slots=True)
class Augmented:
    """Test-time augmentation: the mean over `views` mirrored and rotated inputs (1, 2, 4 or 8), in whole 255ths."""

    engine: Engine
    views: int

    def __post_init__(self) -> None:
        if self.views not in VIEWS:
            raise UsageError(f"test-time augmentation takes 1, 2, 4 or 8 views, not {self.views}")

    @property
    def name(self) -> str:
        """The engine's name and the number of views."""
        return f"{self.engine.name}-{self.views}-views"

    @property
    def streams(self) -> int:
        """The engine's."""
        return self.engine.streams

    @property
    def batch_px(self) -> int:
        """The engine's."""
        return self.engine.batch_px

    @property
    def upscale(self) -> int:
        """The engine's."""
        return self.engine.upscale

    def predict(self, windows: Windows) -> BodyBoundary:
        """See `Engine.predict`."""
        rows, cols = (self.upscale * side for side in windows.shape[1:3])
        total = np.zeros((len(windows), 2, rows, cols), np.uint16)
        for view in range(self.views):
            mirror, turns = view % 2 == 1, view // 2
            seen = np.rot90(windows[:, :, ::-1] if mirror else windows, turns, (1, 2))
            turned = np.rot90(self.engine.predict(np.ascontiguousarray(seen)), -turns, (2, 3))
            total += turned[..., ::-1] if mirror else turned
        return ((total + self.views // 2) // self.views).astype(np.uint8)


def open_engine(model: Model, device: Device = "auto", engine: EngineName = "auto", views: int = 1) -> Engine:
    """The engine for a device: CUDA through PyTorch; the CPU through OpenVINO, or what is asked for.

    On a CPU, "auto" takes the quantised graph that lies beside the weights if it was measured to be as accurate, on
    every set, and faster (`evaluate.quantise`).

    Parameters
    ----------
    model : Model
        What `load_model` gave.
    device : {"auto", "cpu", "cuda"}
        "auto" takes CUDA where there is one.
    engine : {"auto", "torch", "openvino", "int8"}
        "int8" is OpenVINO with a quantised graph.
    views : int
        Mirrored and rotated inputs to average over: 1, 2, 4 or 8.

    Raises
    ------
    UsageError : CUDA was asked for and is not there, or an engine of the CPU was asked for on CUDA.
    WeightsError : "int8", and there is no quantised graph of these weights.
    """
    where = torch_device(device)
    cuda = where.type == "cuda"
    if cuda and engine in ("openvino", "int8"):
        raise UsageError("OpenVINO runs on the CPU only here", remedy="Use ⟨device⟩ cpu or ⟨engine⟩ torch")
    opened = _open_torch(model, where) if cuda or engine == "torch" else _open_openvino(model, engine)
    return opened if views == 1 else Augmented(opened, views)


def _open_torch(model: Model, device: torch.device) -> Engine:
    from wsi_nucssl.segment.torch_engine import TorchEngine

    return TorchEngine(model.network, device, compiled=device.type == "cuda")


def _open_openvino(model: Model, engine: EngineName) -> Engine:
    from wsi_nucssl.segment.openvino_engine import OpenVinoEngine
    from wsi_nucssl.segment.quantised import quantised_path, read_quantised

    if engine == "int8":
        return OpenVinoEngine(read_quantised(model))
    if engine == "auto" and quantised_path(model.path).exists():
        graph = read_quantised(model)
        return OpenVinoEngine(graph if graph.preferred else model.network)
    return OpenVinoEngine(model.network)


def default_batch_size(engine: Engine, window: Size) -> int:
    """As many windows, of `window` input px, as the device wants, at least one."""
    return max(1, engine.batch_px // window.area)
