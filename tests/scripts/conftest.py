"""A folder that is packed for a day on a GPU, once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts.gpu_day.pack import PackJob, pack
from tests.scripts.gpu_folder import RECIPE, write_images
from wsi_nucssl.datasets import Dataset, join_datasets, open_dataset
from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_encoder, save_model
from wsi_nucssl.nuclei.settings import InstanceConfig


@pytest.fixture(scope="package")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("data")
    return [write_images(root / "fine", 3, 0.25), write_images(root / "coarse", 2, 0.4)]


@pytest.fixture(scope="package")
def packed(datasets: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packed")
    torch.manual_seed(0)
    save_encoder(root / "encoder.safetensors", build_encoder("efficientnet-lite0"), {})
    model = ModelInfo("tiny", "liteunet0x2", 0.25, InstanceConfig())
    save_model(root / "model.safetensors", build("liteunet0x2"), model)
    (root / "tiny.yaml").write_text(RECIPE)
    (root / "bare.yaml").write_text("arch: resunet18\nfinetune: {precision: fp32}\n")
    job = PackJob(
        datasets,
        model=str(root / "model.safetensors"),
        encoders={"efficientnet-lite0": str(root / "encoder.safetensors")},
        recipes=[root / "tiny.yaml", root / "bare.yaml"],
        weights={"coarse": 2.0},
    )
    pack(job, root / "folder")
    return root / "folder"


@pytest.fixture(scope="package")
def joined_dataset(datasets: list[Path]) -> Dataset:
    return join_datasets({path.name: open_dataset(path) for path in datasets})
