"""What the package offers, what importing it costs, and the tree of its errors."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys

import pytest

import wsi_nucssl
from wsi_nucssl import errors


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(wsi_nucssl.__all__) == dir(wsi_nucssl)
    for name in set(wsi_nucssl.__all__) - {"__version__"}:
        offered = getattr(wsi_nucssl, name)
        assert offered.__name__ == name
        told = offered.__doc__ or ""
        assert told
        assert not told.startswith(f"{name}(")  # what a dataclass without a docstring is given
    with pytest.raises(AttributeError, match="nonsense"):
        _ = wsi_nucssl.nonsense


def test_type_checkers_see_the_same_names() -> None:
    shown = set(re.findall(r"^    from [\w.]+ import (\w+) as \1$", inspect.getsource(wsi_nucssl), re.M))
    assert shown == set(wsi_nucssl.__all__) - {"__version__"}


def test_importing_is_cheap() -> None:
    code = (
        "import sys, wsi_nucssl; "
        "assert not {'numpy', 'torch', 'cv2', 'openslide', 'zarr', 'numba'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


ERRORS = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, errors.WsiNucsslError)
]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^ *([│├└─ ]*)(\w+) {2,}(?:exit|\d|…)", inspect.getdoc(errors) or "", re.M)
    above: dict[int, str] = {}
    tree = {}
    for lines, name in drawn:
        above[len(lines) // 4] = name
        tree[name] = above[len(lines) // 4 - 1] if lines else "Exception"
    bases = {kind.__name__: kind.__base__.__name__ for kind in ERRORS if kind.__base__}
    assert tree == bases


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_survive_the_way_between_processes(kind: type[errors.WsiNucsslError]) -> None:
    error = errors.Stopped(15) if kind is errors.Stopped else kind("what", path="a.svs", remedy="Do this")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.exit_code == error.exit_code
    assert kind is errors.Stopped or str(error) == "a.svs: what. Do this"
