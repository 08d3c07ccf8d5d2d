"""Weights: a whole file of a network that is known, the one that its card or its run names, of finite numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.files import sha256_file
from wsi_nucssl.models.cards import doubts_of_weights, read_card
from wsi_nucssl.models.info import ENCODER_KEY, parse_info, read_header
from wsi_nucssl.verification.claims import Claims
from wsi_nucssl.verification.fault import Fault, Verdict

_COPY: Final = "Copy or download it again"
_FLOATS: Final = ("F16", "F32", "F64")
"""Kinds of tensor in which numbers can be none, and that numpy reads."""


def look_at_weights(path: Path, claims: Claims) -> Verdict:
    """All that can be said of a file of weights."""
    try:
        header = read_header(path)
        name = "an encoder" if ENCODER_KEY in header else parse_info(path, header).name
    except WeightsError as error:
        damaged = Fault(str(path), "damaged", error.what, error.remedy or _COPY)
        return Verdict(path, "weights", "", (damaged, *_by_card(path)))
    faults = [*_by_card(path), *_by_run(path), *_not_finite(path)]
    sha256 = sha256_file(path)
    if claims.model_sha256 and sha256 != claims.model_sha256:
        what = "it is not the model that was given"
        faults.append(Fault(str(path), "other-weights", what, "Give the right ⟨model⟩"))
    named = read_card(path) or _stated(path)
    said = f"{name}, SHA-256 {sha256[:12]}…" + ("" if named else ", which no card and no run states")
    return Verdict(path, "weights", said, tuple(faults))


def _by_card(path: Path) -> Iterator[Fault]:
    for doubt in doubts_of_weights(path):
        yield Fault(str(path), "card", doubt.what, doubt.remedy)


def _stated(path: Path) -> str:
    """The SHA-256 that the run beside it wrote down when it was done; "" without one."""
    try:
        return str(json.loads((path.parent / "done.json").read_bytes()).get("model_sha256", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _by_run(path: Path) -> Iterator[Fault]:
    stated = _stated(path) if path.name == "model.safetensors" else ""
    if stated and stated != sha256_file(path):
        yield Fault(str(path), "changed", "it is not the file that the run beside it wrote", _COPY)


def _not_finite(path: Path) -> Iterator[Fault]:
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if file.get_slice(name).get_dtype() not in _FLOATS:
                    continue
                if not np.isfinite(file.get_tensor(name)).all():
                    yield Fault(
                        str(path), "not-finite", f"its tensor {name} has a number that is none", _COPY
                    )
                    return
    except (SafetensorError, OSError, ValueError) as error:
        yield Fault(str(path), "damaged", f"not a whole safetensors file ({error})", _COPY)
