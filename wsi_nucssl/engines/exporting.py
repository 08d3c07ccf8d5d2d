"""A network of PyTorch as an OpenVINO graph."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import defusedxml.ElementTree
import torch

from wsi_nucssl.engines.graphs import Graph
from wsi_nucssl.engines.quiet_import import no_reports
from wsi_nucssl.engines.topology import Topology
from wsi_nucssl.engines.torch_engine import ByteNetwork
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.spec import MULTIPLE

with no_reports():
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder


def export_graph(network: ResUNet) -> Graph:
    """A ResUNet, bytes to bytes, as a graph in OpenVINO's own format, with its weights as they are."""
    return serialised(openvino_model(network))


def openvino_model(network: ResUNet) -> Any:
    """The same as a model of OpenVINO's.

    By the frontend itself: `convert_model` would report usage.
    """
    module = ByteNetwork(network).eval()
    example = torch.zeros((1, 2 * MULTIPLE, 2 * MULTIPLE, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        # Tracing warns that sizes become constants: the padding it means is empty for multiples of 32.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


def serialised(model: Any) -> Graph:
    """A model of OpenVINO's as bytes, float32 where it is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        return Graph(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def topology_of(arch: str) -> Topology:
    """An architecture's graph without weights.

    It is that of a network of random numbers, of which no two tensors are alike: so the bytes of a constant say which
    tensor it is, or that it is none.
    """
    network = build(arch)
    state = network.state_dict()
    chance = torch.Generator().manual_seed(0)
    for tensor in state.values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=chance) + 0.5)
    graph = export_graph(network)
    names = {tensor.numpy().tobytes(): name for name, tensor in state.items() if tensor.is_floating_point()}
    assert len(names) == sum(tensor.is_floating_point() for tensor in state.values()), "tensors alike"

    constants, reached = [], 0
    for begin, end in sorted({_span(data) for data in _described(graph) if "offset" in data}):
        name = names.pop(graph.bin[begin:end], None)
        if name is None:
            continue
        constants += _literal(graph.bin[reached:begin])
        constants.append({"tensor": name})
        reached = end
    constants += _literal(graph.bin[reached:])
    assert not names, f"not in the graph as they are: {', '.join(names.values())}"
    return Topology(graph.xml.decode(), constants, {name: [*tensor.shape] for name, tensor in state.items()})


def _described(graph: Graph) -> list[dict[str, str]]:
    """What a graph's description says of its operations' attributes."""
    return [dict(data.attrib) for data in defusedxml.ElementTree.fromstring(graph.xml).iter("data")]


def _span(data: dict[str, str]) -> tuple[int, int]:
    begin = int(data["offset"])
    return begin, begin + int(data["size"])


def _literal(content: bytes) -> list[dict[str, str]]:
    return [{"bytes": content.hex()}] if content else []
