"""What is bundled is small enough, says where it comes from, and is what its card says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.evaluate.averages import means
from wsi_nucssl.evaluate.benchmark import benchmark
from wsi_nucssl.evaluate.contestants import Network
from wsi_nucssl.files import sha256_file
from wsi_nucssl.models.weights import BUNDLED, bundled_models, load_model
from wsi_nucssl.segment.engine import open_engine

LARGEST = 60_000_000


def card(name: str) -> str:
    return (BUNDLED / f"{name}.md").read_text()


def test_every_file_belongs_to_a_model_with_a_card() -> None:
    assert {path.stem for path in BUNDLED.iterdir()} == set(bundled_models())
    for path in BUNDLED.glob("*[!d]"):
        assert path.stat().st_size <= LARGEST
        assert sha256_file(path) in card(path.stem)
        assert f"`{path.name}`, {path.stat().st_size / 1e6:.1f} MB" in card(path.stem)


@pytest.mark.parametrize("name", bundled_models())
def test_the_header_tells_where_the_weights_come_from_and_the_card_agrees(name: str) -> None:
    provenance = load_model(name).info.provenance
    train, validation = (
        {entry["image_sha256"] for entry in provenance["split"][part]} for part in ("train", "validation")
    )
    assert (len(train), len(validation)) == (24, 6)
    assert not train & validation
    text = card(name)
    for entry in provenance["split"]["validation"]:
        assert entry["id"] in text
    assert f"epoch {provenance['scores']['epoch']}" in text
    for needed in ("why it is bundled", "CC BY-NC-SA 4.0", "commit `", "seed 0", "MoNuSeg 2018"):
        assert needed in text


@pytest.mark.slow
@pytest.mark.parametrize("name", bundled_models())
def test_the_card_states_the_aji_that_the_benchmark_gives(name: str, monuseg: Path, tmp_path: Path) -> None:
    model = load_model(name)
    found = benchmark(
        open_dataset(monuseg), [Network(model, open_engine(model, "cpu"))], tmp_path, split="val"
    )
    (stated,) = re.findall(r"^\| (\d\d\.\d\d) \[", card(name), re.MULTILINE)
    (result,) = found.models
    assert 100 * means(result.images)["aji"] == pytest.approx(float(stated), abs=0.05)
