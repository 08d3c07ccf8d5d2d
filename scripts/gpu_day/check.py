"""The device against the CPU: the same probabilities within rounding, and so the same nuclei."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from wsi_nucssl.engines.torch_engine import TorchEngine
from wsi_nucssl.errors import InputError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.train.augment.separable import halving

REFERENCE: Final = "reference"
_HALF: Final = 128
Planes = NDArray[np.uint8]
Precision = Literal["fp32", "bf16"]


def check(data: Path, out: Path, device: torch.device) -> dict[str, Any]:
    """Compare the packed probabilities with the device's, in float32 and bf16; writes both and check.json.

    Raises
    ------
    InputError
        The folder holds no reference.
    """
    folder = data / REFERENCE
    pictures = sorted(folder.glob("*.webp"))
    if not pictures:
        raise InputError("holds no reference", path=folder, remedy="Pack again")
    network = load_model(folder / "model.safetensors").network
    found: dict[str, Any] = {"device": str(device), "torch": torch.__version__, "images": {}}
    for path in pictures:
        image = np.array(Image.open(path))
        expected = np.array(Image.open(path.with_suffix(".png"))).reshape(2, *image.shape[:2])
        scores = {}
        for precision in ("fp32", "bf16"):
            planes = predict(network, image, device, precision)
            scores[precision] = compare(expected, planes)
            np.savez_compressed(
                _made(out) / f"check-{path.stem}-{precision}.npz", expected=expected, found=planes
            )
        found["images"][path.stem] = scores
    write_atomic(out / "check.json", json.dumps(found, indent=1))
    return found


def _made(out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    return out


def fastest(device: torch.device) -> Precision:
    """What networks are run in there, where nothing is compared."""
    return "bf16" if device.type == "cuda" else "fp32"


def predict(
    network: ResUNet, image: NDArray[np.uint8], device: torch.device | str, precision: Precision
) -> Planes:
    """P(body) and P(boundary) in 255ths, (2, row, col), of an RGB image at the network's mpp, seen as one window.

    "fp32" is float32 of full precision on every device.
    """
    engine = TorchEngine(network, torch.device(device))
    engine.bf16 = precision == "bf16"
    rows, cols = image.shape[:2]
    seen = image
    if network.upscale > 1:
        seen = reduced(np.pad(image, ((0, rows % 2), (0, cols % 2), (0, 0)), mode="edge"))
    with whatever_shape(), full_float32() if precision == "fp32" else nullcontext():
        return engine.predict(np.ascontiguousarray(seen)[None])[0, :, :rows, :cols]


@contextmanager
def whatever_shape() -> Iterator[None]:
    """Choose no algorithm by trying all: images differ in size, and each size would be tried anew."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply float32 with all its bits: CUDA's convolutions round to the 10 bits of TF32 unless told otherwise."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = False
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


def reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of even sides at twice the mpp, by the filter of training and of slides."""
    planes = torch.from_numpy(image).permute(2, 0, 1).float()
    rows, cols = (halving(side, planes.device) for side in image.shape[:2])
    small: NDArray[np.uint8] = (rows @ planes @ cols.mT).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return small


def compare(expected: Planes, found: Planes) -> dict[str, float]:
    """How far two predictions are apart: in 255ths, and as overlap of the foreground."""
    apart = np.abs(expected.astype(int) - found)
    first, second = (planes.astype(int).sum(axis=0) >= _HALF for planes in (expected, found))
    union = int((first | second).sum())
    return {
        "largest_difference": float(apart.max()),
        "mean_difference": float(apart.mean()),
        "differing_share": float((apart > 0).mean()),
        "foreground_jaccard": float((first & second).sum() / union) if union else 1.0,
    }
