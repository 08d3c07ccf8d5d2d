"""What networks are worth on held-out images: by pixel anywhere, by nucleus where nuclei can be extracted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.gpu_day.check import fastest, predict
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.train.crops import LabelledImage

_HALF = 128
Aji = Callable[[NDArray[np.uint8], NDArray[np.int32]], float]


def score(
    network: ResUNet, images: Sequence[LabelledImage], device: torch.device, config: InstanceConfig
) -> dict[str, float]:
    """Means over the images: `dice` and `jaccard` of the foreground, and `aji` where numba and OpenCV are installed."""
    measured = _aji(config)
    rows = []
    for each in images:
        planes = predict(network, each.image, device, fastest(device))
        row = _overlap(planes.astype(int).sum(axis=0) >= _HALF, each.labels > 0)
        rows.append(row if measured is None else {**row, "aji": measured(planes, each.labels)})
    return {name: round(float(np.mean([row[name] for row in rows])), 5) for name in rows[0]} if rows else {}


def _overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    both, total = int((found & truth).sum()), int(found.sum() + truth.sum())
    if not total:
        return {"dice": 1.0, "jaccard": 1.0}
    return {"dice": 2 * both / total, "jaccard": both / (total - both)}


def _aji(config: InstanceConfig) -> Aji | None:
    try:
        from wsi_nucssl.metrics import aji
        from wsi_nucssl.nuclei.instances import label_instances
    except ImportError:
        return None

    def measured(planes: NDArray[np.uint8], truth: NDArray[np.int32]) -> float:
        hematoxylin = np.zeros_like(planes[:1])  # it does not decide what a nucleus is
        value = aji(truth, label_instances(np.concatenate([planes, hematoxylin]), config))
        return 1.0 if np.isnan(value) else float(value)

    return measured
