"""Run the experiments of a table, and put our numbers beside the paper's where it has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, product
from pathlib import Path

import numpy as np

from wsi_nucssl.benchmark.notation import table_rows
from wsi_nucssl.datasets import Dataset
from wsi_nucssl.errors import InputError, OutputError, RunMismatch, SomeSlidesFailed
from wsi_nucssl.files import write_atomic
from wsi_nucssl.locks import locked
from wsi_nucssl.metrics.metric import Metric
from wsi_nucssl.metrics.registry import METRICS
from wsi_nucssl.models.devices import Device
from wsi_nucssl.outputs import check_output
from wsi_nucssl.paper.experiments import RUNS, Experiment, Setup, Steps
from wsi_nucssl.paper.run_scores import MeanScores
from wsi_nucssl.paper.tables import PAPER, Table, Tables

OnExperiment = Callable[[int, int, str], None]
"""Called before each run with how many are done, of how many, and what comes next."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The scores of an experiment, one for each seed that could be run, and why the others could not."""

    scores: tuple[MeanScores, ...] = ()
    fault: str = ""
    is_run: bool = True

    def values(self, metric: Metric) -> list[float]:
        """In the metric's unit, one for each seed."""
        known = (each[metric.name] for each in self.scores)
        return [metric.unit.shown(value) for value in known if value is not None]


Grid = Sequence[Sequence[Outcome]]
"""Of each row, the outcome in each column."""


def reproduce(
    name: str,
    dataset: Dataset,
    out: Path,
    *,
    test: Dataset | None = None,
    budget: str = "full",
    config: Path = PAPER,
    device: Device = "auto",
    unlabelled: Sequence[Path] = (),
    steps: Steps | None = None,
    on_experiment: OnExperiment | None = None,
) -> str:
    """Run every experiment of a table; writes `out`/NAME.md and NAME.json, and returns the Markdown.

    Each run stays in `out`/runs; called again after any interruption, it goes on where it was. It goes column by
    column, and both files are written after each experiment, so that what is there can be compared early. An experiment
    that cannot be run is left empty with its reason below the table, and the others go on. Pretraining sees the
    training images of the experiment's split and all that is `unlabelled`.

    Raises
    ------
    UsageError
        The file names a table, budget, strategy or setting that is not there.
    OutputExists
        A table is there, and not the runs that made it; or it is something that is read.
    SomeSlidesFailed
        At the end, if an experiment could not be run.
    """
    tables = Tables.load(config)
    table, spent = tables.table(name), tables.budget(budget)
    if spent.images is not None:
        dataset = dataset.subset(dataset.ids[: spent.images])
    markdown, values = out / f"{name}.md", out / f"{name}.json"
    images = {sample.source.parent for each in (dataset, test or ()) for sample in each}
    for output in (markdown, values):
        goes_on = (out / RUNS).is_dir()  # tables are made anew from the runs
        check_output(output, inputs=(config, *unlabelled, *images), overwrite=goes_on)
    with locked(out):
        dataset, test = dataset.hashed(), test.hashed() if test else None
        setup = Setup(dataset, test, spent, out, device, tuple(unlabelled), steps or Steps())
        remarks, text = _remarks(table, setup, budget), ""
        for grid in _run(table, setup, on_experiment):
            text = _markdown(table, grid, remarks)
            write_atomic(values, _json(table, grid, budget))
            write_atomic(markdown, text)
    failed = _faults(grid)
    if failed:
        raise SomeSlidesFailed(
            f"{len(failed)} of {sum(map(len, grid))} experiments could not be run",
            path=markdown,
            remedy=failed[0],
        )
    return text


def _run(table: Table, setup: Setup, on_experiment: OnExperiment | None) -> Iterator[Grid]:
    """All outcomes there are, after each experiment."""
    grid = [[Outcome(is_run=False) for _ in table.columns] for _ in table.rows]
    cells = list(product(range(len(table.columns)), range(len(table.rows))))
    experiments = [Experiment(setup, table.rows[row], table.columns[column]) for column, row in cells]
    for experiment in experiments:
        experiment.check()
    total, done = len(cells) * len(setup.budget.seeds), count()

    def announce(text: str) -> None:
        if on_experiment is not None:
            on_experiment(next(done), total, text)

    for (column, row), experiment in zip(cells, experiments, strict=True):
        grid[row][column] = _outcome(experiment, announce)
        yield grid


def _outcome(experiment: Experiment, announce: Callable[[str], None]) -> Outcome:
    """Run an experiment with every seed."""
    scores: list[MeanScores] = []
    fault = ""
    for seed in experiment.setup.budget.seeds:
        announce(f"{experiment.name}, seed {seed}")
        try:
            scores.append(experiment.run(seed))
        except RunMismatch as error:
            remedy = "Move that run away, or choose another output"
            fault = f"{experiment.name}: {error.path}: {error.what}. {remedy}"
        except (InputError, OutputError) as error:
            fault = f"{experiment.name}: {error}"
    return Outcome(tuple(scores), fault)


def _remarks(table: Table, setup: Setup, budget: str) -> list[str]:
    """Where the two sets of numbers come from: without it a gap means nothing."""
    ours = f"all images of {setup.test.path.name}" if setup.test else "its split's validation images"
    remarks = [
        f"Ours: budget {budget!r}, {setup.budget.arch}, {len(setup.budget.seeds)} seed(s), "
        f"trained on {setup.dataset.path.name} ({len(setup.dataset)} images), scored on {ours}.",
    ]
    if table.paper:
        remarks.append(
            f"Paper: {table.paper_set}. Unless ours is scored on the same images, the gap compares different images."
        )
    if setup.budget.pretrain_seed is not None:
        remarks.append(
            "All seeds of an experiment fine-tune one pretrained encoder: the spread is that of fine-tuning."
        )
    if setup.unlabelled:
        names = ", ".join(path.name for path in setup.unlabelled)
        remarks.append(f"Pretraining also saw, without labels: {names}.")
    if setup.test is None:
        remarks.append("Weights and extraction settings were chosen on these same validation images.")
    if setup.budget.images is not None:
        remarks.append(
            "**A trial of the machinery on a few images: these numbers say nothing about the method.**"
        )
    return remarks


def _faults(grid: Grid) -> list[str]:
    return [outcome.fault for line in grid for outcome in line if outcome.fault]


def _json(table: Table, grid: Grid, budget: str) -> str:
    """Plain values, and the units in which people read them."""
    content = {
        "budget": budget,
        "metrics": {name: METRICS.get(name).as_json() for name in table.shown},
        "cells": [[{"scores": each.scores, "fault": each.fault} for each in line] for line in grid],
    }
    return json.dumps(content, indent=1)


def _markdown(table: Table, grid: Grid, remarks: Sequence[str]) -> str:
    lines = [f"# {table.title}", "", *(f"- {remark}" for remark in remarks)]
    run, total = sum(each.is_run for each in chain.from_iterable(grid)), sum(map(len, grid))
    lines += [f"- {run} of {total} experiments so far."] if run < total else []
    for name in table.shown:
        lines += _section(table, grid, METRICS.get(name))
    faults = _faults(grid)
    lines += ["", "Not run:", "", *(f"- {fault}" for fault in faults)] if faults else []
    return "\n".join(lines) + "\n"


def _section(table: Table, grid: Grid, metric: Metric) -> list[str]:
    """The table of one metric, in its unit."""
    paper = table.paper.get(metric.name)
    title = f"## {metric.name}, in {metric.unit.symbol}" + (": ours (paper, gap)" if paper else "")
    header = ["", *(column.name for column in table.columns), *(["mean"] if table.average else [])]
    rows = []
    for number, (row, line) in enumerate(zip(table.rows, grid, strict=True)):
        of_columns = [outcome.values(metric) for outcome in line]
        theirs: Sequence[float | None] = paper[number] if paper else [None] * len(line)
        texts = [_text(values, value) for values, value in zip(of_columns, theirs, strict=True)]
        if table.average:
            texts.append(_average(of_columns, paper[number] if paper else None))
        rows.append([row.name, *texts])
    return ["", title, "", *table_rows(header, rows)]


def _average(of_columns: Sequence[Sequence[float]], paper: Sequence[float] | None) -> str:
    """The mean of a row, if all of it is there."""
    complete = [float(np.mean([np.mean(values) for values in of_columns]))] if all(of_columns) else []
    return _text(complete, None if paper is None else float(np.mean(paper)))


def _text(values: Sequence[float], paper: float | None) -> str:
    """Mean, spread over seeds if there are several, the paper's value, and the gap."""
    if not values:
        return "–" if paper is None else f"– ({paper:.2f})"
    mean = float(np.mean(values))
    text = f"{mean:.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")
    return text if paper is None else f"{text} ({paper:.2f}, {mean - paper:+.2f})"
