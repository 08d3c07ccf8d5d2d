"""An OpenVINO graph without its weights: with it, a network runs where PyTorch is not imported, nor installed.

An exported graph is a description (XML) and the bytes of its constants. All of these but a kilobyte are the network's
weights, as they are. A topology keeps the rest and says which tensor goes where. Those of the bundled models'
architectures come with the package; `exporting.topology_of` makes them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from numpy.typing import NDArray

from wsi_nucssl.engines.graphs import Graph
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.schema import UNTYPED

FOLDER: Final = Path(__file__).parent / "topologies"


@dataclass(frozen=True, slots=True)
class Topology:
    """What of a graph is the architecture's alone.

    Attributes
    ----------
    xml : str
        The description.
    constants : list of dict
        In their order, `{"tensor": name}`, or `{"bytes": …}` in hexadecimal of what is no weight.
    shapes : dict
        Of all tensors of such a network, by name; those that only training needs are no constants.
    """

    xml: str
    constants: list[dict[str, str]]
    shapes: dict[str, list[int]]

    def filled(self, tensors: Mapping[str, NDArray[Any]]) -> Graph:
        """The graph of the network with these tensors.

        Raises
        ------
        ValueError
            They are not those of the architecture.
        """
        given = {name: [*array.shape] for name, array in tensors.items()}
        for name in sorted(given.keys() | self.shapes.keys()):
            if given.get(name) != self.shapes.get(name):
                raise ValueError(f"{name}: {given.get(name, 'none')} for {self.shapes.get(name, 'none')}")
        filled = (
            tensors[each["tensor"]].tobytes() if "tensor" in each else bytes.fromhex(each["bytes"])
            for each in self.constants
        )
        return Graph(self.xml.encode(), b"".join(filled))

    def save(self, path: Path) -> None:
        """Write it atomically; the same topology gives the same bytes."""
        write_atomic(path, gzip.compress(json.dumps(asdict(self), ensure_ascii=False).encode(), mtime=0))

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `save` wrote."""
        return cls(**json.loads(gzip.decompress(path.read_bytes())))


def topology_path(arch: str) -> Path:
    """Where an architecture's topology lies if it comes with the package."""
    return FOLDER / f"{arch}.json.gz"


def shipped_topology(info: ModelInfo) -> Topology | None:
    """The one that comes with the package for such a model; None if there is none, or the model tells types apart."""
    path = topology_path(info.arch)
    return Topology.read(path) if info.schema == UNTYPED and path.exists() else None
