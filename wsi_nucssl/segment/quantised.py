"""Quantised graphs: a network in INT8 for OpenVINO, kept in a file beside its weights.

Post-training quantisation (NNCF) looks at what the activations of a few images are, so it needs images once, when the
file is made, and not where it is used.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from wsi_nucssl.errors import UsageError, WeightsError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.resunet import MULTIPLE
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.images import network_input

SUFFIX: Final = ".int8"
_KEY: Final = "wsi_nucssl_int8"
_CROP_PX: Final = 512


@dataclass(frozen=True, slots=True)
class QuantisedGraph:
    """An OpenVINO IR in memory; `digest` tells it from other quantisations.

    Attributes
    ----------
    upscale : the network's.
    preferred : it was measured to be as accurate as the network and faster, see `record_comparison`.
    """

    xml: bytes
    bin: bytes
    upscale: int
    preferred: bool = False

    @property
    def digest(self) -> str:
        """Short hash of the graph."""
        return hashlib.sha256(self.xml + self.bin).hexdigest()[:8]


def quantised_path(weights: Path) -> Path:
    """Where the quantised graph of a weights file is looked for."""
    return weights.with_suffix(SUFFIX)


def quantise(model: Model, images: Iterable[NDArray[np.uint8]], provenance: dict[str, Any]) -> Path:
    """Quantise a model's convolutions to INT8 and write the graph beside its weights; returns the file.

    Parameters
    ----------
    images : RGB (row, col, 3) at the model's mpp, to calibrate on; not those that it will be scored on.
    provenance : what they were, for the file's header.

    Raises
    ------
    UsageError : NNCF is not installed, or there is no image.
    """
    upscale = model.network.upscale
    crops = [crop for image in images for crop in _crops(network_input(image, upscale))]
    if not crops:
        raise UsageError("there is no image to calibrate on", remedy="Give a dataset with training images")
    graph = _nncf_quantised(model, crops)
    path = quantised_path(model.path)
    tensors = {name: np.frombuffer(getattr(graph, name), np.uint8) for name in ("xml", "bin")}
    versions = {name: version(name) for name in ("nncf", "openvino")}
    header = {"weights_sha256": model.sha256, "versions": versions, **provenance}
    write_atomic(path, save(tensors, metadata={_KEY: json.dumps(header)}))
    return path


def record_comparison(model: Model, comparison: Mapping[str, Any], *, preferred: bool) -> None:
    """Write into a model's quantised graph how it compares with the network as it is.

    `preferred` says whether an engine that is chosen automatically on a CPU is to be this one.

    Raises
    ------
    WeightsError : as `read_quantised`.
    """
    graph = read_quantised(model)
    path = quantised_path(model.path)
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()[_KEY])
    header |= {"comparison": dict(comparison), "preferred": preferred}
    tensors = {name: np.frombuffer(getattr(graph, name), np.uint8) for name in ("xml", "bin")}
    write_atomic(path, save(tensors, metadata={_KEY: json.dumps(header)}))


def read_quantised(model: Model) -> QuantisedGraph:
    """The quantised graph of a model.

    Raises
    ------
    WeightsError : there is none beside the weights, it is damaged, or it was made from other weights.
    """
    path = quantised_path(model.path)
    remedy = f"Make it with: wsi-nucssl quantise {model.path} DATASET"
    if not path.exists():
        raise WeightsError("there is no quantised graph of this model", path=path, remedy=remedy)
    remedy += " ⟨overwrite⟩"
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            xml, weights = (file.get_tensor(name).tobytes() for name in ("xml", "bin"))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(f"not a whole quantised graph ({error})", path=path, remedy=remedy) from error
    if header.get("weights_sha256") != model.sha256:
        raise WeightsError("the quantised graph was made from other weights", path=path, remedy=remedy)
    preferred = header.get("preferred") is True
    return QuantisedGraph(xml, weights, model.network.upscale, preferred)


def _crops(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Square crops, (1, side, side, 3), along the diagonal of an image: its corners are seen, not its middle twice."""
    rows, cols = image.shape[:2]
    side = min(_CROP_PX, rows, cols) // MULTIPLE * MULTIPLE
    if not side:
        return []
    corners = {(0, 0), (rows - side, cols - side)}
    return [np.ascontiguousarray(image[None, y : y + side, x : x + side]) for y, x in sorted(corners)]


def _nncf_quantised(model: Model, crops: list[NDArray[np.uint8]]) -> QuantisedGraph:
    try:
        import nncf
    except ModuleNotFoundError as error:
        raise UsageError(
            "quantising needs NNCF, which is not installed", remedy="pip install 'wsi-nucssl[int8]'"
        ) from error
    import openvino

    from wsi_nucssl.segment.openvino_engine import openvino_graph

    graph = openvino_graph(model.network)
    graph.reshape([1, -1, -1, 3])
    small = nncf.quantize(
        graph,
        nncf.Dataset(crops),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(crops),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        openvino.save_model(small, path, compress_to_fp16=False)
        weights = path.with_suffix(".bin").read_bytes()
        return QuantisedGraph(path.read_bytes(), weights, model.network.upscale)
