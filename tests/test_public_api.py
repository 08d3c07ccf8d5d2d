"""What the package offers, what importing it costs, and the tree of its errors."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import wsi_nucssl
from wsi_nucssl import errors

PUBLIC = sorted({*wsi_nucssl.__all__} - {"__version__"})
BELOW = {"pretrain", "finetune", "benchmark", "segment_slide", "segment_slides"}
"""Jobs in `jobs`, on paths; functions of these names in the rooms below take what is parsed already."""


def test_every_public_name_is_there_and_nothing_else() -> None:
    assert sorted(wsi_nucssl.__all__) == dir(wsi_nucssl)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = wsi_nucssl.nonsense


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    offered = getattr(wsi_nucssl, name)
    assert offered.__name__.rpartition(".")[2] == name
    text = inspect.getdoc(offered)
    assert text
    if not inspect.isclass(offered):
        assert _documented(text) == [*inspect.signature(offered).parameters], f"parameters of {name}"


def _documented(text: str) -> list[str]:
    """The names in a docstring's Parameters section, in order."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n---|\Z)", text, re.M | re.S)
    assert section, "no Parameters section"
    names = re.findall(r"^([\w, ]+) :", section[1], re.M)
    return [name for group in names for name in group.split(", ")]


def test_type_checkers_see_the_same_names() -> None:
    shown = set(re.findall(r"^    from [\w.]+ import (\w+) as \1$", inspect.getsource(wsi_nucssl), re.M))
    assert shown == set(PUBLIC)


def test_type_checkers_see_what_is_there() -> None:
    source = inspect.getsource(wsi_nucssl)
    for home, name in re.findall(r"^    from ([\w.]+) import (\w+) as \2$", source, re.M):
        offered = getattr(import_module(home), name)
        there = getattr(wsi_nucssl, name)
        assert getattr(there, "__wrapped__", there) is offered, name


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_is_cheap() -> None:
    before, after = (
        set(_run(f"import sys{more}; print(*sys.modules)").split()) for more in ("", ", wsi_nucssl")
    )
    roots = {name.partition(".")[0] for name in after - before}
    assert roots - {"importlib", "warnings"} == {"wsi_nucssl"}


def test_asking_for_help_imports_nothing_heavy() -> None:
    heavy = "{'numpy', 'torch', 'cv2', 'openslide', 'zarr', 'numba', 'pandas', 'dask', 'matplotlib'}"
    _run(f"import sys, wsi_nucssl as wn; dir(wn); wn.segment; assert not {heavy} & {{*sys.modules}}")


ROOMS = [name for name in PUBLIC if (Path(wsi_nucssl.__file__).parent / name / "__init__.py").exists()]


@pytest.mark.parametrize("name", ROOMS)
@pytest.mark.parametrize("first", ["", "import wsi_nucssl.{name}", "from wsi_nucssl.{name} import {module}"])
def test_a_room_that_is_a_job_too_is_both_whatever_was_imported_first(name: str, first: str) -> None:
    folder = Path(wsi_nucssl.__file__).parent / name
    module = min(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    code = f"""
{first.format(name=name, module=module)}
import inspect, pickle, sys, types
import wsi_nucssl as wn
job = wn.{name}
import wsi_nucssl.{name}.{module} as module
import wsi_nucssl.{name}.{module}
assert wn.{name} is job is sys.modules["wsi_nucssl.{name}"] is pickle.loads(pickle.dumps(job))
assert wsi_nucssl.{name}.{module} is module is sys.modules[module.__name__]
assert callable(job) and isinstance(job, types.ModuleType)
assert "Parameters" in job.__doc__ and job.__wrapped__.__name__ == "{name}"
assert inspect.signature(job) == inspect.signature(job.__wrapped__)
try:
    job()
except TypeError as error:
    assert "{name}()" in str(error)
else:
    raise AssertionError("it asks for nothing")
"""
    _run(code)


def test_jobs_have_the_defaults_of_the_command_line() -> None:
    from wsi_nucssl_cli.app import app

    commands = {each.name: each.callback for each in app.registered_commands if each.callback}
    renamed = {"views": "tta", "recipe": "config", "weights": "weight", "teachers": "teacher"}
    for job in BELOW:
        ours = inspect.signature(getattr(wsi_nucssl, job)).parameters
        theirs = inspect.signature(commands["segment" if job.startswith("segment_") else job]).parameters
        compared = 0
        for name, parameter in ours.items():
            flag = theirs.get(name) or theirs.get(renamed.get(name, ""))
            if flag is not None and parameter.default is not inspect.Parameter.empty:
                assert (parameter.default or None) == (flag.default or None), f"{job}: {name}"
                compared += 1
        assert compared > 6


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
