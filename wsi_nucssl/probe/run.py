"""What a frozen encoder knows of nuclei, measured on held-out images and against encoders that learnt nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from wsi_nucssl.datasets import Dataset, Split
from wsi_nucssl.models.devices import torch_device
from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.models.tensors import load_encoder
from wsi_nucssl.nuclei.targets import BODY, BOUNDARY, three_class
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.redundancy import redundancy
from wsi_nucssl.pretext.triplet_rank import TripletRankHead
from wsi_nucssl.pretext.views import add_noise, blur, cut, quantise
from wsi_nucssl.pretext.weights import load_pretext
from wsi_nucssl.probe.linear import fit_classifier, fit_ridge

SCALES: Final = (0.768, 0.512, 0.256, 0.128, 0.064)
"""Sides of the views, as fractions of the image's side: the anchor's and the negatives' of the paper."""
_MAX_BLUR_PX: Final = 3.0
_MAX_NOISE: Final = 12.0
_FORWARD: Final = 8
"""Views in one forward pass."""

_Pixels = tuple[Tensor, Tensor]
"""Features (P, D) of pixels, and their classes (P,)."""
Describe = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Views (V, 3, S, S) → features (V, D), and the ranking score (V,) where there is one."""


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """What can be read from frozen features by a linear map, on images it was not fitted to.

    Attributes
    ----------
    scale_accuracy : float
        Of telling to which of five scales a view belongs. Chance is 0.2.
    scale_accuracy_degraded : float
        The same after independent blur and noise, when sharpness says nothing any more.
    count_correlation : float
        Spearman's, of a ridge regression with the number of nuclei, over views of all scales.
    count_correlation_one_scale : float
        The same over views of the largest scale alone.
    rank_correlation, rank_correlation_one_scale : float | None
        The same of the ranking score f itself; None without one.
    body_dice, boundary_dice : float | None
        Of a linear classifier of pixels; None for features of whole views.
    dimensions : tuple[float, ...] | None
        Independent directions in each of the five feature maps, finest first: participation ratios of the channels'
        correlations over pixels (`pretext.redundancy`). A collapsed encoder has few.
    """

    scale_accuracy: float
    scale_accuracy_degraded: float
    count_correlation: float
    count_correlation_one_scale: float
    rank_correlation: float | None = None
    rank_correlation_one_scale: float | None = None
    body_dice: float | None = None
    boundary_dice: float | None = None
    dimensions: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Views of each scale and pixels that are taken from each image, and the seed that chooses them."""

    views: int = 4
    pixels: int = 600
    seed: int = 0


def probe(
    run: Path,
    dataset: Dataset,
    split: Split,
    *,
    baselines: Sequence[str] = ("random",),
    device: str = "cpu",
    settings: ProbeSettings = ProbeSettings(),
) -> dict[str, ProbeScores]:
    """Probe the encoder of a pretraining run, each baseline, and the one-number shortcut.

    Linear maps are fitted to the training images of `split` and scored on its validation images. `baselines` are
    "random" or whatever `load_encoder` takes: "imagenet", a weights file. The result is keyed by "pretrained", the
    baselines and "laplacian", the logarithm of the variance of the Laplacian.

    Raises
    ------
    WeightsError
        The run has no pretrained model, or a baseline cannot be loaded.
    """
    pretrained, info = load_pretext(run)
    probes = _Probes(dataset, split, settings, info.view_px, torch_device(device))
    models = {"pretrained": pretrained}
    for name in baselines:
        models[name] = _baseline(info.encoder, name)
    if "random" in models:
        probes.calibrate_batchnorm(models["random"])
    scores = {name: probes.of_model(model.to(device).eval()) for name, model in models.items()}
    return {**scores, "laplacian": probes.of_views(laplacian_variance)}


def laplacian_variance(views: Tensor) -> tuple[Tensor, None]:
    """Logarithm of the variance of the Laplacian of the grey image: (V, 3, S, S) → (V, 1)."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=views.device)[
        None, None
    ]
    variance = F.conv2d(views.mean(dim=1, keepdim=True), kernel).var(dim=(1, 2, 3))
    return variance.clamp_min(1e-6).log().unsqueeze(1), None


def _baseline(encoder_name: str, source: str) -> PretextModel:
    torch.manual_seed(0)
    encoder = build_encoder(encoder_name)
    if source != "random":
        load_encoder(encoder, source)
    return PretextModel(encoder, nn.Identity())


@dataclass(frozen=True, slots=True)
class _Image:
    """A square image with its nuclei, and the views taken of it."""

    pixels: Tensor
    labels: NDArray[np.int32]
    boxes: Tensor
    scales: Tensor
    counts: Tensor


class _Probes:
    """The same images, views and pixels for each encoder."""

    def __init__(
        self, dataset: Dataset, split: Split, settings: ProbeSettings, view_px: int, device: torch.device
    ) -> None:
        self.settings, self.view_px, self.device = settings, view_px, device
        self.train, self.held_out = (
            [self._image(dataset, name) for name in ids] for ids in (split.train_ids, split.validation_ids)
        )

    def of_model(self, model: PretextModel) -> ProbeScores:
        """All probes of an encoder."""
        scores = self.of_views(lambda views: _describe(model, views))
        seen = [self._pixels(model, image) for image in self.held_out]
        body, boundary = self._segmentation(model, seen)
        maps = torch.split(torch.cat([features for features, _ in seen]), list(model.encoder.channels), dim=1)
        return replace(
            scores, body_dice=body, boundary_dice=boundary, dimensions=tuple(map(_dimensions, maps))
        )

    def of_views(self, describe: Describe) -> ProbeScores:
        """The probes that look at whole views."""
        fitted, seen = self._features(describe, self.train), self._features(describe, self.held_out)
        counts = fit_ridge(fitted.plain, fitted.counts)(seen.plain)[:, 0]
        return ProbeScores(
            _accuracy(fitted.plain, fitted.scales, seen.plain, seen.scales),
            _accuracy(fitted.degraded, fitted.scales, seen.degraded, seen.scales),
            *_correlations(counts, seen),
            *((None, None) if seen.ranks is None else _correlations(seen.ranks, seen)),
        )

    def calibrate_batchnorm(self, model: PretextModel) -> None:
        """Show an untrained encoder's batch norms some training views, or its features would be of no use."""
        model.to(self.device).train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the plain mean over the batches that follow
        with torch.no_grad():
            for image in self.train[:4]:
                model.features(self._views(image, degraded=False))

    def _image(self, dataset: Dataset, name: str) -> _Image:
        image, labels = dataset[name].pair()
        side = min(labels.shape)
        rng = np.random.default_rng((self.settings.seed, *name.encode()))
        boxes, scales = [], []
        for scale, fraction in enumerate(SCALES):
            length = max(1, round(side * fraction))
            for _ in range(self.settings.views):
                x, y = rng.integers(0, side - length + 1, 2)
                boxes.append((x, y, x + length, y + length))
                scales.append(scale)
        pixels = torch.from_numpy(np.ascontiguousarray(image[:side, :side])).permute(2, 0, 1)
        square = labels[:side, :side]
        counts = torch.tensor([_count(square, box) for box in boxes], dtype=torch.float32)
        return _Image(pixels, square, torch.tensor(boxes), torch.tensor(scales), counts)

    def _views(self, image: _Image, *, degraded: bool) -> Tensor:
        """Views (V, 3, S, S) of an image; degraded ones each with blur and noise of their own."""
        turns = torch.zeros(1, len(image.boxes), dtype=torch.long)
        largest = int((image.boxes[:, 2] - image.boxes[:, 0]).max())
        tiles = image.pixels.unsqueeze(0).to(self.device)
        views = cut(
            tiles, image.boxes.unsqueeze(0).to(self.device), turns.to(self.device), self.view_px, largest
        )
        if not degraded:
            return views
        generator = torch.Generator().manual_seed(self.settings.seed)
        widths = torch.rand(2, len(views), generator=generator).to(self.device)
        views = blur(views, widths[0] * _MAX_BLUR_PX, _MAX_BLUR_PX)
        return quantise(add_noise(views, widths[1] * _MAX_NOISE, self.settings.seed))

    def _features(self, describe: Describe, images: Sequence[_Image]) -> _Features:
        plain, degraded, ranks = [], [], []
        with torch.inference_mode():
            for image in images:
                features, rank = describe(self._views(image, degraded=False))
                plain.append(features.cpu())
                ranks += [] if rank is None else [rank.cpu()]
                degraded.append(describe(self._views(image, degraded=True))[0].cpu())
        return _Features(
            torch.cat(plain).clone(),
            torch.cat(degraded).clone(),
            torch.cat(ranks) if ranks else None,
            torch.cat([image.scales for image in images]),
            torch.cat([image.counts for image in images]),
        )

    def _segmentation(self, model: PretextModel, seen: Sequence[_Pixels]) -> tuple[float, float]:
        """Dice of body and boundary, each the mean over the held-out images whose pixels these are."""
        x, y = zip(*(self._pixels(model, image) for image in self.train), strict=True)
        classify = fit_classifier(torch.cat(x), torch.cat(y), 3)
        dice = []
        for features, truth in seen:
            found = classify(features).argmax(dim=1)
            dice.append([_dice(found == kind, truth == kind) for kind in (BODY, BOUNDARY)])
        body, boundary = np.mean(dice, axis=0).tolist()
        return body, boundary

    def _pixels(self, model: PretextModel, image: _Image) -> _Pixels:
        """Features (P, D) and classes (P,) of random pixels: all five feature maps, interpolated."""
        rng = np.random.default_rng((self.settings.seed, image.labels.size))
        rows, cols = rng.integers(0, len(image.labels), (2, self.settings.pixels))
        points = torch.from_numpy(np.stack([cols, rows], axis=1)).float().to(self.device)
        with torch.inference_mode():
            maps = model.features(image.pixels.unsqueeze(0).to(self.device))
            features = [
                _sample(each, points, step) for each, step in zip(maps, model.encoder.reductions, strict=True)
            ]
        classes = torch.from_numpy(three_class(image.labels)[rows, cols]).long()
        return torch.cat(features, dim=1).cpu().clone(), classes


@dataclass(frozen=True, slots=True)
class _Features:
    plain: Tensor
    degraded: Tensor
    ranks: Tensor | None
    scales: Tensor
    counts: Tensor


def _dimensions(features: Tensor) -> float:
    """Independent directions among features (P, D)."""
    return features.shape[1] * math.exp(-float(redundancy(features.T[None, :, :, None])))


def _describe(model: PretextModel, views: Tensor) -> tuple[Tensor, Tensor | None]:
    features, ranks = [], []
    for part in torch.split(views, _FORWARD):
        maps = model.features(part)
        features.append(maps[-1].mean(dim=(2, 3)))
        if isinstance(model.head, TripletRankHead):
            ranks.append(model.head(maps)["score"])
    return torch.cat(features), torch.cat(ranks) if ranks else None


def _count(labels: NDArray[np.int32], box: tuple[int, int, int, int]) -> float:
    """Nuclei in a box, each by the fraction of it that lies inside."""
    x0, y0, x1, y1 = box
    whole = np.bincount(labels.ravel())
    inside = np.bincount(labels[y0:y1, x0:x1].ravel(), minlength=len(whole))
    return float((inside[1:] / np.maximum(whole[1:], 1)).sum())


def _accuracy(x: Tensor, y: Tensor, held_out: Tensor, truth: Tensor) -> float:
    found = fit_classifier(x, y, len(SCALES))(held_out).argmax(dim=1)
    return float((found == truth).float().mean())


def _correlations(guess: Tensor, seen: _Features) -> tuple[float, float]:
    """Spearman's correlation with the true count: over all views, and over those of the largest scale."""
    largest = seen.scales == 0
    return _spearman(guess, seen.counts), _spearman(guess[largest], seen.counts[largest])


def _spearman(a: Tensor, b: Tensor) -> float:
    """0 where one of the two is constant: it orders nothing."""
    if a.min() == a.max() or b.min() == b.max():
        return 0.0
    return float(spearmanr(a.numpy(), b.numpy()).statistic)


def _dice(found: Tensor, truth: Tensor) -> float:
    total = int(found.sum() + truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def _sample(feature_map: Tensor, points_xy: Tensor, reduction: int) -> Tensor:
    """Bilinear values (P, C) of a map (1, C, h, w) whose cell i is centred on pixel i · reduction."""
    height, width = feature_map.shape[-2:]
    extent = torch.tensor([max(1, width - 1), max(1, height - 1)], device=points_xy.device)
    grid = 2 * points_xy / reduction / extent - 1
    values = F.grid_sample(
        feature_map.float(), grid[None, None], mode="bilinear", padding_mode="border", align_corners=True
    )
    return values[0, :, 0].T
