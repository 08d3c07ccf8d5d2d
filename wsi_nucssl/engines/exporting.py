"""A network of PyTorch as an OpenVINO graph."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from wsi_nucssl.engines.graphs import Graph
from wsi_nucssl.engines.quiet_import import no_reports
from wsi_nucssl.engines.torch_engine import ByteNetwork
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
