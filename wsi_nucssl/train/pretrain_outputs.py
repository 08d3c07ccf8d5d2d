"""What a pretraining run leaves in its directory: weights, the training state, a history, warnings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.models.tensors import save_encoder
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.redundancy import LOGGED, collapse
from wsi_nucssl.pretext.task import PretextTask
from wsi_nucssl.pretext.weights import PRETEXT_FILE, PretextInfo, save_pretext
from wsi_nucssl.train.history import History
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.loop import Loop
from wsi_nucssl.train.pretrain_job import PretrainJob

ENCODER: Final = "encoder.safetensors"
_STATE: Final = "state.pt"
_PATIENCE: Final = 0.1
"""No warning in this first part of the schedule: everything looks collapsed at first."""

Report = Callable[[Mapping[str, float], str | None], None]
"""Called with each row of history.csv, and what is wrong with the run if anything is."""


class PretrainOutputs:
    """The outputs of one run, written at the end of each interval; takes up the state that is there.

    Parameters
    ----------
    job : PretrainJob
        PretrainJob.
    manifest : dict
        The run's identity, which goes into the weights' headers.
    run : Path
        The run's directory, which is held.
    loop : Loop
        At its first step; goes on where the directory's state stands.
    task : PretextTask
        Which says what is wrong with a run.
    report : Report
        Callable.
    """

    def __init__(
        self,
        job: PretrainJob,
        manifest: dict[str, Any],
        run: Path,
        loop: Loop,
        task: PretextTask,
        report: Report,
    ) -> None:
        self.job, self.manifest, self.directory = job, manifest, run
        self.loop, self.task, self.report = loop, task, report
        self.processes = loop.accelerator.num_processes
        self.first = loop.accelerator.is_main_process
        self.state = run / _STATE
        if self.state.exists():
            loop.load(self.state)
        self.history = History(run, loop.step)
        self.last: Mapping[str, float] = self.history.rows[-1] if self.history.rows else {}

    @property
    def encoder(self) -> Path:
        """The weights for `finetune`."""
        return self.directory / ENCODER

    def end_interval(self, interval: Interval) -> None:
        """Write a row, and on some steps a checkpoint; say what is wrong."""
        row = self.last = self._row(interval)
        if not self.first:
            return
        self.history.add(row)
        recipe = self.job.recipe
        if interval.step % recipe.checkpoint_every == 0 or interval.step == recipe.steps:
            self._checkpoint()
        late = interval.step > max(recipe.optimisation.warmup_steps, _PATIENCE * recipe.steps)
        self.report(row, self._warning(interval.scalars) if late else None)

    def finish(self) -> None:
        """Write the weights of a finished run again where somebody removed them."""
        if self.first and not self.encoder.exists():
            self._checkpoint()

    def _warning(self, means: Mapping[str, float]) -> str | None:
        return self.task.warning(means) or collapse(self.history.rows[0], means)

    def _row(self, interval: Interval) -> dict[str, float]:
        tiles = interval.steps * self.job.recipe.batch_size * self.processes
        return {
            "step": interval.step,
            "seconds": round(interval.seconds, 2),
            "tiles_per_second": round(tiles / interval.seconds, 3),
            "loader_share": round(interval.loader_fraction, 4),
            **{name: round(value, 5) for name, value in interval.scalars.items()},
        }

    def _checkpoint(self) -> None:
        model = self.loop.result
        assert isinstance(model, PretextModel)
        job = self.job
        info = PretextInfo(job.task, job.arch, job.anchor_mpp, job.recipe.views.view_px, self.manifest)
        save_pretext(self.directory / PRETEXT_FILE, model, info)
        save_encoder(self.encoder, model.encoder, self.manifest)
        self.history.show_curves(_panels(self.history.rows[-1]), last=self.loop.step == self.job.recipe.steps)
        self.loop.save(self.state)


def _panels(row: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    """What curves.png shows, as far as the task logs it: losses, fractions, sizes, redundancies, speed."""
    fractions = tuple(name for name in row if "accuracy" in name or name.startswith("active"))
    sizes = tuple(name for name in row if name.startswith("d_") or name.endswith("norm"))
    redundancies = tuple(name for name in row if name.startswith(LOGGED))
    losses = tuple(name for name in row if name.startswith("loss"))
    return tuple(panel for panel in (losses, fractions, sizes, redundancies, ("tiles_per_second",)) if panel)
