"""Run the cells of a table, and put our numbers beside the paper's where it has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from wsi_nucssl.datasets import Dataset
from wsi_nucssl.errors import InputError, OutputError, RunMismatch, SomeSlidesFailed
from wsi_nucssl.files import locked, write_atomic
from wsi_nucssl.paper.experiments import Bench, Scores
from wsi_nucssl.paper.tables import PAPER, Table, Tables
from wsi_nucssl.segment.options import Device

OnCell = Callable[[int, int, str], None]
"""Called before each run with how many are done, of how many, and what comes next."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The scores of a cell, one for each seed that could be run, and why the others could not."""

    scores: tuple[Scores, ...]
    fault: str = ""

    def values(self, measure: str) -> list[float]:
        """In %, one for each seed."""
        return [100 * each[measure] for each in self.scores if each[measure] is not None]


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
    on_cell: OnCell | None = None,
) -> str:
    """Run every cell of a table; writes `out`/NAME.md and NAME.json, and returns the Markdown.

    Each run stays in `out`/runs; called again after any interruption, it goes on where it was. A cell that cannot
    be run is left empty with its reason below the table, and the others go on. Pretraining sees the training images of
    the cell's split and all that is `unlabelled`.

    Raises
    ------
    UsageError : the file names a table, budget, strategy or setting that is not there.
    SomeSlidesFailed : at the end, if a cell could not be run.
    """
    tables = Tables.load(config)
    table, spent = tables.table(name), tables.budget(budget)
    if spent.images is not None:
        dataset = dataset.subset(dataset.ids[: spent.images])
    with locked(out):
        bench = Bench(dataset, test, spent, out, device, tuple(unlabelled))
        grid = _run(table, bench, on_cell)
        text = _markdown(table, grid, _remarks(table, bench, budget))
        content = [[{"scores": cell.scores, "fault": cell.fault} for cell in line] for line in grid]
        write_atomic(out / f"{name}.json", json.dumps({"budget": budget, "cells": content}, indent=1))
        write_atomic(out / f"{name}.md", text)
    failed = [cell.fault for line in grid for cell in line if cell.fault]
    if failed:
        raise SomeSlidesFailed(
            f"{len(failed)} cells could not be run", path=out / f"{name}.md", remedy=failed[0]
        )
    return text


def _run(table: Table, bench: Bench, on_cell: OnCell | None) -> list[list[Cell]]:
    for row, column in product(table.rows, table.columns):
        bench.check(row, column)
    seeds = bench.budget.seeds
    total, done = len(table.rows) * len(table.columns) * len(seeds), 0
    grid: list[list[Cell]] = []
    for row in table.rows:
        line: list[Cell] = []
        for column in table.columns:
            scores: list[Scores] = []
            fault = ""
            for seed in seeds:
                if on_cell is not None:
                    on_cell(done, total, f"{row.name}, {column.name}, seed {seed}")
                try:
                    scores.append(bench.score(row, column, seed))
                except RunMismatch as error:
                    remedy = "Move that run away, or choose another output"
                    fault = f"{row.name}, {column.name}: {error.path}: {error.what}. {remedy}"
                except (InputError, OutputError) as error:
                    fault = f"{row.name}, {column.name}: {error}"
                done += 1
            line.append(Cell(tuple(scores), fault))
        grid.append(line)
    return grid


def _remarks(table: Table, bench: Bench, budget: str) -> list[str]:
    """Where the two sets of numbers come from: without it a gap means nothing."""
    ours = f"all images of {bench.test.path.name}" if bench.test else "its split's validation images"
    remarks = [
        f"Ours: budget {budget!r}, {bench.budget.arch}, {len(bench.budget.seeds)} seed(s), "
        f"trained on {bench.dataset.path.name} ({len(bench.dataset)} images), scored on {ours}.",
    ]
    if table.paper:
        remarks.append(
            f"Paper: {table.paper_set}. Unless ours is scored on the same images, the gap compares different images."
        )
    if bench.budget.pretrain_seed is not None:
        remarks.append(
            "All seeds of a cell fine-tune one pretrained encoder: the spread is that of fine-tuning."
        )
    if bench.unlabelled:
        names = ", ".join(path.name for path in bench.unlabelled)
        remarks.append(f"Pretraining also saw, without labels: {names}.")
    if bench.test is None:
        remarks.append("Weights and extraction settings were chosen on these same validation images.")
    if bench.budget.images is not None:
        remarks.append(
            "**A trial of the machinery on a few images: these numbers say nothing about the method.**"
        )
    return remarks


def _markdown(table: Table, grid: Sequence[Sequence[Cell]], remarks: Sequence[str]) -> str:
    lines = [f"# {table.title}", "", *(f"- {remark}" for remark in remarks)]
    names = [column.name for column in table.columns] + (["mean"] if table.average else [])
    for measure in table.shown:
        paper = table.paper.get(measure)
        lines += ["", f"## {measure}, in %" + (": ours (paper, gap)" if paper else ""), ""]
        lines += ["| | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
        for number, (row, cells) in enumerate(zip(table.rows, grid, strict=True)):
            of_columns = [cell.values(measure) for cell in cells]
            theirs: Sequence[float | None] = paper[number] if paper else [None] * len(cells)
            texts = [_cell(values, value) for values, value in zip(of_columns, theirs, strict=True)]
            if table.average:
                texts.append(_average(of_columns, paper[number] if paper else None))
            lines.append(f"| {row.name} | " + " | ".join(texts) + " |")
    faults = [cell.fault for line in grid for cell in line if cell.fault]
    lines += ["", "Not run:", "", *(f"- {fault}" for fault in faults)] if faults else []
    return "\n".join(lines) + "\n"


def _average(of_columns: Sequence[Sequence[float]], paper: Sequence[float] | None) -> str:
    """The mean of a row's cells, if all of them are there."""
    complete = [float(np.mean([np.mean(v) for v in of_columns]))] if all(of_columns) else []
    return _cell(complete, None if paper is None else float(np.mean(paper)))


def _cell(values: Sequence[float], paper: float | None) -> str:
    """Mean, spread over seeds if there are several, the paper's value, and the gap."""
    if not values:
        return "–" if paper is None else f"– ({paper:.2f})"
    mean = float(np.mean(values))
    text = f"{mean:.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")
    return text if paper is None else f"{text} ({paper:.2f}, {mean - paper:+.2f})"
