"""Scale-wise triplet learning and count ranking: the paper's task (Xie et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from torch import Tensor, nn

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box
from wsi_nucssl.pretext.count_ranking import CountRankingLoss
from wsi_nucssl.pretext.scale_triplet import ScaleTripletLoss, distances
from wsi_nucssl.pretext.settings import TaskSettings
from wsi_nucssl.pretext.task import Choices, Metrics, Outputs, Views
from wsi_nucssl.pretext.triplets import draw_triplet
from wsi_nucssl.pretext.views import DIHEDRAL, add_noise, blur, cut, quantise, restain

EMBEDDING: Final = 128


class TripletRankHead(nn.Module):
    """A 128-d embedding map, and from it a map of scores; both convolutions are 1 × 1.

    Everything after the encoder is linear, so the mean of the score map is the score: the map says where in the
    image the score comes from (the paper's Fig. 3).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, EMBEDDING, 1)
        self.count = nn.Conv2d(EMBEDDING, 1, 1)

    def density(self, features: Sequence[Tensor]) -> Tensor:
        """Score map (M, h, w) of the coarsest feature map; its mean is the score."""
        density: Tensor = self.count(self.embed(features[-1]))
        return density[:, 0]

    def forward(self, features: Sequence[Tensor]) -> Outputs:
        """Five feature maps → "z" (M, 128) and "score" (M,)."""
        z = self.embed(features[-1]).mean(dim=(2, 3), keepdim=True)
        return {"z": z.flatten(1), "score": self.count(z).flatten()}


@dataclass(frozen=True, slots=True)
class TripletRank:
    """L = triplet_weight · L_ST + rank_weight · L_CR (equation 3); either weight may be 0 (Table 3).

    Each tile gives an anchor, a positive and a negative, seen in one forward pass so that they share batch statistics.
    """

    settings: TaskSettings
    triplet_weight: float = 1.0
    rank_weight: float = 1.0

    def __post_init__(self) -> None:
        weights = self.triplet_weight, self.rank_weight
        if min(weights) < 0 or max(weights) == 0:
            raise UsageError(f"one of the two losses needs a positive weight, not {weights}")

    def choose(self, tile_px: int, rng: np.random.Generator) -> Choices:
        """Boxes, turns, stain, blur and noise of one triplet."""
        triplet = draw_triplet(tile_px, self.settings.geometry, rng)
        stain, degrade = self.settings.stain, self.settings.deshortcut
        return {
            "boxes": np.stack([_row(box) for box in (triplet.anchor, triplet.positive, triplet.negative)]),
            "turns": rng.integers(0, len(DIHEDRAL) if self.settings.turn else 1, 3),
            "stain_gain": (1 + rng.uniform(-stain, stain, 3)).astype(np.float32),
            "stain_shift": rng.uniform(-stain / 5, stain / 5, 3).astype(np.float32),
            "blur_px": rng.uniform(0, degrade.max_blur_px, 3).astype(np.float32),
            "noise": rng.uniform(0, degrade.max_noise, 3).astype(np.float32),
            "noise_seed": np.asarray(rng.integers(0, 2**31)),
        }

    def views(self, tiles: Tensor, choices: Mapping[str, Tensor]) -> Views:
        """Anchors, positives, negatives: images (3 · N, 3, S, S)."""
        settings = self.settings
        largest = settings.geometry.anchor_in(tiles.shape[-1])
        images = cut(tiles, choices["boxes"], choices["turns"], settings.view_px, largest)
        if settings.stain:
            images = restain(images, choices["stain_gain"].repeat(3, 1), choices["stain_shift"].repeat(3, 1))
        if settings.deshortcut.enabled:
            images = blur(images, choices["blur_px"].T.flatten(), settings.deshortcut.max_blur_px)
            images = add_noise(images, choices["noise"].T.flatten(), int(choices["noise_seed"][0]))
        return Views(quantise(images))

    def head(self, channels: Sequence[int]) -> nn.Module:
        """Embedding and score."""
        return TripletRankHead(channels[-1])

    def loss(self, outputs: Outputs, _targets: Mapping[str, Tensor], /) -> tuple[Tensor, Metrics]:
        """Equation (3). Both losses are computed and logged even where one weighs nothing."""
        z, score = outputs["z"].float(), outputs["score"].float()
        anchor, positive, negative = z.chunk(3)
        _, score_positive, score_negative = score.chunk(3)
        d = distances(anchor, positive, negative)
        hinge_st = ScaleTripletLoss(self.settings.margin_triplet).hinge(d)
        hinge_cr = CountRankingLoss(self.settings.margin_rank).hinge(score_positive, score_negative)
        loss = self.triplet_weight * hinge_st.mean() + self.rank_weight * hinge_cr.mean()
        metrics = {
            "loss_triplet": hinge_st.mean(),
            "loss_rank": hinge_cr.mean(),
            "d_ap": d.ap.mean(),
            "d_an": d.an.mean(),
            "active_triplet": (hinge_st > 0).float().mean(),
            "active_rank": (hinge_cr > 0).float().mean(),
            "z_norm": z.norm(dim=1).mean(),
            "triplet_accuracy": (d.ap < d.an).float().mean(),
            "rank_accuracy": (score_positive > score_negative).float().mean(),
        }
        return loss, {name: value.detach() for name, value in metrics.items()}

    def warning(self, means: Mapping[str, float]) -> str | None:
        """Collapse, where every embedding is the same and a loss stays at its margin; or a task that is too easy."""
        settings = self.settings
        remedy = "Try a lower learning rate, a longer warm-up or a larger batch, and look at ⟨preview⟩"
        if self.triplet_weight and means["d_an"] < 0.05 * settings.margin_triplet:
            return (
                f"the embeddings have collapsed: the triplet loss is {means['loss_triplet']:.3f}, "
                f"anchor and negative are only {means['d_an']:.2g} apart. {remedy}"
            )
        at_margin = abs(means["loss_rank"] - settings.margin_rank) < 0.02 and means["active_rank"] > 0.99
        if self.rank_weight and at_margin:
            return f"the ranking score has collapsed: its loss stays at the margin, {means['loss_rank']:.3f}. {remedy}"
        active = max(self.triplet_weight * means["active_triplet"], self.rank_weight * means["active_rank"])
        if active < 0.01 and not settings.deshortcut.enabled:
            return (
                "hardly a triplet is left to learn from: the network has found an easy answer, most likely that "
                "magnified negatives are smooth. Try ⟨deshortcut⟩, and look at wsi-nucssl probe"
            )
        return None


TRIPLET_ALONE: Final = partial(TripletRank, rank_weight=0.0)
RANK_ALONE: Final = partial(TripletRank, triplet_weight=0.0)


def _row(box: Box) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array([box.x0, box.y0, box.x1, box.y1], np.int32)
