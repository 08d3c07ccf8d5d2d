"""Set up the engine that is asked for, or the one that suits the device."""

from __future__ import annotations

from os import PathLike
from typing import Final

from wsi_nucssl.checks import shown
from wsi_nucssl.engines.base import Engine
from wsi_nucssl.engines.int8 import is_preferred
from wsi_nucssl.engines.registry import ENGINES
from wsi_nucssl.engines.tta import Augmented
from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.devices import Device, chosen_device
from wsi_nucssl.models.weights import Model, as_model

_DEVICE: Final[Device] = "auto"
_VIEWS: Final = 1


def open_engine(
    model: Model | str | PathLike[str], device: Device = _DEVICE, engine: str = "auto", views: int = _VIEWS
) -> Engine:
    """The engine for a device: CUDA through PyTorch; the CPU through OpenVINO, or what is asked for.

    On a CPU, "auto" takes the quantised graph that lies beside the weights if it was measured to be as accurate, on
    every set, and faster on such CPUs (`benchmark.quantise`).

    Parameters
    ----------
    model : Model, str or Path
        Whose network predicts: what `load_model` gave, or what it takes.
    device : {"auto", "cpu", "cuda"}
        "auto" takes CUDA where there is one.
    engine : str
        "auto", or a name of `ENGINES`.
    views : {1, 2, 4, 8}
        Mirrored and rotated inputs to average over.

    Raises
    ------
    UsageError
        CUDA was asked for and is not there, an engine of the CPU was asked for on CUDA, or there is no such engine.
    WeightsError
        "int8", and there is no quantised graph of these weights.
    """
    loaded, where = as_model(model), chosen_device(device)
    opened = ENGINES.get(_suiting(loaded, where) if engine == "auto" else engine)(loaded, where)
    return opened if views == 1 else Augmented(opened, views)


def as_engine(given: str | Engine, model: Model, device: Device, views: int) -> Engine:
    """An engine as people give it: by name, or set up already.

    Raises
    ------
    UsageError
        It is neither, or what it was set up with is asked for again and otherwise.
    """
    if isinstance(given, str):
        return open_engine(model, device, given, views)
    if not hasattr(given, "predict"):
        raise UsageError(f"⟨engine⟩ is a name or what open_engine gave, not {shown(given)}")
    for name, value, default in (("device", device, _DEVICE), ("views", views, _VIEWS)):
        if value != default:
            raise UsageError(
                f"⟨{name}⟩ belongs to the engine, which is set up already",
                remedy="Give it to open_engine instead",
            )
    return given


def _suiting(model: Model, device: str) -> str:
    if device == "cuda":
        return "torch"
    return "int8" if is_preferred(model) else "openvino"
