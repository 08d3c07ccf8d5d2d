"""Write the topologies that come with the package, one for each architecture of a bundled model.

    python -m scripts.topologies

Needed again when an architecture or what is exported changes; a test says so.
"""

from __future__ import annotations

from wsi_nucssl.engines.exporting import topology_of
from wsi_nucssl.engines.topology import topology_path
from wsi_nucssl.models.info import bundled_models
from wsi_nucssl.models.weights import load_model


def bundled_architectures() -> list[str]:
    """Of the models that come with the package, each once."""
    return sorted({load_model(name).info.arch for name in bundled_models()})


def main() -> None:
    """Write each, and say how large it is."""
    for arch in bundled_architectures():
        path = topology_path(arch)
        topology_of(arch).save(path)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
