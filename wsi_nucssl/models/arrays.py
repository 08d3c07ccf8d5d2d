"""The tensors of weights files as arrays, whatever they are stored as; PyTorch is not needed for that."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.info import damaged

Arrays = dict[str, NDArray[Any]]

SCALE: Final = ".int8_scale"
"""Ends the name of the scales of a tensor's channels, where the tensor is kept as INT8."""

_DTYPES: Final = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I8": "i1",
    "U8": "u1",
}
"""By the names of safetensors; BF16, which numpy lacks, is the upper half of a float32."""


def read_arrays(path: Path, sha256: str | None = None) -> Arrays:
    """A file's tensors by name; those of floating point are float32 and finite.

    Parameters
    ----------
    path : Path
        The weights file.
    sha256 : str or None
        What the file's hash has to be.

    Raises
    ------
    WeightsError
        The file cannot be read, is another one by now, or holds values that are not finite.
    """
    try:
        content = path.read_bytes()
        if sha256 and hashlib.sha256(content).hexdigest() != sha256:
            raise WeightsError("the weights changed while they were in use", path=path, remedy="Start again")
        stored = {name: _array(**tensor) for name, tensor in deserialize(content)}
        whole = {name: _scaled(stored, name) for name in stored if not name.endswith(SCALE)}
    except (SafetensorError, OSError, KeyError, ValueError, IndexError) as error:
        raise damaged(path, error) from error
    broken = [name for name, array in whole.items() if not np.isfinite(array).all()]
    if broken:
        raise WeightsError(
            f"{len(broken)} of its {len(whole)} tensors hold values that are not finite, {broken[0]} the first",
            path=path,
            remedy="The training diverged or the file is damaged; use another",
        )
    return whole


def _array(dtype: str, shape: list[int], data: bytes) -> NDArray[Any]:
    """One tensor as safetensors gives it: integers as they are stored, floating point as float32."""
    if dtype == "BF16":
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(data, _DTYPES[dtype])
    return values.astype(np.float32 if values.dtype.kind == "f" else values.dtype).reshape(shape)


def _scaled(stored: Arrays, name: str) -> NDArray[Any]:
    scale = stored.get(name + SCALE)
    if scale is None:
        return stored[name]
    if scale.shape != stored[name].shape[:1]:
        raise ValueError(f"{name} has other channels than scales")
    scaled: NDArray[np.float32] = stored[name].astype(np.float32) * scale[:, None, None, None]
    return scaled
