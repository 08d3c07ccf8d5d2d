"""Nothing that an installation brings along has a licence that binds who uses the package."""

from __future__ import annotations

import re
from importlib.metadata import version

from packaging.requirements import Requirement
from packaging.version import Version

from scripts.licences import PACKAGE, UNSTATED, installed_with, licence

FREE_TO_LINK = r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|LGPL|MPL|Zlib|HPND|Unlicense|CC0"
OF_A_GPU = r"nvidia-|cuda-|triton"
"""NVIDIA's libraries, which come with the CUDA build of PyTorch alone, under NVIDIA's own terms."""


def test_every_dependency_states_a_licence_that_lets_the_package_be_what_it_is() -> None:
    packages = installed_with(PACKAGE)
    assert len(packages) > 40, "the walk has seen direct and indirect dependencies"
    bound = {
        name: licence(package)
        for name, package in packages.items()
        if not re.match(OF_A_GPU, name) and not re.search(FREE_TO_LINK, licence(package))
    }
    assert bound == {}
    assert UNSTATED not in {licence(packages[name]) for name in ("numpy", "torch", "zarr", "openslide-bin")}


def test_what_is_installed_is_within_the_ranges_that_are_stated() -> None:
    for text in installed_with(PACKAGE)[PACKAGE].requires or ():
        need = Requirement(text)
        if need.marker is None:
            assert need.specifier, f"{need.name} has no range"
            assert need.specifier.contains(Version(version(need.name)), prereleases=True), text
