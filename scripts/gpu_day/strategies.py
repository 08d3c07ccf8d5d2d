"""The paper's tables on a budget: ways to start an encoder × shares of the labels × seeds, cell by cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

from scripts.gpu_day import training
from scripts.gpu_day.bundle import Bundle, ids_of
from scripts.gpu_day.finetune import Log, Place
from scripts.gpu_day.recipe import finetune_recipe, pretrain_recipe
from scripts.gpu_day.scores import score
from scripts.gpu_day.slices import Deadline, run_slice
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.spec import architecture
from wsi_nucssl.models.tensors import save_encoder
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.tasks import TASKS
from wsi_nucssl.runs import digest
from wsi_nucssl.train.distributed import make_accelerator

PLAIN: Final = ("none", "imagenet")
STRATEGIES: Final = (*PLAIN, "jigsaw", "rotation", "colorme", "triplet", "rank", "triplet-rank")
assert set(STRATEGIES) == {*PLAIN, *TASKS.own_names}
RESULTS: Final = "strategies.json"


@dataclass(frozen=True, slots=True)
class Cell:
    """One training: a strategy on a split, from a seed."""

    strategy: str
    split: str
    seed: int

    @property
    def key(self) -> str:
        """Its name among the results."""
        return f"{self.strategy}, {self.split}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Grid:
    """All cells, and what one costs.

    Attributes
    ----------
    recipe : str
        A packed one; its `pretrain.steps` are what pretraining takes.
    crops : int
        Of the fine-tuning of a cell.
    strategies, splits : sequence of str
        Rows and columns.
    seeds : int
        How many; each is worked through before the next.
    """

    recipe: str
    crops: int
    strategies: Sequence[str]
    splits: Sequence[str]
    seeds: int

    def __post_init__(self) -> None:
        for name in self.strategies:
            if name not in STRATEGIES:
                raise UsageError(f"unknown strategy {name!r}", remedy=f"Choose among {', '.join(STRATEGIES)}")

    def cells(self) -> Iterator[Cell]:
        """In the order in which they are worked off."""
        for seed, split, strategy in product(range(self.seeds), self.splits, self.strategies):
            yield Cell(strategy, split, seed)


def strategies(bundle: Bundle, grid: Grid, place: Place, deadline: Deadline) -> dict[str, Any]:
    """Work off the cells that are not done yet, until the slice ends; strategies.json is rewritten after each.

    A cell that is cut off goes on in the next slice. The scores are those of the split's held-out images.

    Raises
    ------
    InputError
        A split or the recipe was not packed.
    UsageError
        The loss is no longer a number.
    """
    bench = _Bench(bundle, grid, place, deadline)
    path = place.state / RESULTS
    known = json.loads(path.read_text()) if path.exists() else {}
    found: dict[str, Any] = known.get(bench.identity, {})
    for cell in grid.cells():
        if cell.key not in found and deadline.left > 0:
            scores = bench.run(cell)
            if scores is not None:
                found[cell.key] = scores
                print(json.dumps({cell.key: scores}), flush=True)
                write_atomic(path, json.dumps({**known, bench.identity: found}, indent=1))
    write_atomic(place.out / RESULTS, json.dumps(found, indent=1))
    return found


class _Bench:
    """What all cells have in common."""

    def __init__(self, bundle: Bundle, grid: Grid, place: Place, deadline: Deadline) -> None:
        self.bundle, self.grid, self.place, self.deadline = bundle, grid, place, deadline
        self.values = bundle.recipe(grid.recipe)
        self.splits = {name: bundle.split(name) for name in grid.splits}
        self.accelerator = make_accelerator(place.device, self.values["finetune"]["precision"])
        self.identity = digest({"recipe": self.values, "crops": grid.crops, "splits": self.splits})

    def run(self, cell: Cell) -> dict[str, Any] | None:
        """The scores of a cell, or why it cannot be run; None where the slice ended before it."""
        try:
            encoder = self._encoder(cell)
        except InputError as error:
            return {"fault": str(error)}
        return None if encoder is None else self._finetune(cell, encoder)

    def _encoder(self, cell: Cell) -> Path | str | None:
        """Where a cell's encoder starts: "" for at random; None where the slice ended while it was pretrained."""
        if cell.strategy == "none":
            return ""
        if cell.strategy == "imagenet":
            return training.packed_encoder(self.bundle, architecture(self.values["arch"]).encoder)
        images = ids_of(self._widest(cell.split)["train"])
        name = f"pretrain-{cell.strategy}-{digest({'images': images})[:8]}-seed{cell.seed}-{self.identity}"
        weights = self.place.state / f"{name}.safetensors"
        return weights if weights.exists() or self._pretrain(cell, images, weights) else None

    def _widest(self, split: str) -> dict[str, Any]:
        """The split of which this one keeps a part of the labels: pretraining needs no labels."""
        return self.bundle.split(split.partition("-labels-")[0])

    def _pretrain(self, cell: Cell, images: Sequence[str], weights: Path) -> bool:
        loop = training.pretrain_loop(
            self.bundle.images(images),
            self.values,
            cell.strategy,
            cell.seed,
            self.accelerator,
            self.place.loader_threads,
        )
        state = weights.with_suffix(".pt")
        log = Log(state.with_suffix(".log.json"), pretrain_recipe(self.values).batch_size)
        if not run_slice(loop, state, self.deadline, self.place.interval, log.add):
            return False
        model = loop.result
        assert isinstance(model, PretextModel)
        save_encoder(weights, model.encoder, {"strategy": cell.strategy, "seed": cell.seed})
        state.unlink()
        return True

    def _finetune(self, cell: Cell, encoder: Path | str) -> dict[str, Any] | None:
        recipe, split = finetune_recipe(self.values), self.splits[cell.split]
        network = training.initial_network(
            self.bundle, {**self.values, "encoder": "none"}, cell.seed, encoder
        )
        device, ids = self.accelerator.device, ids_of(split["train"])
        task = training.segmentation(self.bundle, ids, self.values, cell.seed, network, device)
        steps = max(1, self.grid.crops // recipe.batch_size)
        threads = self.place.loader_threads
        loop = training.finetune_loop(network, task, self.values, steps, self.accelerator, threads)
        state = self.place.state / f"cell-{digest({'cell': cell.key})}-{self.identity}.pt"
        log = Log(state.with_suffix(".log.json"), recipe.batch_size)
        if not run_slice(loop, state, self.deadline, self.place.interval, log.add):
            return None
        state.unlink()
        result = loop.result
        assert isinstance(result, ResUNet)
        held_out = self.bundle.images(ids_of(split["validation"]))
        config = InstanceConfig(regrow_px=2 * recipe.boundary_px)
        return {"loss": log.rows[-1]["loss"], **score(result.eval(), held_out, device, config)}
