"""OpenVINO as an engine: the fast one on CPUs."""

from __future__ import annotations

import os
import queue
import threading
from typing import Any, Final

import openvino

from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.engines.graphs import Graph
from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.weights import Model

_MOST_STREAMS: Final = 4
"""Each takes the memory of a batch's activations."""
_MOST_SHAPES: Final = 2
"""Compiled at a time: that of slides, and its transpose for rotated views of small images."""


class OpenVinoEngine:
    """OpenVINO on the CPU: bf16 where the processor has it, float32 elsewhere; int8 where a graph is quantised.

    Cores are shared out among a few streams: batches side by side wait for one another less than the threads of one.

    Parameters
    ----------
    graph : Graph
        What runs.
    upscale : int
        Of the network behind it.
    kind : str
        Tells a graph that is not the network as it is from others, in the engine's name.
    """

    batch_px = 0

    def __init__(self, graph: Graph, upscale: int, *, kind: str = "") -> None:
        # Two threads that are the first to ask OpenVINO for a numpy type wait for one another for ever, one with the
        # interpreter's lock and one with pybind11's: so ask here, before there are threads.
        openvino.Type.u8.to_dtype()
        self._core = openvino.Core()
        self.bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._precision = f"{kind}{'bf16' if self.bf16 else 'fp32'}"
        self.upscale = upscale
        self._graph = self._core.read_model(graph.xml, graph.bin)
        self._version = openvino.get_version().split("-")[0]
        self.streams = min(_MOST_STREAMS, _usable_cores())
        self._requests: dict[tuple[int, ...], queue.SimpleQueue[Any]] = {}
        self._compiling = threading.Lock()

    @property
    def name(self) -> str:
        """For instance "openvino-2026.0.0-cpu-bf16"."""
        return f"openvino-{self._version}-cpu-{self._precision}"

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


def open_openvino(model: Model, device: str) -> OpenVinoEngine:
    """See `registry.OpenEngine`."""
    refuse_cuda(device)
    from wsi_nucssl.engines.exporting import export_graph

    return OpenVinoEngine(export_graph(model.network), model.info.upscale)


def refuse_cuda(device: str) -> None:
    """Raise `UsageError` where an engine of the CPU is to run on CUDA."""
    if device == "cuda":
        raise UsageError("OpenVINO runs on the CPU only here", remedy="Use ⟨device⟩ cpu or ⟨engine⟩ torch")


def _usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
