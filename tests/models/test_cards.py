"""Cards: weights that are not the file that their card names are doubted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from wsi_nucssl.models.cards import doubts_of_weights
from wsi_nucssl.models.info import bundled_models, weights_path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights and a graph, and a card that names both."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"weights")
    path.with_suffix(".int8").write_bytes(b"graph")
    rows = [
        f"| file | `{each.name}`, 16.3 MB, SHA-256 `{hashlib.sha256(each.read_bytes()).hexdigest()}` |\n"
        for each in (path, path.with_suffix(".int8"))
    ]
    path.with_suffix(".md").write_text("".join(rows))
    return path


@pytest.mark.parametrize("ending", [".safetensors", ".int8"])
def test_a_file_of_another_hash_is_doubted_by_name(weights: Path, ending: str) -> None:
    assert doubts_of_weights(weights) == ()
    other = weights.with_suffix(ending)
    other.write_bytes(other.read_bytes()[:-1] + b"?")
    (doubt,) = doubts_of_weights(weights)
    assert doubt.kind == "weights-card"
    assert doubt.what.startswith(f"{other.name} in {weights.parent} ")


def test_what_is_not_there_or_lies_elsewhere_is_not_looked_at(weights: Path) -> None:
    weights.with_suffix(".int8").unlink()
    assert doubts_of_weights(weights) == ()
    with weights.with_suffix(".md").open("a") as card:
        card.writelines(f"`{path}`, 1 MB, SHA-256 `{64 * '0'}`\n" for path in ("/dev/zero", "../other"))
    (weights.parent.parent / "other").write_bytes(b"other")
    assert doubts_of_weights(weights) == ()
    weights.with_suffix(".md").unlink()
    assert doubts_of_weights(weights) == ()


def test_no_bundled_model_is_doubted() -> None:
    assert bundled_models()
    for name in bundled_models():
        assert doubts_of_weights(weights_path(name)) == (), name
