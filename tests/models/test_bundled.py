"""What is bundled is small enough, says where it comes from, and is what its card says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from wsi_nucssl.benchmark.averages import means
from wsi_nucssl.benchmark.predictors import Network
from wsi_nucssl.benchmark.run import benchmark
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.files import sha256_file
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.info import BUNDLED, bundled_models
from wsi_nucssl.models.weights import load_model

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
    assert train
    assert not train & validation
    text = card(name)
    assert f"{len(train)} to train, {len(validation)} to validate" in text
    for entry in provenance["split"]["validation"]:
        assert entry["id"] in text
    assert _length_of_training(provenance) in text
    for needed in ("why it is bundled", "licence", "commit `", f"seed {provenance['seed']}", "## Limits"):
        assert needed in text


def _length_of_training(provenance: dict[str, Any]) -> str:
    """As `finetune` says it, by epochs, or a day on a GPU, by steps."""
    if "reached" in provenance:
        return f"{provenance['reached']['step']:,} steps"
    return f"epoch {provenance['scores']['epoch']}"


def test_one_model_is_the_default_and_its_licence_stands_in_its_card() -> None:
    assert DEFAULT_MODEL in bundled_models()
    assert "default model" in card(DEFAULT_MODEL)
    for name in bundled_models():
        assert "CC BY" in card(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", bundled_models())
def test_the_card_states_the_aji_that_the_benchmark_gives(
    name: str, monuseg: Path, gbm40: Path, tmp_path: Path
) -> None:
    """On the images that it held out; where it held none out, on a set that it never saw."""
    model = load_model(name)
    held_out = bool(model.info.provenance["split"]["validation"])
    dataset = open_dataset(monuseg if held_out else gbm40)
    found = benchmark(dataset, [Network(model, open_engine(model, "cpu"))], tmp_path)
    (stated,) = re.findall(r"^\| (?:gbm40 \| )?(\d\d\.\d\d) \[", card(name), re.MULTILINE)
    (result,) = found.models
    assert 100 * means(result.images)["aji"] == pytest.approx(float(stated), abs=0.05)
