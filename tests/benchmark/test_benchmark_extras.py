"""Stress, oracles and groups in a whole benchmark; interrupted anywhere and resumed, the results are the same."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.benchmark.factory import Copycat, Thresholder
from tests.test_replacing import die_at
from tests.train.tiny import write_dataset
from wsi_nucssl.benchmark import run
from wsi_nucssl.benchmark.groups import grouped
from wsi_nucssl.benchmark.journal import Journal
from wsi_nucssl.benchmark.predictors import PredictionFolder
from wsi_nucssl.benchmark.run import benchmark
from wsi_nucssl.benchmark.stress import PERTURBATIONS
from wsi_nucssl.datasets import Dataset, Sample, holdout, open_dataset
from wsi_nucssl.errors import OutputExists, RunMismatch, Stopped, UsageError
from wsi_nucssl.locks import HOLDER, LOCK
from wsi_nucssl.metrics import aji

ALL = tuple(PERTURBATIONS.values())
EACH = 2 * (1 + len(ALL))
"""Predictions that each predictor makes."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_dataset(tmp_path_factory.mktemp("data") / "discs", images=2))


def pair(stops_after: int = 10**9) -> list[Thresholder]:
    return [Thresholder("dark", stops_after), Thresholder("darker")]


def stop(*_: object) -> None:
    raise Stopped(2)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (LOCK, HOLDER)
    }


@pytest.fixture(scope="module")
def whole(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    benchmark(dataset, pair(), out, stress=ALL, oracle=True, by="organ")
    return out


def test_stress_stands_beside_the_scores(dataset: Dataset, whole: Path) -> None:
    content = json.loads((whole / "results.json").read_text())
    assert content["stress"] == {each.name: each.help for each in ALL}
    found = content["models"]["dark"]["stress"]
    assert list(found) == list(PERTURBATIONS)
    for each in ALL:
        for sample in dataset:
            made = each(sample.id, *sample.pair())
            pred = Thresholder().label_image(sample.id, made.image, 0.25)[made.scored.rc]
            assert found[each.name]["images"][sample.id] == aji(made.true, pred)
    assert abs(found["rotation-90"]["paired_loss"]) < 1e-12
    assert abs(found["black-frame"]["paired_loss"]) < 1e-12
    table = (whole / "results.md").read_text()
    assert "| hematoxylin-0.7 |" in table
    assert "![What each perturbation costs](stress.png)" in table
    assert imagecodecs.png_decode((whole / "stress.png").read_bytes()).shape[1] == 1200
    assert not (whole / "work").exists()


@pytest.mark.parametrize("after", [0, 1, 2, len(ALL), len(ALL) + 1, len(ALL) + 2, EACH - 1])
def test_interrupted_and_resumed_it_is_the_same(
    after: int, dataset: Dataset, whole: Path, tmp_path: Path
) -> None:
    stopped, resumed = pair(after), pair()
    with pytest.raises(Stopped):
        benchmark(dataset, stopped, tmp_path, stress=ALL, oracle=True, by="organ")
    assert {Path(name).parts[0] for name in files(tmp_path)} == {"work"}
    benchmark(dataset, resumed, tmp_path, stress=ALL, oracle=True, by="organ", resume=True)
    assert files(tmp_path) == files(whole)
    assert len(stopped[0].seen) + len(resumed[0].seen) == EACH
    assert len(stopped[1].seen) + len(resumed[1].seen) == EACH


def test_a_line_that_was_cut_off_is_made_again(dataset: Dataset, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        benchmark(dataset, pair(7), tmp_path, stress=ALL, oracle=True, by="organ")
    kept = tmp_path / "work" / "scores.jsonl"
    kept.write_bytes(kept.read_bytes()[:-9])
    benchmark(dataset, pair(), tmp_path, stress=ALL, oracle=True, by="organ", resume=True)
    assert files(tmp_path) == files(whole)


def test_what_was_begun_is_neither_lost_nor_mixed(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        benchmark(dataset, pair(5), tmp_path, stress=ALL)
    with pytest.raises(OutputExists, match="`resume`"):
        benchmark(dataset, pair(), tmp_path, stress=ALL)
    with pytest.raises(RunMismatch, match="stress"):
        benchmark(dataset, pair(), tmp_path, stress=ALL[:2], resume=True)
    others = [replace(each, source={"kind": "other"}) for each in pair()]
    with pytest.raises(RunMismatch, match="kind"):
        benchmark(dataset, others, tmp_path, stress=ALL, resume=True)
    with pytest.raises(UsageError, match="`resume` or `overwrite`"):
        benchmark(dataset, pair(), tmp_path, resume=True, overwrite=True)
    benchmark(dataset, pair(), tmp_path, overwrite=True)
    assert not (tmp_path / "work").exists()


def test_old_results_stay_until_the_interrupted_new_ones_are_whole(dataset: Dataset, tmp_path: Path) -> None:
    benchmark(dataset, [Copycat(dataset)], tmp_path)
    before = files(tmp_path)
    with pytest.raises(Stopped):
        benchmark(dataset, pair(1), tmp_path, overwrite=True)
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    benchmark(dataset, pair(), tmp_path, resume=True)
    assert set(json.loads((tmp_path / "results.json").read_text())["models"]) == {"dark", "darker"}
    with pytest.raises(OutputExists, match="`overwrite`"):
        benchmark(dataset, pair(), tmp_path, resume=True)


def test_the_picture_goes_with_its_results(dataset: Dataset, tmp_path: Path) -> None:
    benchmark(dataset, pair(), tmp_path, stress=ALL[:1])
    assert (tmp_path / "stress.png").exists()
    (tmp_path / "results.json").unlink()
    with pytest.raises(OutputExists):
        benchmark(dataset, pair(), tmp_path, overlays=False)
    benchmark(dataset, pair(), tmp_path, overlays=False, overwrite=True)
    assert set(files(tmp_path)) == {"results.csv", "results.json", "results.md"}


def test_damaged_scores_are_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "scores.jsonl")
    journal.keep(("a", "b"), lambda: [float("nan"), 1])
    journal.keep(("a", "b"), lambda: pytest.fail("it is there"))
    assert np.isnan(Journal(journal.path)["a", "b"][0])
    journal.path.write_text("no score\n")
    with pytest.raises(RunMismatch, match=r"scores\.jsonl.*`overwrite`"):
        Journal(journal.path)


def test_files_cannot_be_stressed(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for sample in dataset:
        np.save(folder / f"{sample.id}.npy", sample.labels())
    with pytest.raises(UsageError, match=r"`stress`.*'theirs'"):
        benchmark(dataset, [PredictionFolder.open(folder)], tmp_path / "out", stress=ALL)
    benchmark(dataset, [PredictionFolder.open(folder)], tmp_path / "out", oracle=True)
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    oracle = content["models"]["theirs"]["oracle"]
    assert oracle["perfect_splitting"] == oracle["perfect_foreground"] == oracle["precision"] == 1
    assert oracle["missed"] == oracle["false_positives"] == 0
    assert oracle["true_positives"] == sum(len(np.unique(s.labels())) - 1 for s in dataset)
    assert "stress" not in content
    assert "## Oracles" in (tmp_path / "out" / "results.md").read_text()


def test_predictions_that_changed_are_not_mixed(dataset: Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", dataset["0"].labels())
    before = PredictionFolder.open(tmp_path).source
    np.save(tmp_path / "0.npy", np.roll(dataset["0"].labels(), 1))
    assert PredictionFolder.open(tmp_path).source != before


def test_groups_have_means_of_their_own(dataset: Dataset, tmp_path: Path) -> None:
    first, second = dataset.samples
    known = replace(
        dataset,
        samples=(replace(first, organ="liver", patient="p", dataset="x"), replace(second, patient="p")),
    )
    assert grouped(known, known.ids, "organ") == {"liver": ("0",), "unknown": ("1",)}
    assert grouped(known, known.ids, "patient") == {"p": ("0", "1")}
    assert grouped(dataset, dataset.ids, "patient") == {"0": ("0",), "1": ("1",)}
    assert grouped(known, known.ids, "dataset") == {"discs": ("1",), "x": ("0",)}
    benchmark(known, pair()[:1], tmp_path, by="organ", overlays=False)
    content = json.loads((tmp_path / "results.json").read_text())
    model = content["models"]["dark"]
    assert content["by"] == "organ"
    assert {name: group["images"] for name, group in model["groups"].items()} == {"liver": 1, "unknown": 1}
    assert model["groups"]["liver"]["mean"]["aji"] == model["images"]["0"]["aji"]
    assert model["groups"]["liver"]["interval"]["aji"] == [None, None]
    assert "| liver | 1 |" in (tmp_path / "results.md").read_text()


def test_what_was_interrupted_under_former_names_is_resumed(
    dataset: Dataset, whole: Path, tmp_path: Path
) -> None:
    """True and false positives were called found and invented in the journal."""
    with pytest.raises(Stopped):
        benchmark(dataset, pair(7), tmp_path, stress=ALL, oracle=True, by="organ")
    kept = tmp_path / "work" / "scores.jsonl"
    former = [json.loads(line) for line in kept.read_text().splitlines()]
    for _, value in former:
        if isinstance(value, dict):
            errors = value["result"]["errors"]
            errors["found"], errors["invented"] = errors.pop("true_positives"), errors.pop("false_positives")
    kept.write_text("".join(f"{json.dumps(line)}\n" for line in former))
    assert "invented" in kept.read_text()
    benchmark(dataset, pair(), tmp_path, stress=ALL, oracle=True, by="organ", resume=True)
    assert files(tmp_path) == files(whole)


def test_each_image_is_decoded_once_to_be_known_and_once_to_be_scored(
    dataset: Dataset, tmp_path: Path
) -> None:
    decoded: list[str] = []

    def noting(sample: Sample) -> Sample:
        def read() -> NDArray[np.uint8]:
            decoded.append(sample.id)
            return sample.image()

        return replace(sample, read_image=read)

    split = holdout(dataset, validation=1)
    split.write(tmp_path / "split.json")
    noted = replace(dataset, samples=tuple(map(noting, dataset)))
    benchmark(noted, pair(), tmp_path / "out", split_file=tmp_path / "split.json", stress=ALL[:2])
    assert sorted(decoded) == sorted([*dataset.ids, *split.validation_ids])


@pytest.mark.skipif(os.name != "posix", reason="dies in a fork")
def test_killed_at_every_third_step_results_are_old_or_none_or_new(dataset: Dataset, tmp_path: Path) -> None:
    """Five files cannot take their names in one step: without results.json they are none, and resuming ends it."""
    begun, new, out, number, kept = tmp_path / "begun", tmp_path / "new", tmp_path / "out", 1, 0
    benchmark(dataset, pair()[:1], begun, stress=ALL[:1])
    old = files(begun)
    benchmark(dataset, pair(), new)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_publish", stop)
        with pytest.raises(Stopped):
            benchmark(dataset, pair(), begun, overwrite=True)
    while True:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(begun, out)
        died = die_at(number, lambda: benchmark(dataset, pair(), out, resume=True))
        found = {name: data for name, data in files(out).items() if name in old}
        kept += found == old
        if not died:
            break
        assert found == old or "results.json" not in found or files(out).items() >= files(new).items()
        if files(out) != files(new):  # else it died over its own lock
            with contextlib.suppress(OutputExists):  # nothing is left to do, but to remove what is hidden
                benchmark(dataset, pair(), out, resume=True)
        left = files(out)
        assert left.items() >= files(new).items()
        assert all(name.startswith(".") for name in left.keys() - files(new).keys())
        number += 3
    assert number > 40
    assert kept > number / 6  # all that takes time, and may fail, comes before anything old goes
    assert files(out) == files(new)
