"""INT8 as an engine: OpenVINO with a quantised graph, kept in a file beside the weights; `quantisation` makes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wsi_nucssl.engines.graphs import Graph, read_graph
from wsi_nucssl.errors import InputError, WeightsError
from wsi_nucssl.models.weights import Model

if TYPE_CHECKING:
    from wsi_nucssl.engines.openvino_engine import OpenVinoEngine

SUFFIX: Final = ".int8"
KEY: Final = "wsi_nucssl_int8"


def quantised_path(weights: Path) -> Path:
    """Where the quantised graph of a weights file is looked for."""
    return weights.with_suffix(SUFFIX)


def open_int8(model: Model, device: str) -> OpenVinoEngine:
    """See `registry.OpenEngine`."""
    from wsi_nucssl.engines.openvino_engine import OpenVinoEngine, refuse_cuda

    refuse_cuda(device)
    graph, _ = read_quantised(model)
    return OpenVinoEngine(graph, model.info.upscale, kind=f"int8-{graph.digest[:8]}-")


def is_preferred(model: Model) -> bool:
    """True if there is a quantised graph that was measured to be as accurate as the network, and faster on such a CPU.

    CPUs are told apart by what they run convolutions in floating point by: where that is bf16 by AMX, INT8 may well be
    the slower one.

    Raises
    ------
    WeightsError
        There is one, and it is damaged or was made from other weights.
    """
    if not quantised_path(model.path).exists():
        return False
    header = read_quantised(model)[1]
    if header.get("accurate") is not True:
        return False
    from wsi_nucssl.engines.openvino_engine import best_kernel

    speeds = header.get("speeds")
    speed = speeds.get(best_kernel()) if isinstance(speeds, dict) else None
    return isinstance(speed, float | int) and speed > 1


def read_quantised(model: Model) -> tuple[Graph, dict[str, Any]]:
    """The quantised graph of a model, and its header: versions, images that were looked at, comparison.

    Raises
    ------
    WeightsError
        There is none beside the weights, it is damaged, or it was made from other weights.
    """
    path = quantised_path(model.path)
    remedy = f"Make it with: wsi-nucssl quantise {model.path} DATASET"
    if not path.exists():
        raise WeightsError("there is no quantised graph of this model", path=path, remedy=remedy)
    remedy += " ⟨overwrite⟩"
    try:
        graph, header = read_graph(path, KEY)
    except InputError as error:
        raise WeightsError(error.what, path=path, remedy=remedy) from error
    if header.get("weights_sha256") != model.sha256:
        raise WeightsError("the quantised graph was made from other weights", path=path, remedy=remedy)
    return graph, header
