from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from wsi_nucssl.datasets import Dataset, Split, holdout, open_dataset
from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.pretext.weights import PretextInfo, build_pretext, save_pretext
from wsi_nucssl.probe.linear import fit_classifier, fit_ridge
from wsi_nucssl.probe.run import ProbeSettings, _count, _sample, _spearman, laplacian_variance, probe

SMALL = ProbeSettings(views=2, pixels=80)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Split]:
    """Dark disks on a textured ground, more on each image than on the one before."""
    folder = tmp_path_factory.mktemp("scenes")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(5):
        rng = np.random.default_rng(number)
        image = rng.integers(170, 230, (192, 192, 3), np.uint8)
        labels = np.zeros((192, 192), np.uint16)
        for label in range(1, 8 + 6 * number):
            x, y = (int(v) for v in rng.integers(8, 184, 2))
            cv2.circle(image, (x, y), 6, (120, 60, 90), -1)
            cv2.circle(labels, (x, y), 6, label, -1)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        cv2.imwrite(str(folder / "labels" / f"{number}.png"), labels)
    dataset = open_dataset(folder)
    return dataset, holdout(dataset, validation=2, seed=0)


def test_every_encoder_is_probed_in_the_same_way(scenes: tuple[Dataset, Split], tmp_path: Path) -> None:
    info = PretextInfo("triplet-rank", "resnet18", 0.25, 64)
    torch.manual_seed(1)
    save_pretext(tmp_path / "pretext.safetensors", build_pretext(info), info)
    scores = probe(tmp_path, *scenes, settings=SMALL)
    assert set(scores) == {"pretrained", "random", "laplacian"}
    assert all(0 <= s.scale_accuracy <= 1 and -1 <= s.count_correlation <= 1 for s in scores.values())
    assert scores["pretrained"].rank_correlation is not None
    assert scores["random"].rank_correlation is None
    assert scores["laplacian"].body_dice is None
    assert scores["random"].body_dice is not None
    assert scores["random"].body_dice > 0.3
    assert scores["laplacian"].dimensions is None
    assert scores["random"].dimensions is not None
    channels = build_encoder(info.encoder).channels
    assert all(1 < found < most for found, most in zip(scores["random"].dimensions, channels, strict=True))
    assert probe(tmp_path, *scenes, settings=SMALL) == scores


def test_a_run_without_a_model_is_an_error(scenes: tuple[Dataset, Split], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no pretrained model"):
        probe(tmp_path, *scenes)


def test_the_classifier_separates_what_can_be_separated() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 5, generator=generator) * torch.tensor([1.0, 50.0, 0.01, 1.0, 1.0])
    y = ((x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()) % 4
    assert float((fit_classifier(x, y, 4)(x).argmax(dim=1) == y).float().mean()) > 0.97


def test_rare_classes_weigh_as_much_as_common_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(400) < 20).long()
    x = torch.randn(400, 1, generator=generator) + 2.5 * y.unsqueeze(1)
    found = fit_classifier(x, y, 2)(x).argmax(dim=1)
    assert float((found[y == 1] == 1).float().mean()) > 0.8


@pytest.mark.parametrize("columns", [4, 90])
def test_ridge_equals_the_normal_equations(columns: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (40, columns)), rng.normal(5, 1, 40)
    z = (x - x.mean(axis=0)) / (x.std(axis=0, ddof=1) + 1e-6)
    weight = np.linalg.inv(z.T @ z + 40 * np.eye(columns)) @ z.T @ (y - y.mean())
    found = fit_ridge(torch.from_numpy(x).float(), torch.from_numpy(y).float())
    assert np.allclose(found(torch.from_numpy(x).float())[:, 0], z @ weight + y.mean(), atol=1e-3)


def test_a_nucleus_counts_by_the_share_inside() -> None:
    labels = np.zeros((10, 10), np.int32)
    labels[2:4, 2:6] = 7
    labels[8:, 8:] = 2
    assert _count(labels, (0, 0, 4, 10)) == pytest.approx(0.5)
    assert _count(labels, (0, 0, 10, 10)) == pytest.approx(2.0)
    assert _count(np.zeros((4, 4), np.int32), (0, 0, 4, 4)) == 0


def test_a_constant_orders_nothing() -> None:
    assert _spearman(torch.ones(4), torch.arange(4.0)) == 0.0
    assert _spearman(torch.arange(4.0), torch.arange(4.0) ** 2) == pytest.approx(1.0)


def test_pixels_take_the_cell_that_is_centred_on_them() -> None:
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    points = torch.tensor([[0.0, 0.0], [16.0, 4.0], [10.0, 20.0]])
    assert _sample(ramp, points, 4)[:, 0].tolist() == pytest.approx([0.0, 4.0, 2.5])


def test_a_sharper_image_has_the_larger_laplacian_variance() -> None:
    sharp = torch.randint(0, 256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    soft = torch.nn.functional.avg_pool2d(sharp, 3, 1, 1)
    assert float(laplacian_variance(sharp)[0]) > float(laplacian_variance(soft)[0])
