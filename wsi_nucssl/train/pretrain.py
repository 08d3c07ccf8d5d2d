"""Pretrain an encoder on slides without a label: slides in, weights for `finetune` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import imagecodecs
import torch
from accelerate import Accelerator

from wsi_nucssl._version import __version__
from wsi_nucssl.checks import one_of, whole
from wsi_nucssl.errors import OutputExists, UsageError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.encoders import build_encoder, encoder_family
from wsi_nucssl.models.spec import ARCHITECTURES, DEFAULT_ARCHITECTURE
from wsi_nucssl.models.weights import save_encoder
from wsi_nucssl.pretext.batches import PretextBatches
from wsi_nucssl.pretext.groups import TileSettings
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.preview import contact_sheet
from wsi_nucssl.pretext.redundancy import LOGGED, collapse
from wsi_nucssl.pretext.sources import TileSource, open_source
from wsi_nucssl.pretext.tasks import TaskName, build_task
from wsi_nucssl.pretext.weights import PRETEXT_FILE, PretextInfo, save_pretext
from wsi_nucssl.train.crops import single_threaded_opencv
from wsi_nucssl.train.distributed import make_accelerator, shared_run_directory
from wsi_nucssl.train.history import History
from wsi_nucssl.train.loop import Loop
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe
from wsi_nucssl.train.progress import Progress

ENCODER: Final = "encoder.safetensors"
_STATE: Final = "state.pt"
_PATIENCE: Final = 0.1
"""No warning in this first part of the schedule: everything looks collapsed at first."""

Report = Callable[[Mapping[str, float], str | None], None]
"""Called with each row of history.csv, and what is wrong with the run if anything is."""


@dataclass(frozen=True, slots=True)
class PretrainJob:
    """Everything that decides the pretrained weights.

    Attributes
    ----------
    sources : slides, images, tile stores, folders of them.
    task : what to learn by, a name in `TASKS`.
    arch : the encoder.
    mpp : µm per px of the tiles.
    slide_mpp : µm per level-0 px of the slides; None takes what each states.
    seed : of initialisation, of the order of tiles, of every view.
    """

    sources: tuple[Path, ...]
    recipe: PretrainRecipe
    task: TaskName = "triplet-rank"
    arch: str = ARCHITECTURES[DEFAULT_ARCHITECTURE].encoder
    mpp: float = 0.25
    slide_mpp: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        encoder_family(self.arch)
        if not self.sources:
            raise UsageError("nothing to learn from was given", remedy="Name slides, tile stores or folders")
        one_of("task", self.task, TaskName)
        whole("seed", self.seed, 0)
        self.tiles  # noqa: B018 (its settings check themselves)

    @property
    def tiles(self) -> TileSettings:
        """Which tiles to take from the sources."""
        recipe = self.recipe
        return TileSettings(self.mpp, self.slide_mpp, recipe.tile_px, recipe.min_tissue, recipe.finer)

    @property
    def anchor_mpp(self) -> float:
        """µm per px of an anchor as the network sees it."""
        views = self.recipe.views
        return self.mpp * views.geometry.anchor_in(self.recipe.tile_px) / views.view_px

    def manifest(self, source: TileSource, processes: int = 1) -> dict[str, Any]:
        """The run's identity: tiles by hash, settings by value."""
        return {
            "kind": "pretrain",
            "version": __version__,
            "torch": torch.__version__.split("+")[0],
            "task": self.task,
            "arch": self.arch,
            "mpp": self.mpp,
            "seed": self.seed,
            "processes": processes,
            "source": {"slides": len(source.groups), "tiles": source.tiles, "identity": source.identity},
            "recipe": self.recipe.model_dump(mode="json"),
        }

    def batches(self, source: TileSource) -> PretextBatches:
        """The job's task on its tiles."""
        recipe = self.recipe
        task = build_task(self.task, recipe.views)
        return PretextBatches(source, task, recipe.batch_size, self.seed, recipe.decorrelation)

    def build(self) -> PretextModel:
        """The model as it starts, a function of the seed."""
        torch.manual_seed(self.seed)
        encoder = build_encoder(self.arch)
        return PretextModel(encoder, build_task(self.task, self.recipe.views).head(encoder.channels))


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """What a finished run leaves: encoder weights, and the means of its last interval."""

    weights: Path
    last: Mapping[str, float]


def pretrain(
    job: PretrainJob,
    run: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    loader_threads: int = 1,
    report: Report = lambda _row, _warning: None,
) -> PretrainResult:
    """Train `job` in the run directory `run`.

    Leaves encoder.safetensors for `finetune`, pretext.safetensors (with the head, for density maps and
    probes), history.csv and curves.png. Killed anywhere and resumed, it ends with the weights of an undisturbed run
    (on the CPU, bit for bit). Under `torchrun`, the processes share every batch: `batch_size` tiles each.

    Raises
    ------
    InputError : a slide cannot be used, or there is no tissue.
    OutputExists, OutputLocked, RunMismatch : the run directory cannot be taken.
    ResourceError : not even one tile fits into the device's memory, or the disk is full.
    Stopped : Ctrl-C or SIGTERM; resume to go on.
    """
    accelerator = make_accelerator(device, job.recipe.precision)
    single_threaded_opencv()
    with open_source(job.sources, job.tiles, job.seed) as source:
        manifest = job.manifest(source, accelerator.num_processes)
        with shared_run_directory(
            accelerator, run, manifest, resume=resume, overwrite=overwrite, inputs=job.sources
        ):
            return _Pretraining(job, source, run, accelerator, loader_threads, report).run()


class _Pretraining:
    """One process's part of a pretraining run: the loop, and what happens at the end of each interval."""

    def __init__(
        self,
        job: PretrainJob,
        source: TileSource,
        run: Path,
        accelerator: Accelerator,
        loader_threads: int,
        report: Report,
    ) -> None:
        self.job, self.directory, self.accelerator, self.report = job, run, accelerator, report
        self.manifest = job.manifest(source, accelerator.num_processes)
        self.batches = job.batches(source)
        self.loop = make_loop(job, self.batches, accelerator, loader_threads)
        self.state = run / _STATE
        if self.state.exists():
            self.loop.load(self.state)
        self.history = History(run, self.loop.step)
        self.last = self.history.rows[-1] if self.history.rows else {}

    def run(self) -> PretrainResult:
        recipe = self.job.recipe
        self.loop.run(recipe.log_every, self._end_interval, self.state)
        if self.accelerator.is_main_process and not (self.directory / ENCODER).exists():
            self._checkpoint()  # somebody removed it from a finished run
        self.accelerator.wait_for_everyone()
        return PretrainResult(self.directory / ENCODER, self.last)

    def _end_interval(self, progress: Progress) -> None:
        row = self.last = self._row(progress)
        if not self.accelerator.is_main_process:
            return
        self.history.add(row)
        recipe = self.job.recipe
        if progress.step % recipe.checkpoint_every == 0 or progress.step == recipe.steps:
            self._checkpoint()
        late = progress.step > max(recipe.optimisation.warmup_steps, _PATIENCE * recipe.steps)
        self.report(row, self._warning(progress.scalars) if late else None)

    def _warning(self, means: Mapping[str, float]) -> str | None:
        return self.batches.task.warning(means) or collapse(self.history.rows[0], means)

    def _row(self, progress: Progress) -> dict[str, float]:
        tiles = progress.steps * self.job.recipe.batch_size * self.accelerator.num_processes
        return {
            "step": progress.step,
            "seconds": round(progress.seconds, 2),
            "tiles_per_second": round(tiles / progress.seconds, 3),
            "loader_share": round(progress.loader_share, 4),
            **{name: round(value, 5) for name, value in progress.scalars.items()},
        }

    def _checkpoint(self) -> None:
        model = self.loop.result
        assert isinstance(model, PretextModel)
        job = self.job
        info = PretextInfo(job.task, job.arch, job.anchor_mpp, job.recipe.views.view_px, self.manifest)
        save_pretext(self.directory / PRETEXT_FILE, model, info)
        save_encoder(self.directory / ENCODER, model.encoder, self.manifest)
        self.history.draw(_panels(self.history.rows[-1]))
        self.loop.save(self.state)


def make_loop(
    job: PretrainJob, batches: PretextBatches, accelerator: Accelerator, loader_threads: int
) -> Loop:
    """The training loop of a job, at its first step."""
    recipe = job.recipe
    return Loop(
        job.build(), batches, recipe.steps, recipe.optimisation, accelerator, loader_threads, recipe.optimiser
    )


def _panels(row: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    """What curves.png shows, as far as the task logs it: losses, shares between 0 and 1, sizes, redundancies, speed."""
    shares = tuple(name for name in row if "accuracy" in name or name.startswith("active"))
    sizes = tuple(name for name in row if name.startswith("d_") or name.endswith("norm"))
    redundancies = tuple(name for name in row if name.startswith(LOGGED))
    losses = tuple(name for name in row if name.startswith("loss"))
    return tuple(panel for panel in (losses, shares, sizes, redundancies, ("tiles_per_second",)) if panel)


def preview(job: PretrainJob, path: Path, *, overwrite: bool = False) -> None:
    """Write what the task shows the network in its first batch as a PNG.

    Raises
    ------
    OutputExists : `path` is there already and `overwrite` is not set.
    """
    if path.exists() and not overwrite:
        raise OutputExists("a file is there already", path=path, remedy="Add ⟨overwrite⟩, or choose another")
    single_threaded_opencv()
    with open_source(job.sources, job.tiles, job.seed) as source:
        sheet = contact_sheet(job.batches(source))
    write_atomic(path, bytes(imagecodecs.png_encode(sheet)))
