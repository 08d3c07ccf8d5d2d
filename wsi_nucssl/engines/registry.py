"""Which engines there are: names and lines of help; an engine's library is imported when the engine is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from wsi_nucssl.registry import Plugin, Registry

if TYPE_CHECKING:
    from wsi_nucssl.engines.base import Engine
    from wsi_nucssl.models.weights import Model

VIEWS: Final = (1, 2, 4, 8)
"""Numbers of views that test-time augmentation takes."""


class OpenEngine(Protocol):
    """Sets up an engine for a model."""

    def __call__(self, model: Model, device: str) -> Engine:
        """The engine of `model` on a device, "cpu" or "cuda".

        Raises
        ------
        UsageError
            The engine does not run there.
        WeightsError
            What the engine needs of the model is not there.
        """
        ...


ENGINES: Final[Registry[OpenEngine]] = Registry(
    "engine",
    "wsi_nucssl.engines",
    Plugin("torch", "wsi_nucssl.engines.torch_engine:open_torch", "PyTorch, on a GPU or the CPU"),
    Plugin(
        "openvino", "wsi_nucssl.engines.openvino_engine:open_openvino", "OpenVINO, faster than torch on a CPU"
    ),
    Plugin(
        "int8",
        "wsi_nucssl.engines.int8:open_int8",
        "OpenVINO with the graph that `quantise` made, faster still",
    ),
)
