"""The mean of trainings is that of each number, and only trainings of one start and the same images have one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scripts.average import average
from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.arrays import read_arrays
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.nuclei.settings import InstanceConfig

IMAGE = {"id": "a", "image_sha256": "1" * 64, "label_sha256": "2" * 64}


def trained(path: Path, seed: int, *, arch: str = "liteunet0x2", start: str = "s", image: str = "1") -> Model:
    torch.manual_seed(seed)
    split: dict[str, Any] = {"train": [{**IMAGE, "image_sha256": image * 64}], "validation": []}
    provenance = {"seed": seed, "start": start, "recipe": {"epochs": seed}, "split": split}
    save_model(path, build(arch), ModelInfo(path.stem, arch, 0.25, InstanceConfig(), provenance=provenance))
    return load_model(path)


def test_each_number_is_the_mean_and_the_header_names_all(tmp_path: Path) -> None:
    models = [trained(tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1, 2)]
    arrays = [read_arrays(model.path) for model in models]
    average(models, tmp_path / "mean.safetensors")
    mean = read_arrays(tmp_path / "mean.safetensors")
    assert mean.keys() == arrays[0].keys()
    for name, array in mean.items():
        of_all = np.stack([each[name].astype(np.float64) for each in arrays])
        assert of_all.dtype == np.float64
        np.testing.assert_allclose(array, of_all.mean(axis=0), rtol=1e-6, atol=1e-9)
    assert (arrays[0]["decoder.head.0.weight"] != arrays[1]["decoder.head.0.weight"]).any()
    provenance = load_model(tmp_path / "mean.safetensors").info.provenance
    assert provenance["seed"] == 0
    assert [each["seed"] for each in provenance["averaged_with"]] == [1, 2]
    assert provenance["averaged_with"][1] == {"seed": 2, "recipe": {"epochs": 2}, "start": "s"}


@pytest.mark.parametrize(
    ("other", "what"),
    [({"arch": "resunet18"}, "architecture"), ({"start": "t"}, "start"), ({"image": "3"}, "images")],
)
def test_what_has_no_mean_is_refused(tmp_path: Path, other: dict[str, str], what: str) -> None:
    models = [trained(tmp_path / "a.safetensors", 0), trained(tmp_path / "b.safetensors", 1, **other)]
    with pytest.raises(UsageError, match=rf"b\.safetensors has another {what} than a\.safetensors"):
        average(models, tmp_path / "mean.safetensors")
    assert not (tmp_path / "mean.safetensors").exists()
