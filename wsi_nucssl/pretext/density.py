"""Nucleus density maps: where the ranking score comes from (Xie et al., 2020, Fig. 3)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.triplet_rank import TripletRankHead


def density_map(model: PretextModel, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Score map, float32 (row, col), one value for 32 px of an RGB image (row, col, 3); its mean is the score.

    Raises
    ------
    WeightsError
        The model learnt by a task that does not rank.
    """
    if not isinstance(model.head, TripletRankHead):
        raise WeightsError(
            "this model learnt by a task without a count ranking",
            remedy="Pretrain with ⟨task⟩ triplet-rank or rank",
        )
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0)
    with torch.inference_mode():
        scores = model.head.density(model.features(pixels.to(model.mean.device)))
    density: NDArray[np.float32] = scores[0].float().cpu().numpy()
    return density
