"""The network as a function of bytes: RGB windows in, quantised probabilities out, on whichever engine is at hand."""

from __future__ import annotations

import os
import queue
import threading
import warnings
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_nucssl.errors import ResourceError, UsageError
from wsi_nucssl.geometry import Size
from wsi_nucssl.models.resunet import MULTIPLE, ResUNet
from wsi_nucssl.segment.options import VIEWS, Device, EngineName

Windows = NDArray[np.uint8]
"""RGB of shape (N, row, col, 3)."""
BodyBoundary = NDArray[np.uint8]
"""P(body) and P(boundary) in 255ths, of shape (N, 2, row, col)."""

_MOST_STREAMS: Final = 4
"""Each takes the memory of a batch's activations."""
_MOST_SHAPES: Final = 2
"""Compiled at a time: that of slides, and its transpose for rotated views of small images."""


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

    def predict(self, windows: Windows) -> BodyBoundary:
        """(N, row, col, 3) → (N, 2, row, col); rows and cols are multiples of 32."""
        ...


class Quantised(nn.Module):
    """A ResUNet from RGB bytes to probability bytes."""

    def __init__(self, network: ResUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) → uint8 (N, 2, H, W): body and boundary, rounded to nearest."""
        logits = self.network(windows.permute(0, 3, 1, 2).float())
        probabilities = logits.float().softmax(dim=1)[:, 1:]
        return torch.round(probabilities * 255).to(torch.uint8)


class TorchEngine:
    """PyTorch, on the CPU or a CUDA device; bf16 autocast and channels-last where the hardware is fast at it."""

    streams = 1

    def __init__(self, network: ResUNet, device: torch.device, *, compiled: bool = False) -> None:
        self.device = device
        self.bf16 = device.type == "cuda" or _cpu_has_bf16()
        module = Quantised(network).eval().to(device).to(memory_format=torch.channels_last)
        self._forward = torch.compile(module, dynamic=False) if compiled else module

    @property
    def name(self) -> str:
        """For instance "torch-2.11.0-cuda-bf16"."""
        version = torch.__version__.split("+")[0]
        return f"torch-{version}-{self.device.type}-{'bf16' if self.bf16 else 'fp32'}"

    @torch.inference_mode()
    def predict(self, windows: Windows) -> BodyBoundary:
        """See `Engine.predict`. On CUDA, copies go through pinned memory."""
        batch = torch.from_numpy(windows)
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                result: BodyBoundary = self._forward(batch).cpu().numpy()
        except torch.cuda.OutOfMemoryError as error:
            raise ResourceError(
                f"{len(windows)} windows at a time do not fit the GPU's memory",
                remedy="Give a smaller --batch-size",
            ) from error
        return result


class OpenVinoEngine:
    """OpenVINO on the CPU: bf16 where the processor has it, float32 elsewhere.

    Cores are shared out among a few streams: batches side by side wait for one another less than the threads of one.
    """

    def __init__(self, network: ResUNet) -> None:
        import openvino

        self._core = openvino.Core()
        self.bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._graph = _openvino_graph(Quantised(network).eval())
        self._version = openvino.get_version().split("-")[0]
        self.streams = min(_MOST_STREAMS, _usable_cores())
        self._requests: dict[tuple[int, ...], queue.SimpleQueue[Any]] = {}
        self._compiling = threading.Lock()

    @property
    def name(self) -> str:
        """For instance "openvino-2026.0.0-cpu-bf16"."""
        return f"openvino-{self._version}-cpu-{'bf16' if self.bf16 else 'fp32'}"

    def predict(self, windows: Windows) -> BodyBoundary:
        """See `Engine.predict`."""
        with self._compiling:
            if windows.shape not in self._requests:
                if len(self._requests) == _MOST_SHAPES:
                    self._requests.clear()
                self._requests[windows.shape] = self._compile(windows.shape)
            requests = self._requests[windows.shape]
        request = requests.get()
        try:
            result: BodyBoundary = request.infer([windows], share_inputs=True)[0].copy()
        finally:
            requests.put(request)
        return result

    def _compile(self, shape: tuple[int, ...]) -> queue.SimpleQueue[Any]:
        """As many inference requests as there are streams, for batches of one shape."""
        self._graph.reshape(list(shape))
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.bf16 else "f32",
            "NUM_STREAMS": self.streams,
            "ENABLE_CPU_PINNING": False,  # the machine is ours to share, not to own
        }
        compiled = self._core.compile_model(self._graph, "CPU", settings)
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.streams):
            requests.put(compiled.create_infer_request())
        return requests


def _openvino_graph(module: Quantised) -> Any:
    """The module as an OpenVINO graph of any input size, by the frontend itself: `convert_model` would report usage."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros((1, 2 * MULTIPLE, 2 * MULTIPLE, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        # Tracing warns that sizes become constants: the padding it means is empty for multiples of 32.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, example)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


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

    def predict(self, windows: Windows) -> BodyBoundary:
        """See `Engine.predict`."""
        total = np.zeros((len(windows), 2, *windows.shape[1:3]), np.uint16)
        for view in range(self.views):
            mirror, turns = view % 2 == 1, view // 2
            seen = np.rot90(windows[:, :, ::-1] if mirror else windows, turns, (1, 2))
            turned = np.rot90(self.engine.predict(np.ascontiguousarray(seen)), -turns, (2, 3))
            total += turned[..., ::-1] if mirror else turned
        return ((total + self.views // 2) // self.views).astype(np.uint8)


def open_engine(
    network: ResUNet, device: Device = "auto", engine: EngineName = "auto", views: int = 1
) -> Engine:
    """The engine for a device: CUDA through PyTorch, the CPU through OpenVINO (or PyTorch where asked for).

    Raises
    ------
    UsageError : CUDA was asked for and is not there, or OpenVINO was asked for on CUDA.
    """
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise UsageError(
            "no CUDA device is at hand", remedy="Use --device cpu, or install a driver and a CUDA build"
        )
    if cuda and engine == "openvino":
        raise UsageError("OpenVINO runs on the CPU only here", remedy="Use --device cpu or --engine torch")
    opened: Engine
    if cuda:
        opened = TorchEngine(network, torch.device("cuda"), compiled=True)
    elif engine == "torch":
        opened = TorchEngine(network, torch.device("cpu"))
    else:
        opened = OpenVinoEngine(network)
    return opened if views == 1 else Augmented(opened, views)


def default_batch_size(engine: Engine, window: Size) -> int:
    """One window on the CPU, which is busy with it; on CUDA as many as about 16 Mpx."""
    if "cuda" not in engine.name:
        return 1
    return max(1, 16 * 2**20 // window.area)


def _usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_has_bf16() -> bool:
    """True where PyTorch runs bf16 convolutions in hardware: on AMX, or with AVX-512 BF16."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
