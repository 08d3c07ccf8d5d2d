"""Fine-tune a recipe on a split of the packed images, slice by slice, long and annealed to zero."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scripts.gpu_day import training
from scripts.gpu_day.bundle import Bundle, ids_of
from scripts.gpu_day.recipe import finetune_recipe
from scripts.gpu_day.scores import score
from scripts.gpu_day.slices import (
    MOST_STEPS,
    Deadline,
    Pace,
    joined,
    read_index,
    run_slice,
    same_plan,
    ship,
)
from scripts.gpu_day.teachers import Teacher
from wsi_nucssl._version import __version__
from wsi_nucssl.errors import WeightsError
from wsi_nucssl.files import sha256_file, write_atomic
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.train.distributed import make_accelerator
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.loop import Loop


@dataclass(frozen=True, slots=True)
class FinetuneRun:
    """What is trained.

    Attributes
    ----------
    recipe, split : str
        Names among those packed.
    seed : int
        Of the initialisation and of every crop.
    crops : int
        Length of the schedule; 0 for one that ends with the time.
    later_minutes : float
        Length of the slices that will follow, where `crops` is 0.
    start : Path or None
        The NAME.json of weights that an earlier slice shipped, to go on from where their exact state is lost: the
        schedule is that of the earlier run, the optimiser starts anew.
    teachers : sequence of Path
        The NAME.json of runs whose probabilities are learnt beside the labels, see `teachers.taught`.
    packed_teachers : bool
        Whether the probabilities that were packed are learnt instead.
    """

    recipe: str
    split: str
    seed: int = 0
    crops: int = 0
    later_minutes: float = 0.0
    start: Path | None = None
    teachers: Sequence[Path] = ()
    packed_teachers: bool = False

    @property
    def name(self) -> str:
        """Of its files."""
        split = "".join(letter if letter.isalnum() else "-" for letter in self.split)
        return f"{self.recipe}-{split}-seed{self.seed}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a run works.

    Attributes
    ----------
    out : Path
        What is to be carried away.
    state : Path
        The exact state of what is not finished; it must stay between slices.
    device : str
        "auto" or "cpu".
    interval : int
        Steps between looks at the clock, and rows of the log.
    compiled : bool
        Whether networks are compiled.
    """

    out: Path
    state: Path
    device: str = "auto"
    loader_threads: int = 4
    interval: int = 50
    compiled: bool = False


def finetune(bundle: Bundle, run: FinetuneRun, place: Place, deadline: Deadline) -> dict[str, Any]:
    """Train until the end of the schedule or of the slice; ships the weights with NAME.json, which is returned.

    Raises
    ------
    InputError
        The bundle does not hold what the run names, or `start` is no NAME.json of whole parts.
    WeightsError
        The weights of `start` are of another architecture.
    RunMismatch
        The state is of another run.
    UsageError
        The loss is no longer a number.
    """
    return _Finetuning(bundle, run, place, deadline).run_slice()


class _Finetuning:
    """One slice of a run."""

    def __init__(self, bundle: Bundle, run: FinetuneRun, place: Place, deadline: Deadline) -> None:
        self.bundle, self.run, self.place, self.deadline = bundle, run, place, deadline
        self.values, self.split = bundle.recipe(run.recipe), bundle.split(run.split)
        self.recipe = finetune_recipe(self.values)
        self.accelerator = make_accelerator(place.device, self.recipe.precision)
        self.state = place.state / f"{run.name}.pt"
        self.network = training.initial_network(bundle, self.values, run.seed)
        self.earlier = self._go_on(run.start) if run.start else {"step": 0, "steps": 0}
        self.teachers = [Teacher.load(index) for index in run.teachers]
        device, ids = self.accelerator.device, ids_of(self.split["train"])
        self.task = training.segmentation(
            bundle, ids, self.values, run.seed, self.network, device, self.teachers, run.packed_teachers
        )

    def _go_on(self, index: Path) -> dict[str, Any]:
        """Fill the network with weights that an earlier slice shipped; returns what it said of itself."""
        facts, whole = read_index(index), index.with_suffix(".whole")
        write_atomic(whole, joined(index))
        try:
            model = load_model(whole)
            if model.info.arch != self.values["arch"]:
                raise WeightsError(
                    f"holds a {model.info.arch}, but {self.values['arch']} is to be trained",
                    path=index,
                    remedy=f"Give --recipe of {model.info.arch}",
                )
            self.network.load_state_dict(model.network.state_dict())
        finally:
            whole.unlink()
        return facts

    def run_slice(self) -> dict[str, Any]:
        identity = self._identity()
        steps = same_plan(self.state.with_suffix(".json"), identity, self._planned_steps)
        loop = self._loop(self.network, steps)
        loop.step = int(self.earlier["step"])
        log = Log(self.state.with_suffix(".log.json"), self.recipe.batch_size)
        pace = None if self.run.crops else Pace(self.deadline, self.run.later_minutes)
        done = run_slice(loop, self.state, self.deadline, self.place.interval, log.add, pace)
        return self._leave(loop, identity, {"done": done, "log": log.rows})

    def _loop(self, network: ResUNet, steps: int) -> Loop:
        threads = self.place.loader_threads
        loop = training.finetune_loop(network, self.task, self.values, steps, self.accelerator, threads)
        if self.place.compiled:
            loop.model.compile()
        return loop

    def _planned_steps(self) -> int:
        """As an earlier slice planned, or as many crops as are asked for, or whatever the time will allow."""
        if not self.run.crops:
            return MOST_STEPS
        return int(self.earlier["steps"]) or max(1, self.run.crops // self.recipe.batch_size)

    def _identity(self) -> dict[str, Any]:
        """As the manifest of `wsi_nucssl.train.finetune`: what decides the weights."""
        encoder = training.packed_encoder(self.bundle, self.values["encoder"])
        return {
            "kind": "finetune",
            "version": __version__,
            "torch": torch.__version__.split("+")[0],
            "arch": self.values["arch"],
            "encoder": sha256_file(Path(encoder)) if encoder else "none",
            "mpp": self.bundle.content["mpp"],
            "seed": self.run.seed,
            "split": self.split,
            "recipe": self.values["finetune"],
            "crops": self.run.crops,
            "teachers": self._teacher_hashes(),
        }

    def _teacher_hashes(self) -> list[str]:
        packed = self.bundle.content["teachers"] if self.run.packed_teachers else []
        return [*(teacher.sha256 for teacher in self.teachers), *packed]

    def _leave(self, loop: Loop, identity: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Score the weights, and ship them with what is known of them."""
        network = loop.result
        assert isinstance(network, ResUNet)
        config = InstanceConfig(regrow_px=2 * self.recipe.boundary_px)
        held_out = self.bundle.images(ids_of(self.split["validation"]))
        reached = {
            "step": loop.step,
            "steps": loop.steps,
            "device": device_name(self.accelerator.device),
            "scores": score(network.eval(), held_out, self.accelerator.device, config),
        }
        mpp = self.bundle.content["mpp"]
        provenance = {**identity, "reached": reached}
        info = ModelInfo(self.run.name, self.values["arch"], mpp, config, provenance=provenance)
        crops = loop.step * self.recipe.batch_size
        found = {**reached, "crops": crops, **facts}
        ship(self.place.out, network, info, self.values["storage"], found)
        return found


class Log:
    """Rows of what happened, kept beside the state and printed."""

    def __init__(self, path: Path, batch_size: int) -> None:
        self.path, self._batch_size = path, batch_size
        self.rows: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []

    def add(self, progress: Interval) -> None:
        """A row of an interval; rows that a lost slice wrote beyond it are forgotten."""
        row = {
            "step": progress.step,
            "loss": round(progress.scalars["loss"], 5),
            "crops_per_second": round(progress.steps * self._batch_size / progress.seconds, 1),
            "loader_share": round(progress.loader_fraction, 4),
        }
        self.rows = [*(each for each in self.rows if each["step"] < progress.step), row]
        write_atomic(self.path, json.dumps(self.rows))
        print(json.dumps(row), flush=True)


def device_name(device: torch.device) -> str:
    """The card's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
