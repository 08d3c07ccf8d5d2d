"""Help texts from registries."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from wsi_nucssl.registry import Registry


def listed(registry: Registry[Any]) -> str:
    """Our own names with their lines of help, neighbours of one line together; a wrong name is answered with all."""
    groups = groupby(registry.own, lambda each: each.help)
    return "; ".join(f"{', '.join(each.name for each in some)}: {text}" for text, some in groups) + "."
