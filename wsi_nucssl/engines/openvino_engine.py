"""OpenVINO as an engine: the fast one on CPUs."""

from __future__ import annotations

import os
import queue
import threading
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.engines.cache import cached, keep
from wsi_nucssl.engines.graphs import Graph
from wsi_nucssl.engines.quiet_import import no_reports
from wsi_nucssl.engines.topology import Topology, shipped_topology
from wsi_nucssl.errors import UsageError, WeightsError
from wsi_nucssl.models.arrays import read_arrays
from wsi_nucssl.models.weights import Model

with no_reports():
    import openvino
    from openvino import opset13

_MOST_STREAMS: Final = 4
"""Each takes the memory of a batch's activations."""
_MOST_SHAPES: Final = 2
"""Compiled at a time: that of slides, and its transpose for rotated views of small images."""


_EXPORT: Final = 1
"""Raised when `exporting` makes other graphs than before."""


class OpenVinoEngine:
    """OpenVINO on the CPU: bf16 where the processor has it, float32 elsewhere; int8 where a graph is quantised.

    Cores are shared out among a few streams: batches side by side wait for one another less than the threads of one.
    What is compiled for a shape of windows is kept for the next run.

    Parameters
    ----------
    graph : Graph
        What runs.
    upscale : int
        Of the network behind it.
    kind : str
        Tells a graph that is not the network as it is from others, in the engine's name.
    exact_division : bool
        As PyTorch's frontend marks divisions and files forget: not to be replaced by multiplications, which round
        otherwise.
    """

    batch_px = 0

    def __init__(self, graph: Graph, upscale: int, *, kind: str = "", exact_division: bool = False) -> None:
        # Two threads that are the first to ask OpenVINO for a numpy type wait for one another for ever, one with the
        # interpreter's lock and one with pybind11's: so ask here, before there are threads.
        openvino.Type.u8.to_dtype()
        self._core = openvino_core()
        self.bf16 = "BF16" in abilities()
        self._precision = f"{kind}{'bf16' if self.bf16 else 'fp32'}"
        self.upscale = upscale
        self._graph, self._exact_division = graph, exact_division
        self._version = openvino.get_version().split("-")[0]
        self.streams = min(_MOST_STREAMS, _usable_cores())
        self._settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.bf16 else "f32",
            "NUM_STREAMS": self.streams,
            "ENABLE_CPU_PINNING": False,  # the machine is ours to share, not to own
        }
        self._requests: dict[tuple[int, ...], queue.SimpleQueue[Any]] = {}
        self._compiling = threading.Lock()

    @property
    def name(self) -> str:
        """For instance "openvino-2026.0.0-cpu-bf16-brgconv_avx512_bf16": kernels of another kind round otherwise."""
        return f"openvino-{self._version}-cpu-{self._precision}-{best_kernel()}"

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
        key = self._compiled_key(shape)
        compiled = self._kept(key)
        if compiled is None:
            compiled = self._core.compile_model(self._model(shape), "CPU", self._settings)
            keep(key, compiled.export_model().getvalue())
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.streams):
            requests.put(compiled.create_infer_request())
        return requests

    def _compiled_key(self, shape: tuple[int, ...]) -> str:
        """Everything that what is compiled depends on."""
        processor = (
            self._core.get_property("CPU", "FULL_DEVICE_NAME"),
            abilities(),
            _usable_cores(),
        )
        graph = self._graph.digest, self._exact_division, shape
        return f"compiled {graph} {openvino.get_version()} {processor} {self._settings}"

    def _kept(self, key: str) -> Any:
        """What an earlier run compiled, if it is there and this OpenVINO takes it."""
        entry = cached(key)
        try:
            return entry and self._core.import_model(entry, "CPU", self._settings)
        except RuntimeError:  # all that OpenVINO raises
            return None

    def _model(self, shape: tuple[int, ...]) -> Any:
        model = self._core.read_model(self._graph.xml, self._graph.bin)
        if self._exact_division:
            for operation in model.get_ops():
                if operation.get_type_name() == "Divide":
                    operation.get_rt_info()["nonconvertable_divide_0"] = True
        model.reshape(list(shape))
        return model


def open_openvino(model: Model, device: str) -> OpenVinoEngine:
    """See `registry.OpenEngine`; a network of no shipped topology is exported when it is met for the first time."""
    refuse_cuda(device)
    topology = shipped_topology(model.info)
    graph = _exported(model) if topology is None else _filled(topology, model)
    return OpenVinoEngine(graph, model.info.upscale, exact_division=True)


def _filled(topology: Topology, model: Model) -> Graph:
    """The network as a graph, from its weights file alone."""
    try:
        return topology.filled(read_arrays(model.path, model.sha256))
    except ValueError as error:
        raise WeightsError(
            f"the tensors do not fit the architecture ({error})",
            path=model.path,
            remedy="Use a matching file",
        ) from error


def _exported(model: Model) -> Graph:
    """The network as a graph that PyTorch makes, from the cache where it is there."""
    key = f"exported {_EXPORT} {model.sha256} openvino {version('openvino')} torch {version('torch')}"
    entry = cached(key)
    if entry is not None:
        return Graph.from_bytes(entry)
    from wsi_nucssl.engines.exporting import export_graph

    graph = export_graph(model.network)
    keep(key, graph.to_bytes())
    return graph


def refuse_cuda(device: str) -> None:
    """Raise `UsageError` where an engine of the CPU is to run on CUDA."""
    if device == "cuda":
        raise UsageError("OpenVINO runs on the CPU only here", remedy="Use ⟨device⟩ cpu or ⟨engine⟩ torch")


@cache
def openvino_core() -> Any:
    """OpenVINO itself, once in a process and never given back.

    Its CPU plugin gives the thread that loads it a stack for signals, and frees that stack with itself. Where another
    thread drops it last, the first is left with a stack that is gone, and its next signal ends the process.
    """
    return openvino.Core()


@cache
def abilities() -> tuple[str, ...]:
    """What OpenVINO says that this processor is good at: "BF16", "INT8" …"""
    return tuple(sorted(openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")))


def best_kernel() -> str:
    """The `convolution_kernel` of the precision that engines of floating point choose here."""
    return convolution_kernel("bf16" if "BF16" in abilities() else "f32")


@cache
def convolution_kernel(precision: str) -> str:
    """What a convolution runs by on this processor, as OpenVINO's compiled graph names it: "brgconv_avx512_bf16", say.

    Parameters
    ----------
    precision : str
        OpenVINO's inference precision, "bf16" or "f32".

    Raises
    ------
    RuntimeError
        OpenVINO does not start.
    """
    given = opset13.parameter([1, 16, 32, 32], np.float32)
    weights = opset13.constant(np.ones((16, 16, 3, 3), np.float32))
    model = openvino.Model([opset13.convolution(given, weights, [1, 1], [0, 0], [0, 0], [1, 1])], [given])
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    for operation in compiled.get_runtime_model().get_ops():
        facts = {key: str(value.astype(str)) for key, value in operation.get_rt_info().items()}
        if facts.get("layerType") == "Convolution":
            return facts["primitiveType"]
    return "unknown"


def _usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
