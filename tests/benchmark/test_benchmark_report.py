"""Averages against plain loops, the shape of results.json, and what is written where."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from scipy.stats import bootstrap

from tests.benchmark.factory import Copycat, known
from tests.train.tiny import write_dataset
from wsi_nucssl.benchmark.averages import intervals, means, pooled_aji
from wsi_nucssl.benchmark.image_result import ImageResult, score_image
from wsi_nucssl.benchmark.run import benchmark
from wsi_nucssl.datasets import Dataset, holdout, open_dataset
from wsi_nucssl.errors import DatasetError, OutputExists, UsageError
from wsi_nucssl.metrics import Scores, aji, compare


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_dataset(tmp_path_factory.mktemp("data"), images=5))


def with_aji(*values: float) -> list[ImageResult]:
    labels = np.eye(4, dtype=np.int32)
    some = score_image("x", compare(labels, labels))
    return [replace(some, id=str(n), scores=Scores({**some.scores, "aji": v})) for n, v in enumerate(values)]


def test_a_mean_is_over_images_where_it_is_defined() -> None:
    images = with_aji(0.2, 0.6, math.nan)
    assert means(images)["aji"] == pytest.approx(0.4)
    assert means(images)["dice1"] == 1
    assert math.isnan(means(with_aji(math.nan))["aji"])


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(1).uniform(0.4, 0.7, 12)
    low, high = intervals(with_aji(*values))["aji"]
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=0).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.002)
    assert intervals(with_aji(*values))["aji"] == (low, high)
    assert all(math.isnan(side) for side in intervals(with_aji(0.5))["aji"])


def test_pooled_aji_is_that_of_the_images_side_by_side(dataset: Dataset) -> None:
    copycat = Copycat(dataset, moved=3)
    trues = [sample.labels() for sample in dataset]
    preds = [copycat.label_image(sample.id, sample.image(), 0.25) for sample in dataset]
    images = [
        score_image(str(n), compare(true, pred))
        for n, (true, pred) in enumerate(zip(trues, preds, strict=True))
    ]

    def side_by_side(parts: list[np.ndarray]) -> np.ndarray:
        return np.hstack([np.where(part > 0, part + 100 * n, 0) for n, part in enumerate(parts)])

    assert pooled_aji(images) == pytest.approx(aji(side_by_side(trues), side_by_side(preds)), abs=1e-12)
    assert means(images)["aji"] == pytest.approx(
        np.mean([aji(t, p) for t, p in zip(trues, preds, strict=True)])
    )


def test_results_have_the_stated_shape(dataset: Dataset, tmp_path: Path) -> None:
    split = holdout(dataset, validation=2)
    predictors = [Copycat(dataset, "exact", split=known(split)), Copycat(dataset, "moved", moved=3)]
    benchmark(dataset, predictors, tmp_path / "out", split="all")
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(content["models"]) == {"exact", "moved"}
    exact, moved = content["models"]["exact"], content["models"]["moved"]
    assert exact["mean"]["aji"] == exact["pooled"]["aji"] == 1
    assert exact["interval"]["aji"] == [1, 1]
    assert exact["trained_on"] == list(split.train_ids)
    assert "trained on 3" in content["warnings"][0]
    assert moved["interval"]["aji"][0] <= moved["mean"]["aji"] <= moved["interval"]["aji"][1] < 1
    assert set(moved["images"]) == set(content["dataset"]["images"]) == set(dataset.ids)
    for sample in dataset:
        entry = content["dataset"]["images"][sample.id]
        assert (entry["image_sha256"], entry["label_sha256"]) == sample.hashes()
        image = moved["images"][sample.id]
        assert (
            image["true_positives"] + image["missed"] + image["merged"] + image["split"]
            == image["true_nuclei"]
        )


def test_tables_and_overlays_lie_beside(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen: list[tuple[int, int, str]] = []
    benchmark(dataset, [Copycat(dataset, moved=3)], out, on_image=lambda *progress: seen.append(progress))
    assert seen[-1] == (5, 5, dataset.ids[-1])
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == list(dataset.ids)
    table = (out / "results.md").read_text()
    assert "bootstrap interval" in table
    assert "| copycat |" in table
    overlay = imagecodecs.png_decode((out / "overlays" / "copycat" / "0.png").read_bytes())
    image = dataset["0"].image()
    height, cols = image.shape[:2]
    tops = [np.mean(overlay[top : top + height, :cols] == image) for top in range(len(overlay) - height + 1)]
    assert 0.5 < max(tops) < 1  # the image with outlines, between title and legend
    assert len(overlay) > height


def test_the_same_benchmark_gives_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("a", "b"):
        benchmark(dataset, [Copycat(dataset, moved=2)], tmp_path / name, overlays=False)
    first, second = (sorted((tmp_path / name).glob("results.*")) for name in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_results_are_not_overwritten_unasked(dataset: Dataset, tmp_path: Path) -> None:
    def run(*, overwrite: bool = False) -> None:
        benchmark(dataset, [Copycat(dataset)], tmp_path / "out", overlays=False, overwrite=overwrite)

    run()
    with pytest.raises(OutputExists, match="`overwrite`"):
        run()
    run(overwrite=True)


def test_nobody_and_namesakes_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`model`"):
        benchmark(dataset, [], tmp_path)
    with pytest.raises(UsageError, match="copycat"):
        benchmark(dataset, [Copycat(dataset), Copycat(dataset)], tmp_path)


def test_a_name_from_a_file_never_leaves_the_folder(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    benchmark(dataset, [Copycat(dataset, "../../escaped")], out)
    assert not list(tmp_path.glob("escaped*"))
    assert [folder.name for folder in (out / "overlays").iterdir()] == ["escaped"]


def test_two_names_of_one_file_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    twins = [Copycat(dataset, "a b"), Copycat(dataset, "a+b")]
    with pytest.raises(UsageError, match=r"'a b' and 'a\+b'.*`overlays`"):
        benchmark(dataset, twins, tmp_path)
    assert len(benchmark(dataset, twins, tmp_path, overlays=False).models) == 2


def test_overlays_of_former_predictors_go_with_their_results(dataset: Dataset, tmp_path: Path) -> None:
    benchmark(dataset, [Copycat(dataset, "before")], tmp_path)
    benchmark(dataset, [Copycat(dataset, "after")], tmp_path, overwrite=True)
    assert [folder.name for folder in (tmp_path / "overlays").iterdir()] == ["after"]


def test_results_stay_where_their_successors_fail(dataset: Dataset, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Failing(Copycat):
        def label_image(self, sample_id: str, image: np.ndarray, mpp: float) -> np.ndarray:
            if sample_id == dataset.ids[-1]:
                raise DatasetError("no prediction")
            return super().label_image(sample_id, image, mpp)

    benchmark(dataset, [Copycat(dataset, "before")], tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DatasetError):
        benchmark(dataset, [Failing(dataset, "after")], tmp_path, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_overlays_without_results_are_not_taken(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    with pytest.raises(OutputExists, match="overlays"):
        benchmark(dataset, [Copycat(dataset)], tmp_path)
