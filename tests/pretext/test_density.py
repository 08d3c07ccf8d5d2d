from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.pretext.density import density_map
from wsi_nucssl.pretext.weights import PretextInfo, build_pretext, load_pretext, save_pretext

INFO = PretextInfo("triplet-rank", "resnet18", 0.25, 96)


@pytest.mark.parametrize("size", [(96, 96), (160, 224), (129, 201)])
def test_the_maps_mean_is_the_score(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = build_pretext(INFO).eval()
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    with torch.inference_mode():
        score = float(model(torch.from_numpy(image).permute(2, 0, 1)[None])["score"])
    density = density_map(model, image)
    assert density.shape == (-(-size[0] // 32), -(-size[1] // 32))
    assert float(density.mean()) == pytest.approx(score, abs=1e-5)


def test_a_task_without_ranking_has_no_density() -> None:
    model = build_pretext(PretextInfo("rotation", "resnet18", 0.25, 96)).eval()
    with pytest.raises(WeightsError, match="`task`"):
        density_map(model, np.zeros((96, 96, 3), np.uint8))


def test_a_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    model = build_pretext(INFO).eval()
    save_pretext(tmp_path / "pretext.safetensors", model, INFO)
    loaded, info = load_pretext(tmp_path)
    assert info == INFO
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no pretrained model"):
        load_pretext(tmp_path)
    broken = tmp_path / "pretext.safetensors"
    broken.write_bytes(b"not a safetensors file")
    with pytest.raises(WeightsError, match=r"pretext\.safetensors"):
        load_pretext(tmp_path)
