"""The paper's tables: experiments as data, numbers beside the paper's, and every one run on tiny settings."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from tests.paper.pretend import Pretend, table_of_ours
from wsi_nucssl.benchmark.run import benchmark
from wsi_nucssl.datasets import Dataset
from wsi_nucssl.errors import OutputExists, SomeSlidesFailed, UsageError
from wsi_nucssl.paper.experiments import Experiment, Setup, Steps
from wsi_nucssl.paper.reproduce import reproduce
from wsi_nucssl.paper.run_scores import score_run
from wsi_nucssl.paper.tables import PAPER, Budget, Column, Row, Tables

PAPERS = ("table1", "table2", "table3", "table4")
OURS = ("pretraining", "decorrelation", "ablation", "architectures", "recipe")


def test_the_papers_numbers_agree_with_what_its_text_says() -> None:
    tables = Tables.load(PAPER).tables
    assert set(tables) == {*PAPERS, *OURS}
    scratch, imagenet, ours = tables["table1"].paper["aji"]
    assert imagenet[0] - scratch[0] == pytest.approx(0.54)
    assert ours[4] - scratch[4] == pytest.approx(11.43)
    assert ours[0] - scratch[0] == pytest.approx(5.34)
    none, triplet, rank, both = (row[0] for row in tables["table3"].paper["aji"])
    assert (triplet - none, rank - none, both - none) == pytest.approx((4.35, 4.80, 5.34))
    for measure, averages in (("dice1", (84.47, 86.36)), ("aji", (73.33, 76.19))):
        assert np.mean(tables["table4"].paper[measure], axis=1) == pytest.approx(averages, abs=0.006)
    for table in tables.values():
        table.check_strategies()


@pytest.mark.parametrize("budget", Tables.load(PAPER).budgets.values(), ids=Tables.load(PAPER).budgets)
def test_no_row_changes_what_a_budget_spends(budget: Budget) -> None:
    for table in Tables.load(PAPER).tables.values():
        for row in table.rows:
            pretrain, finetune = budget.pretrain.changed(row.pretrain), budget.finetune.changed(row.finetune)
            for name in ("steps", "batch_size", "tile_px", "precision"):
                assert getattr(pretrain, name) == getattr(budget.pretrain, name)
            assert pretrain.views.view_px == budget.pretrain.views.view_px
            for name in ("epochs", "crops_per_image", "batch_size", "precision"):
                assert getattr(finetune, name) == getattr(budget.finetune, name)


def three_seeds(path: Path) -> Path:
    content = yaml.safe_load(PAPER.read_text())
    content["budgets"]["three"] = {**content["budgets"]["smoke"], "seeds": [0, 1, 2]}
    path.write_text(yaml.safe_dump(content))
    return path


def test_experiments_show_mean_spread_paper_and_gap(dataset: Dataset, tmp_path: Path) -> None:
    pretend = Pretend()
    config = three_seeds(tmp_path / "tables.yaml")
    text = reproduce("table3", dataset, tmp_path / "out", budget="three", config=config, steps=pretend.steps)
    assert len(pretend.tuned) == 12
    assert "| ResUNet | 61.00 ± 1.00 (65.29, -4.29) |" in text
    assert "say nothing about the method" in text
    assert text == (tmp_path / "out" / "table3.md").read_text()
    cells = json.loads((tmp_path / "out" / "table3.json").read_text())["cells"]
    assert len(cells) == 4
    assert len(cells[0][0]["scores"]) == 3
    averaged = reproduce(
        "table4", dataset, tmp_path / "out", budget="smoke", config=config, steps=pretend.steps
    )
    assert "| SSL (ours) | 80.00 (86.54, -6.54) |" in averaged
    assert "80.00 (86.36, -6.36) |" in averaged


def test_a_distance_is_shown_in_px(dataset: Dataset, tmp_path: Path) -> None:
    config = table_of_ours(
        tmp_path / "tables.yaml", {"name": "plain", "strategy": "none"}, metrics=["aji", "hausdorff"]
    )
    out = tmp_path / "out"
    text = reproduce("ours", dataset, out, budget="smoke", config=config, steps=Pretend().steps)
    assert "## aji, in %\n" in text
    assert "| plain | 60.00 |" in text
    assert "## hausdorff, in px\n" in text
    assert "| plain | 3.20 |" in text
    metrics = json.loads((out / "ours.json").read_text())["metrics"]
    assert {name: (each["unit"], each["scale"]) for name, each in metrics.items()} == {
        "aji": ("%", 100),
        "hausdorff": ("px", 1),
    }


def test_tables_replace_nothing_but_tables_of_the_same_runs(dataset: Dataset, tmp_path: Path) -> None:
    config = table_of_ours(tmp_path / "tables.yaml", {"name": "plain", "strategy": "none"})
    (thesis := tmp_path / "ours.md").write_text("somebody's")
    pretend = Pretend()
    with pytest.raises(OutputExists, match="there already"):
        reproduce("ours", dataset, tmp_path, budget="smoke", config=config, steps=pretend.steps)
    assert (thesis.read_text(), pretend.tuned) == ("somebody's", [])
    (tmp_path / "runs").mkdir()
    text = reproduce("ours", dataset, tmp_path, budget="smoke", config=config, steps=pretend.steps)
    assert thesis.read_text() == text
    named = config.rename(tmp_path / "ours.json")
    with pytest.raises(OutputExists, match="input"):
        reproduce("ours", dataset, tmp_path, budget="smoke", config=named, steps=pretend.steps)


def test_tables_of_before_are_read(tmp_path: Path) -> None:
    """A fraction was a share once, and metrics were measures."""
    config = table_of_ours(tmp_path / "tables.yaml", {"name": "plain", "strategy": "none"})
    content = yaml.safe_load(config.read_text())
    ours = content["tables"]["ours"]
    ours["measures"] = ours.pop("metrics")
    ours["columns"] = [{"name": "half", "share": 0.5}]
    config.write_text(yaml.safe_dump(content))
    (table,) = Tables.load(config).tables.values()
    assert (table.shown, table.columns[0].fraction) == (("aji",), 0.5)


def test_an_experiment_that_cannot_run_is_named_and_the_others_go_on(
    dataset: Dataset, tmp_path: Path
) -> None:
    pretend = Pretend(fails="imagenet")
    with pytest.raises(SomeSlidesFailed, match="1 of 6 experiments"):
        reproduce("table2", dataset, tmp_path, budget="smoke", steps=pretend.steps)
    text = (tmp_path / "table2.md").read_text()
    assert len(pretend.tuned) == 6
    assert "| ImageNet | – (65.83) |" in text
    assert "cannot be fetched" in text


def test_what_is_not_there_is_refused_by_name(dataset: Dataset, tmp_path: Path) -> None:
    content = yaml.safe_load(PAPER.read_text())
    content["tables"]["table3"]["rows"][1]["strategy"] = "contrastive"
    config = tmp_path / "tables.yaml"
    config.write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match=r"'contrastive'.*triplet-rank"):
        reproduce("table3", dataset, tmp_path / "out", config=config)
    with pytest.raises(UsageError, match=r"'huge'.*full, cpu, cpu-half, lite, fold, smoke"):
        reproduce("table3", dataset, tmp_path / "out", budget="huge")
    content["tables"]["table3"]["columns"] *= 2
    config.write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match="4 × 2 values"):
        reproduce("table3", dataset, tmp_path / "out", config=config)


def test_a_wrong_setting_is_refused_before_anything_runs(dataset: Dataset, tmp_path: Path) -> None:
    pretend = Pretend()
    rows = (
        {"name": "fine", "strategy": "none"},
        {"name": "off", "strategy": "none", "finetune": {"boundary_px": 9}},
    )
    config = table_of_ours(tmp_path / "tables.yaml", *rows)
    with pytest.raises(UsageError, match="boundary_px"):
        reproduce("ours", dataset, tmp_path / "out", budget="smoke", config=config, steps=pretend.steps)
    assert not pretend.tuned


def test_rows_change_recipes_and_share_one_pretraining(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    image = imagecodecs.png_encode(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    (tmp_path / "more" / "slide.png").write_bytes(image)
    degraded = {"views": {"deshortcut": {"enabled": True}}}
    config = table_of_ours(
        tmp_path / "tables.yaml",
        {"name": "plain", "strategy": "none"},
        {"name": "wide", "strategy": "none", "finetune": {"boundary_px": 3}},
        {"name": "ranked", "strategy": "rank"},
        {"name": "ranked, degraded", "strategy": "rank", "pretrain": degraded},
    )
    text = reproduce(
        "ours",
        dataset,
        tmp_path / "out",
        budget="smoke",
        config=config,
        device="cpu",
        unlabelled=[tmp_path / "more"],
    )
    assert "without labels: more" in text
    assert "the spread is that of fine-tuning" in text
    assert "paper" not in text.lower()
    manifests = [json.loads(file.read_text()) for file in (tmp_path / "out" / "runs").glob("*/manifest.json")]
    tuned = [each for each in manifests if each["kind"] == "finetune"]
    pretrained = [each for each in manifests if each["kind"] == "pretrain"]
    assert sorted(each["recipe"]["boundary_px"] for each in tuned) == [2, 2, 2, 3]
    assert len({each["encoder"] for each in tuned}) == 3
    assert [each["seed"] for each in pretrained] == [7, 7]
    assert {each["recipe"]["views"]["deshortcut"]["enabled"] for each in pretrained} == {False, True}


def test_scores_are_those_of_the_weights_that_are_there(dataset: Dataset, tmp_path: Path) -> None:
    """A run that was deleted and made again with another recipe is scored again; another test set likewise."""
    scored: list[int] = []

    def count(images: Dataset, *given: Any, **options: Any) -> Any:
        scored.append(len(images))
        return benchmark(images, *given, **options)

    steps = Steps(score=partial(score_run, benchmark=count))
    config = table_of_ours(tmp_path / "tables.yaml", {"name": "plain", "strategy": "none"})
    out = tmp_path / "out"

    def run(**options: Any) -> str:
        return reproduce(
            "ours", dataset, out, budget="smoke", config=config, device="cpu", steps=steps, **options
        )

    first = run()
    assert run() == first
    assert scored == [6]
    content = yaml.safe_load(config.read_text())
    content["budgets"]["smoke"]["finetune"]["crops_per_image"] = 2
    config.write_text(yaml.safe_dump(content))
    with pytest.raises(
        SomeSlidesFailed, match="1 of 1 experiments"
    ):  # what is there was made with another recipe
        run()
    told = (out / "ours.md").read_text()
    assert "recipe.crops_per_image: was 1, now 2" in told
    assert "Move that run away" in told
    shutil.rmtree(out / "runs" / "none-holdout-1-seed0")
    run()
    assert scored == [6, 6]
    for count_of_images in (4, 2, 2):
        run(test=dataset.subset(dataset.ids[:count_of_images]))
    assert scored == [6, 6, 4, 2]
    few = dataset.subset(dataset.ids[:2])
    relabelled = replace(few, samples=tuple(replace(each, read_labels=one_nucleus) for each in few))
    run(test=relabelled)
    at_half = replace(few, samples=tuple(replace(each, mpp=0.5) for each in relabelled))
    assert run(test=at_half) == run(test=at_half)
    (out / "runs" / f"none-holdout-1-seed0-on-{dataset.path.name}" / "results.json").write_text("{")
    run(test=at_half)
    assert scored == [6, 6, 4, 2, 2, 2, 2]


def one_nucleus(shape: tuple[int, int]) -> NDArray[np.int32]:
    """Labels that somebody corrected."""
    labels = np.zeros(shape, np.int32)
    labels[:9, :9] = 1
    return labels


def test_a_row_and_a_column_that_change_one_section_have_runs_of_their_own(
    dataset: Dataset, tmp_path: Path
) -> None:
    pretend = Pretend()
    setup = Setup(dataset, None, Tables.load(PAPER).budget("smoke"), tmp_path, steps=pretend.steps)
    row = Row(name="r", strategy="none", finetune={"loss": {"dice": 0.0}, "crop_px": 192})
    other = {"loss": {"class_weights": [1.0, 1.0, 1.0]}, "crop_px": 128}
    for column in (Column(name="a"), Column(name="b", finetune=other)):
        experiment = Experiment(setup, row, column)
        experiment.check()
        experiment.run(0)
    assert len(pretend.jobs) == 2
    first, second = (job.recipe for job in pretend.tuned)
    assert (first.loss.dice, second.loss.dice) == (0.0, 0.0)
    assert (first.loss.class_weights, second.loss.class_weights) == ((1.0, 1.0, 1.5), (1.0, 1.0, 1.0))
    assert (first.crop_px, second.crop_px) == (192, 128)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS + OURS)
def test_every_experiment_runs_on_a_tiny_budget_and_is_not_run_twice(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    text = reproduce(name, dataset, tmp_path, budget="smoke", device="cpu")
    table = Tables.load(PAPER).tables[name]
    grid = json.loads((tmp_path / f"{name}.json").read_text())["cells"]
    assert [len(line) for line in grid] == [len(table.columns)] * len(table.rows)
    for cell in (cell for line in grid for cell in line):
        assert all(0 <= cell["scores"][0][metric] <= 1 for metric in table.shown)
    assert text.count("(") >= len(table.rows) * len(table.columns) * len(table.paper)
    assert "–" not in text
    weights = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    assert len(weights) >= len(table.rows)
    assert reproduce(name, dataset, tmp_path, budget="smoke", device="cpu") == text
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
