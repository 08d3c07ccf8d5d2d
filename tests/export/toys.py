"""A package from outside that adds a format: one file, found by its entry point."""

from __future__ import annotations

from pathlib import Path

from tests.outside import install
from wsi_nucssl.export.registry import EXPORTERS

MODULE = '''
"""Nuclei by name and place, one a file, in a folder."""

from contextlib import contextmanager

from wsi_nucssl.export.base import Exporter
from wsi_nucssl.export.ids import spelled_ids


@contextmanager
def _open(path, context):
    path.mkdir()
    (path / "slide.txt").write_text(f"{context.extent.width} {context.mpp.x}")

    def write(nuclei):
        ids = spelled_ids(context.ids(nuclei))
        for name, (x, y) in zip(ids, context.centroids_px(nuclei)):
            (path / name).write_text(f"{x:.3f} {y:.3f}")

    yield write


TOY = Exporter(_open, is_folder=True)
'''


ENTRY = "toy = toy_format:TOY"


def install_toy(site: Path) -> None:
    """Put the package into a folder of sys.path, as pip would leave it there."""
    install(site, "toy_format", EXPORTERS.group, ENTRY, MODULE)
