"""Datasets that tell types apart, crops and loss that carry them, and a network that learns them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train import tiny
from tests.typed import toys
from wsi_nucssl.datasets import Dataset, join_datasets, open_dataset
from wsi_nucssl.datasets.layouts.pannuke import TYPES
from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.networks import build
from wsi_nucssl.schema import typed
from wsi_nucssl.train.crops import Crops
from wsi_nucssl.train.finetune_job import FinetuneJob
from wsi_nucssl.train.finetune_network import initial_network
from wsi_nucssl.train.images import read_images
from wsi_nucssl.train.job import SplitChoice, make_job
from wsi_nucssl.train.losses import SegmentationLoss
from wsi_nucssl.train.preview import draw_preview
from wsi_nucssl.train.targets import UNKNOWN_TYPE


@pytest.fixture(scope="module")
def fold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_fold(tmp_path_factory.mktemp("pannuke"))


@pytest.fixture
def dataset(fold: Path) -> Dataset:
    return open_dataset(fold)


def _job(fold: Path, *, types: bool = True, start: str = "") -> FinetuneJob:
    return make_job(
        [fold], split=SplitChoice(), recipe=tiny.recipe(), arch="resunet18", types=types, start=start
    )


def test_pannuke_says_the_type_of_every_label(dataset: Dataset) -> None:
    assert dataset.type_names == TYPES
    for index, sample in enumerate(dataset):
        image, labels = sample.pair()
        blue = image[..., 2].astype(int) > image[..., 1]
        types = sample.types()
        assert set(types) == set(np.unique(labels).tolist()) - {0}
        for label, name in types.items():
            assert name == (toys.BLUE if blue[labels == label].mean() > 0.5 else toys.GREEN)
        assert len(types) == len(toys.scene(96, 96, index)[2])


def test_types_of_pannuke_by_channel(tmp_path: Path) -> None:
    """A nucleus that another one of an earlier type hides is none."""
    masks = np.zeros((1, 6, 9, 6))
    masks[0, 0, :4, 1], masks[0, 0, 2:6, 3], masks[0, 1, :2, 3], masks[0, 0, 2:4, 4] = 3, 3, 2, 1
    (tmp_path / "fold1").mkdir()
    np.save(tmp_path / "fold1" / "images.npy", np.zeros((1, 6, 9, 3)))
    np.save(tmp_path / "fold1" / "masks.npy", masks)
    (sample,) = open_dataset(tmp_path)
    assert sample.labels()[:2].tolist() == [[3, 3, 3, 3, 6, 6, 0, 0, 0], [5, 5, 0, 0, 0, 0, 0, 0, 0]]
    assert sample.types() == {3: "Inflammatory", 5: "Dead", 6: "Dead"}


def test_types_survive_subsets_joins_and_hashing(dataset: Dataset, tmp_path: Path) -> None:
    untyped = open_dataset(tiny.write_dataset(tmp_path / "untyped"))
    assert untyped.type_names == ()
    joined = join_datasets({"a": untyped, "b": dataset}).hashed().subset(["a/0", "b/fold1-00001"])
    assert joined.type_names == TYPES
    assert joined["a/0"].types() == {}
    assert joined["b/fold1-00001"].types() == dataset["fold1-00001"].types()


def test_types_are_asked_for_where_there_are_some(fold: Path, tmp_path: Path) -> None:
    assert _job(fold).types == TYPES
    assert _job(fold).manifest()["types"]["names"] == TYPES
    assert _job(fold, types=False).schema == typed([])
    assert "types" not in _job(fold, types=False).manifest()
    with pytest.raises(UsageError, match="do not tell types"):
        _job(tiny.write_dataset(tmp_path / "untyped"))


def test_other_types_are_another_run(fold: Path, tmp_path: Path) -> None:
    """Though labels and images are the same to the byte."""
    other = toys.write_fold(tmp_path / "pannuke")
    masks = np.load(other / "fold1" / "masks.npy")
    np.save(other / "fold1" / "masks.npy", masks[..., [2, 1, 0, 3, 4, 5]])
    types = [_job(each).manifest()["types"]["sha256"] for each in (fold, fold, other)]
    assert types[0] == types[1] != types[2]


def test_crops_carry_types_wherever_augmentation_takes_labels(fold: Path) -> None:
    """Colours say in the crop what the type map says: at rest they are one, whatever the geometry did."""
    job = _job(fold)
    plain = {"stain": 0, "stain_shift": 0, "exchange_p": 0, "hematoxylin_only_p": 0, "brightness": 0}
    seen = {"glass_p": 0.5, "fill_p": 0.5, "pen_p": 0, "fold_p": 0, "dust_p": 0, "coarse_p": 0, "blur_p": 0}
    sharp = {"sharpen_p": 0, "noise_p": 0, "jpeg_p": 0}
    recipe = tiny.recipe(augmentation={**plain, **seen, **sharp}, batch_size=8)
    images = read_images(job.dataset, job.split.train, 0.25, types=TYPES)
    batch = Crops(images, recipe, seed=1).batch(0)
    types, classes = batch["types"].numpy(), batch["classes"].numpy()
    assert types.dtype == np.uint8
    assert types.shape == classes.shape
    assert ((types == UNKNOWN_TYPE) == (classes == 0)).all()
    body = classes == 1
    green, blue = batch["image"][:, 1].numpy().astype(int), batch["image"][:, 2].numpy()
    assert ((types[body] == TYPES.index(toys.BLUE)) == (blue > green)[body]).mean() > 0.98
    assert {TYPES.index(toys.BLUE), TYPES.index(toys.GREEN)} == set(types[body])


def test_types_change_no_crop(fold: Path) -> None:
    job, recipe = _job(fold), tiny.recipe()
    plain, with_types = (
        Crops(read_images(job.dataset, job.split.train, 0.25, types=types), recipe, seed=0).batch(3)
        for types in ((), TYPES)
    )
    assert set(with_types) - set(plain) == {"types"}
    assert all(torch.equal(plain[name], with_types[name]) for name in plain)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**31), st.sampled_from([0.0, 0.4, 1.0]), st.integers(1, 4), st.sampled_from([1.0, 0.3])
)
def test_the_loss_of_types_is_that_of_a_plain_loop(
    seed: int, unknown: float, count: int, weight: float
) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (2, 3 + count, 4, 5)).astype(np.float32))
    classes = torch.from_numpy(rng.integers(0, 3, (2, 4, 5)))
    types = np.where(rng.random((2, 4, 5)) < unknown, UNKNOWN_TYPE, rng.integers(0, count, (2, 4, 5)))
    criterion = SegmentationLoss((1.0, 1.0, 1.5), 1.0, types=weight)
    losses = []
    for place in np.argwhere(types != UNKNOWN_TYPE):
        image, row, col = place
        own = logits[image, 3:, row, col].double().tolist()
        right = own[types[image, row, col]]
        losses.append(math.log(sum(math.exp(value - right) for value in own)))
    expected = sum(losses) / len(losses) if losses else 0.0
    together = criterion(logits, classes, types=torch.from_numpy(types.astype(np.uint8)))
    alone = criterion(logits[:, :3], classes)
    assert float(together - alone) == pytest.approx(weight * expected, abs=1e-5)
    assert float(criterion(logits, classes)) == float(alone)


def test_a_typed_network_takes_a_model_over_and_learns_its_types_anew(fold: Path, tmp_path: Path) -> None:
    from wsi_nucssl.models.info import ModelInfo
    from wsi_nucssl.models.tensors import save_model
    from wsi_nucssl.nuclei.settings import InstanceConfig

    image = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0)).float()
    for names in ((), ("other", "types"), TYPES):
        info = ModelInfo("m", "resunet18", 0.25, InstanceConfig(), typed(names))
        torch.manual_seed(8)
        start, path = build("resunet18", info.schema), tmp_path / f"{len(names)}.safetensors"
        save_model(path, start, info)
        network, untyped = (
            initial_network(_job(fold, types=types, start=str(path))).eval() for types in (True, False)
        )
        expected, found = start.eval()(image), network(image)
        assert found.shape == (1, 3 + len(TYPES), 64, 64)
        assert torch.equal(found[:, :3], expected[:, :3])
        assert torch.equal(untyped(image), expected[:, :3])
        assert torch.equal(found[:, 3:], expected[:, 3:]) is (names == TYPES)


def test_a_preview_of_a_typed_job(fold: Path) -> None:
    assert draw_preview(_job(fold)).shape == (8 * 64, 8 * 64, 3)
