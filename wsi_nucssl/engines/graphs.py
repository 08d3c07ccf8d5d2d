"""OpenVINO graphs: a network in OpenVINO's own format, in memory or in one file with a header."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from wsi_nucssl.errors import InputError
from wsi_nucssl.files import write_atomic


@dataclass(frozen=True, slots=True)
class Graph:
    """An OpenVINO IR: RGB bytes in, probability bytes out, of any size."""

    xml: bytes
    bin: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the graph."""
        return hashlib.sha256(self.xml + self.bin).hexdigest()

    def to_bytes(self, **metadata: str) -> bytes:
        """Two tensors of bytes in safetensors, with what else is to be said."""
        tensors = {name: np.frombuffer(getattr(self, name), np.uint8) for name in ("xml", "bin")}
        return save(tensors, metadata=metadata or None)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` wrote."""
        return cls(**{name: tensor.tobytes() for name, tensor in load(content).items()})


def write_graph(path: Path, graph: Graph, key: str, header: dict[str, Any]) -> None:
    """Write a graph atomically, as two tensors of bytes in safetensors; `header` is kept under `key`."""
    write_atomic(path, graph.to_bytes(**{key: json.dumps(header)}))


def read_graph(path: Path, key: str) -> tuple[Graph, dict[str, Any]]:
    """A graph and its header.

    Raises
    ------
    InputError
        The file cannot be read, or is no graph with that key.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})[key])
            xml, weights = (file.get_tensor(name).tobytes() for name in ("xml", "bin"))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"not a whole graph ({error})", path=path, remedy="Remove the file") from error
    if not isinstance(header, dict):
        raise InputError("the graph's header is no object", path=path, remedy="Remove the file")
    return Graph(xml, weights), header
