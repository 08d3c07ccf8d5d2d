"""Each task's warning speaks where a run goes wrong, and is silent where it does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wsi_nucssl.pretext.classification import accuracy
from wsi_nucssl.pretext.settings import ShortcutAugmentation, TaskSettings
from wsi_nucssl.pretext.tasks import build_task
from wsi_nucssl.pretext.triplet_rank import TripletRank

HEALTHY = {
    "loss_triplet": 0.4,
    "loss_rank": 0.3,
    "d_an": 0.9,
    "active_triplet": 0.5,
    "active_rank": 0.5,
}


def said(name: str, settings: TaskSettings | None = None, **means: float) -> str | None:
    return build_task(name, settings or TaskSettings()).warning({**HEALTHY, **means})


@pytest.mark.parametrize("name", ["triplet-rank", "triplet", "rank"])
def test_a_healthy_run_is_not_warned_of(name: str) -> None:
    assert said(name) is None


@pytest.mark.parametrize(
    ("name", "d_an", "speaks"),
    [
        ("triplet-rank", 0.049, True),
        ("triplet", 0.049, True),
        ("triplet-rank", 0.051, False),
        ("rank", 0.0, False),
    ],
)
def test_embeddings_that_are_all_the_same(name: str, d_an: float, speaks: bool) -> None:
    text = said(name, d_an=d_an, loss_triplet=0.97)
    assert (text is not None) == speaks
    if text is not None:
        assert "embeddings have collapsed: the triplet loss is 0.970" in text
        assert "learning rate" in text


def test_how_near_is_too_near_goes_with_the_margin() -> None:
    wide = TaskSettings(margin_triplet=4.0)
    assert said("triplet", wide, d_an=0.19) is not None
    assert said("triplet", wide, d_an=0.21) is None


@pytest.mark.parametrize(
    ("name", "loss_rank", "active_rank", "speaks"),
    [
        ("triplet-rank", 1.0, 1.0, True),
        ("rank", 0.985, 1.0, True),
        ("rank", 1.015, 1.0, True),
        ("rank", 0.97, 1.0, False),
        ("rank", 1.0, 0.98, False),
        ("triplet", 1.0, 1.0, False),
    ],
)
def test_scores_that_are_all_the_same(name: str, loss_rank: float, active_rank: float, speaks: bool) -> None:
    text = said(name, loss_rank=loss_rank, active_rank=active_rank)
    assert (text is not None) == speaks
    if text is not None:
        assert "ranking score has collapsed" in text


def test_the_scores_margin_is_the_ranks() -> None:
    wide = TaskSettings(margin_rank=2.0)
    assert said("rank", wide, loss_rank=2.0, active_rank=1.0) is not None
    assert said("rank", wide, loss_rank=1.0, active_rank=1.0) is None


@pytest.mark.parametrize(
    ("name", "active_triplet", "active_rank", "speaks"),
    [
        ("triplet-rank", 0.009, 0.009, True),
        ("triplet-rank", 0.009, 0.011, False),
        ("triplet-rank", 0.011, 0.009, False),
        ("triplet", 0.009, 0.9, True),
        ("rank", 0.9, 0.009, True),
    ],
)
def test_a_task_that_is_solved_too_easily(
    name: str, active_triplet: float, active_rank: float, speaks: bool
) -> None:
    text = said(name, active_triplet=active_triplet, active_rank=active_rank)
    assert (text is not None) == speaks
    if text is not None:
        assert "⟨deshortcut⟩" in text
    closed = TaskSettings(deshortcut=ShortcutAugmentation(enabled=True))
    assert said(name, closed, active_triplet=active_triplet, active_rank=active_rank) is None


@pytest.mark.parametrize(
    ("name", "accuracy", "speaks"),
    [
        ("rotation", 0.25, True),
        ("rotation", 0.299, True),
        ("rotation", 0.301, False),
        ("rotation", 0.9, False),
        ("jigsaw", 0.01, True),
        ("jigsaw", 0.0119, True),
        ("jigsaw", 0.0121, False),
        ("jigsaw", 0.5, False),
    ],
)
def test_accuracy_at_chance(name: str, accuracy: float, speaks: bool) -> None:
    text = build_task(name, TaskSettings()).warning({"accuracy": accuracy})
    assert (text is not None) == speaks
    if text is not None:
        assert f"the accuracy, {accuracy:.3f}, is no better than guessing among" in text
        assert "⟨preview⟩" in text


@pytest.mark.parametrize(
    ("loss_paint", "speaks"), [(0.5, True), (0.112, True), (0.110, False), (0.01, False)]
)
def test_colours_worse_than_one_grey(loss_paint: float, speaks: bool) -> None:
    text = build_task("colorme", TaskSettings()).warning({"loss_paint": loss_paint, "loss_histogram": 1.0})
    assert (text is not None) == speaks
    if text is not None:
        assert f"far off ({loss_paint:.3f})" in text


def test_accuracy_is_the_fraction_that_is_right() -> None:
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], requires_grad=True)
    found: Tensor = accuracy(logits, torch.tensor([1, 0, 0, 0]))
    assert float(found) == 0.75
    assert not found.requires_grad


def test_the_negatives_of_active_triplets_count_not_the_loss() -> None:
    """One of two triplets is active, one of two pairs."""
    z = torch.zeros(6, 128)
    z[4, 0], z[5, 0] = 0.5, 2.0
    outputs = {"z": z, "score": torch.tensor([0.0, 0.0, 0.5, 3.0, 0.0, 0.0])}
    _, logged = TripletRank(TaskSettings()).loss(outputs, {})
    values = {name: float(value) for name, value in logged.items()}
    assert values["active_triplet"] == values["active_rank"] == 0.5
    assert values["d_an"] == pytest.approx((0.25 + 4) / 2)
    assert values["z_norm"] == pytest.approx((0.5 + 2) / 6)
    assert values["triplet_accuracy"] == values["rank_accuracy"] == 1.0
