"""Curves name what they show, its unit and the best epoch."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from wsi_nucssl.train.curves import best_of, draw_curves, panel_of

ROWS = [
    {"step": 10, "epoch": 1, "loss": 2.0},
    {"step": 20, "epoch": 2, "loss": 1.5, "validation_aji": 0.61, "validation_dice1": 0.7},
    {"step": 30, "epoch": 3, "loss": 1.2, "validation_aji": 0.64, "validation_dice1": 0.72},
    {"step": 40, "epoch": 4, "loss": 1.1, "validation_aji": 0.62, "validation_dice1": 0.75},
]


def test_the_best_epoch_is_marked_where_it_was() -> None:
    axes = Figure().subplots()
    draw_curves(axes, ROWS, ("validation_aji", "validation_dice1"))
    legend = axes.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["AJI", "Dice1", "best: AJI 0.640, epoch 3"]
    assert np.array_equal(axes.lines[-1].get_xdata(), [30, 30])
    assert (axes.get_title(), axes.get_ylabel()) == ("Held-out images (higher is better)", "score, 0 to 1")


def test_without_a_score_nothing_is_best() -> None:
    assert best_of(ROWS[:1]) is None
    axes = Figure().subplots()
    draw_curves(axes, ROWS[:1], ("validation_aji",))
    assert axes.get_legend() is None


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("loss_rank", "Loss (lower is better)"),
        ("z_norm", "Distances and sizes of features"),
        ("accuracy", "Shares of a batch"),
        ("active_triplets", "Shares of a batch"),
        ("tiles_per_second", "Speed"),
        ("of_somebody", "of somebody"),
    ],
)
def test_every_panel_has_a_title(name: str, title: str) -> None:
    assert panel_of([name]).title == title
    assert panel_of([name]).unit


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("loss", "loss"),
        ("validation_aji", "score, 0 to 1"),
        ("loader_share", "fraction of the time, 0 to 1"),
        ("d_ap", "length"),
        ("z_norm", "length"),
        ("redundancy_1", "mean correlation, 0 to 1"),
        ("rank_accuracy", "share, 0 to 1"),
        ("of_somebody", "value"),
    ],
)
def test_every_panel_has_the_unit_of_what_it_shows(name: str, unit: str) -> None:
    assert panel_of([name, "of_somebody_else"]).unit == unit


def test_of_equal_epochs_the_first_is_best() -> None:
    rows = [{"step": step, "validation_aji": aji} for step, aji in ((1, 0.5), (2, 0.7), (3, 0.7), (4, 0.6))]
    assert best_of(rows) == rows[1]


def test_a_curve_has_a_point_for_each_row_that_has_its_value_and_dots_while_there_are_few() -> None:
    for count in (39, 40):
        rows = [{"step": 2 * step, "loss": 1 / (1 + step)} for step in range(count)]
        axes = Figure().subplots()
        draw_curves(axes, [*rows, {"step": 500, "other": 1}], ("loss", "of_nobody"))
        (line,) = axes.lines
        assert np.array_equal(line.get_xdata(), [row["step"] for row in rows])
        assert np.array_equal(line.get_ydata(), [row["loss"] for row in rows])
        assert (line.get_marker() == "o") is (count < 40)


def test_where_rows_have_no_epoch_the_best_step_is_named() -> None:
    axes = Figure().subplots()
    draw_curves(axes, [{"step": 1200, "validation_aji": 0.5}], ("validation_aji",))
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_texts()[-1].get_text() == "best: AJI 0.500, step 1200"
    other = Figure().subplots()
    draw_curves(other, [{"step": 1200, "validation_aji": 0.5, "loss": 1}], ("loss",))
    assert len(other.lines) == 1
