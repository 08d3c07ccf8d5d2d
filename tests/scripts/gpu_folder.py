"""What the days of tests are made of: small datasets, a recipe, and the command with torch alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from scripts.gpu_day.__main__ import command
from tests.train.tiny import scene

RECIPE = """
arch: liteunet0x2
encoder: efficientnet-lite0
finetune:
  batch_size: 2
  crop_px: 64
  precision: fp32
  optimisation: {warmup_steps: 1}
pretrain:
  steps: 2
  batch_size: 2
  tile_px: 192
  precision: fp32
  views: {view_px: 64}
"""

ALLOWED = ("torch", "torchvision", "numpy", "accelerate", "safetensors")
ALONE = f"""
import importlib.metadata, re, runpy, sys
from importlib.machinery import PathFinder

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

def needed(names, found):
    for name in set(map(plain, names)) - found:
        found.add(name)
        try:
            wanted = importlib.metadata.requires(name) or ()
        except importlib.metadata.PackageNotFoundError:
            continue
        needed([re.match("[A-Za-z0-9._-]+", each)[0] for each in wanted if "extra ==" not in each], found)
    return found

there = needed({ALLOWED!r}, set())
owners = importlib.metadata.packages_distributions()

class OnTheMachine:
    find_distributions = PathFinder.find_distributions

    def find_spec(name, path=None, target=None):
        of = set(map(plain, owners.get(name.split(".")[0], ())))
        return None if of and not of & there else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = OnTheMachine
for refused in ("cv2", "numba", "pydantic", "tifffile", "openslide", "imagecodecs", "zarr", "scipy", "skimage"):
    try:
        __import__(refused)
    except ImportError:
        continue
    raise SystemExit(f"{{refused}} was not refused")
sys.argv[0] = "gpu_day"
runpy.run_module("scripts.gpu_day", run_name="__main__")
"""


def _two_by_two(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.concatenate(parts[:2], axis=1), np.concatenate(parts[2:], axis=1)])


def write_images(root: Path, images: int, mpp: float) -> Path:
    """Discs on pink, 192 px a side, with a manifest that states the mpp of each."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(images):
        pairs = [scene(4 * number + part) for part in range(4)]
        image, labels = (_two_by_two([pair[kind] for pair in pairs]) for kind in (0, 1))
        (root / "images" / f"{number}.png").write_bytes(imagecodecs.png_encode(image))
        (root / "labels" / f"{number}.png").write_bytes(imagecodecs.png_encode(labels.astype(np.uint16)))
    stated = {str(number): {"mpp": mpp} for number in range(images)}
    (root / "manifest.json").write_text(json.dumps(stated))
    return root


def run(packed: Path, *words: str) -> Any:
    return command([words[0], "--data", str(packed), "--device", "cpu", *words[1:]])


def run_there(packed: Path, *words: str) -> Any:
    """The command out of the folder, with nothing installed but what a machine for torch has."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(packed / "code")}
    line = [sys.executable, "-c", ALONE, words[0], "--data", str(packed), "--device", "cpu", *words[1:]]
    done = subprocess.run(line, env=environment, timeout=300, text=True, capture_output=True, cwd=packed)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout[done.stdout.index("{\n") :])
