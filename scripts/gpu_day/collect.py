"""Back on the machine with the whole environment: weights put together, nuclei of the two devices compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from scripts.gpu_day.check import Planes
from scripts.gpu_day.slices import joined, read_index
from wsi_nucssl.files import write_atomic
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.settings import InstanceConfig


def collect(results: Path, out: Path) -> dict[str, Any]:
    """Write NAME.safetensors of every model that was shipped into `results`, and collected.json; returns the latter.

    Raises
    ------
    InputError
        A JSON file or a part of a model is missing or damaged.
    WeightsError
        What was put together is no model.
    """
    found: dict[str, Any] = {"models": {}, "check": {}}
    for index in sorted(results.glob("*.json")):
        listed = read_index(index)
        if "parts" in listed:
            path = out / f"{index.stem}.safetensors"
            write_atomic(path, joined(index))
            _ = load_model(path).network
            found["models"][path.name] = {name: listed[name] for name in ("step", "steps", "done", "scores")}
    for path in sorted(results.glob("check-*.npz")):
        with np.load(path) as planes:
            found["check"][path.stem] = _nuclei(planes["expected"], planes["found"])
    write_atomic(out / "collected.json", json.dumps(found, indent=1))
    return found


def _nuclei(expected: Planes, found: Planes) -> dict[str, float]:
    """How many nuclei each prediction gives, and the AJI of one against the other."""
    first, second = (
        label_instances(np.concatenate([planes, np.zeros_like(planes[:1])]), InstanceConfig())
        for planes in (expected, found)
    )
    agreement = aji(first, second)
    same = bool(np.array_equal(first > 0, second > 0))
    return {
        "expected": int(first.max()),
        "found": int(second.max()),
        "aji": 1.0 if np.isnan(agreement) else float(agreement),
        "same_pixels": float(same),
    }
