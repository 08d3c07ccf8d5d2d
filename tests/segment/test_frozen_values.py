"""What was parsed and checked once is changed by nobody later."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest

from wsi_nucssl.segment import plan

ROOM = plan.__name__.rpartition(".")[0]
COUNTS_UP = {"SlideProgress"}
"""What says how far a slide is."""


def values() -> list[type]:
    """The dataclasses of the package."""
    names = [each.name for each in pkgutil.iter_modules([str(Path(plan.__file__).parent)])]
    modules = [importlib.import_module(f"{ROOM}.{name}") for name in names]
    found = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    ours = [each for each in found if each.__module__.startswith(ROOM)]
    return sorted((each for each in ours if dataclasses.is_dataclass(each)), key=lambda each: each.__name__)


@pytest.mark.parametrize("kind", values(), ids=lambda kind: kind.__name__)
def test_a_value_takes_no_other_fields_and_no_change(kind: type) -> None:
    value: Any = object.__new__(kind)
    with pytest.raises((AttributeError, TypeError)):
        value.misspelt = 1
    if kind.__name__ not in COUNTS_UP:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(kind)[0].name, 1)
