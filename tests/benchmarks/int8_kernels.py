"""How many times as fast a model's INT8 graph is as the network in floating point, on CPUs of several kinds.

    python -m tests.benchmarks.int8_kernels MODEL DATASET [--write]

This CPU as it is; and held to older instruction sets by oneDNN's ONEDNN_MAX_CPU_ISA, in float32 where such CPUs have no
bf16. Prediction with extraction, images in turn, as `quantise --check` does it. `--write` puts what came out into the
graph, for `--engine auto`: for each kernel the least.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final

from wsi_nucssl.benchmark.quantise import check_quantised
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines import openvino_engine
from wsi_nucssl.engines.int8 import quantised_path, read_quantised
from wsi_nucssl.engines.quantisation import record_speed
from wsi_nucssl.models.weights import load_model

KINDS: Final = (
    ("this CPU", None, None),
    ("AVX-512 BF16", "AVX512_CORE_BF16", "BF16"),
    ("AVX-512 VNNI", "AVX512_CORE_VNNI", "FP32"),
    ("AVX-512", "AVX512_CORE", "FP32"),
    ("AVX2", "AVX2", "FP32"),
)
"""A name, what oneDNN is held to, and the best precision of floating point that OpenVINO is to think it has."""


def measured(folder: Path, dataset: Path, ability: str | None) -> dict[str, float]:
    """The speed that a check writes into the graph of the model in a folder, by kernel."""
    if ability:
        openvino_engine.abilities.cache_clear()
        openvino_engine.abilities = lambda: (ability,)  # type: ignore[assignment]
    (path,) = folder.glob("*.safetensors")
    model = load_model(path)
    check_quantised(model, {dataset.name: open_dataset(dataset)})
    speed: float = read_quantised(model)[1]["speeds"][openvino_engine.best_kernel()]
    return {openvino_engine.best_kernel(): speed}


def main() -> None:
    """Print a row for each kind of CPU, measured in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--ability")
    parser.add_argument("--child", action="store_true")
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measured(Path(given.model), given.dataset, given.ability)))
        return
    model = load_model(given.model)
    speeds: dict[str, list[float]] = defaultdict(list)
    for name, isa, ability in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            for path in (model.path, quantised_path(model.path)):
                shutil.copy(path, folder)
            command = [sys.executable, "-m", __spec__.name, folder, given.dataset, "--child"]
            command += ["--ability", ability] if ability else []
            limits = {"ONEDNN_MAX_CPU_ISA": isa} if isa else {}
            environment = {**os.environ, **limits, "WSI_NUCSSL_CACHE": folder}
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        ((kernel, speed),) = json.loads(done.stdout.splitlines()[-1]).items()
        speeds[kernel].append(speed)
        print(f"| {name} | `{kernel}` | {speed:.2f} |", flush=True)
    if given.write:
        for kernel, values in speeds.items():
            record_speed(model, kernel, min(values))


if __name__ == "__main__":
    main()
