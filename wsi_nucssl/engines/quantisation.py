"""Make quantised graphs: post-training quantisation (NNCF) looks at what the activations of a few images are."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.engines.graphs import Graph, write_graph
from wsi_nucssl.engines.int8 import KEY, quantised_path, read_quantised
from wsi_nucssl.engines.quiet_import import no_reports
from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.spec import MULTIPLE
from wsi_nucssl.models.weights import Model

_CROP_PX: Final = 512
_FLOATING: Final = 3
"""Convolutions that stay as they are: the stem, and the first block of an EfficientNet-Lite."""


def quantise(model: Model, pictures: Iterable[NDArray[np.uint8]], provenance: dict[str, Any]) -> Path:
    """Quantise a model's convolutions to INT8 and write the graph beside its weights; returns the file.

    Parameters
    ----------
    model : Model
        Whose weights lie in a folder that can be written to.
    pictures : iterable of ndarray
        RGB (row, col, 3) at the mpp that the network sees, to calibrate on; not those that it will be scored on.
    provenance : dict
        What they were, for the file's header.

    Raises
    ------
    UsageError
        NNCF is not installed, or there is no image.
    """
    crops = [crop for picture in pictures for crop in _crops(picture)]
    if not crops:
        raise UsageError("there is no image to calibrate on", remedy="Give a dataset with training images")
    graph = _nncf_quantised(model, crops)
    versions = {name: version(name) for name in ("nncf", "openvino")}
    header = {"weights_sha256": model.sha256, "versions": versions, **provenance}
    path = quantised_path(model.path)
    write_graph(path, graph, KEY, header)
    return path


def record_accuracy(model: Model, comparison: Mapping[str, Any], *, accurate: bool) -> None:
    """Write into a model's quantised graph how its scores compare with those of the network as it is.

    Raises
    ------
    WeightsError
        As `read_quantised`.
    """
    graph, header = read_quantised(model)
    header |= {"comparison": dict(comparison), "accurate": accurate}
    write_graph(quantised_path(model.path), graph, KEY, header)


def record_speed(model: Model, kernel: str, speed: float) -> None:
    """Write into a model's quantised graph how many times as fast it is as the network, on CPUs of that kernel.

    What is known of other CPUs stays.

    Raises
    ------
    WeightsError
        As `read_quantised`.
    """
    graph, header = read_quantised(model)
    header["speeds"] = {**header.get("speeds", {}), kernel: round(speed, 4)}
    write_graph(quantised_path(model.path), graph, KEY, header)


def _crops(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Square crops, (1, side, side, 3), along the diagonal of a picture: its corners are seen, not its middle twice."""
    rows, cols = picture.shape[:2]
    side = min(_CROP_PX, rows, cols) // MULTIPLE * MULTIPLE
    if not side:
        return []
    corners = {(0, 0), (rows - side, cols - side)}
    return [np.ascontiguousarray(picture[None, y : y + side, x : x + side]) for y, x in sorted(corners)]


def _nncf_quantised(model: Model, crops: list[NDArray[np.uint8]]) -> Graph:
    try:
        with no_reports():
            import nncf
            from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    except ModuleNotFoundError as error:
        raise UsageError(
            "quantising needs NNCF, which is not installed", remedy="pip install 'wsi-nucssl[int8]'"
        ) from error

    from wsi_nucssl.engines.exporting import openvino_model, serialised

    nncf.set_log_level(logging.ERROR)  # it warns of each layer whose range it finds in another way
    graph = openvino_model(model.network)
    graph.reshape([1, -1, -1, 3])
    histograms = RangeEstimatorParametersSet.HISTOGRAM
    small = nncf.quantize(
        graph,
        nncf.Dataset(crops),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(crops),
        ignored_scope=nncf.IgnoredScope(names=_first_block(graph), validate=False),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=histograms
        ),
    )
    return serialised(small)


def _first_block(graph: Any) -> list[str]:
    """The convolution that sees the picture, and the block after it with what it hands on: they stay in floating point.

    In INT8 they are known to cost accuracy (Zhou et al., 2016, https://arxiv.org/abs/1606.06160, of the first; Sheng et
    al., 2018, https://arxiv.org/abs/1803.08607, of separable ones); with so few channels they save next to no time.
    """
    names: list[str] = []
    convolutions = 0
    for operation in graph.get_ordered_ops():
        is_convolution = operation.get_type_name() in ("Convolution", "GroupConvolution")
        convolutions += is_convolution
        if convolutions > _FLOATING:
            break
        if is_convolution or convolutions > 1:
            names.append(operation.get_friendly_name())
    return names
