"""The training loop that fine-tuning and pretraining share: steps, mixed precision, averaging, exact resume.

A `Task` gives the k-th batch as a pure function of k, so that a resumed run sees the batches that an undisturbed one
would have seen, whatever the number of loader threads.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from wsi_nucssl.errors import ResourceError, Stopped, UsageError, WeightsError
from wsi_nucssl.files import atomic_path
from wsi_nucssl.runs import stop_requests
from wsi_nucssl.threads import prefetch, thread_pool
from wsi_nucssl.train.distributed import share_batch_statistics
from wsi_nucssl.train.interval import Interval, Meter
from wsi_nucssl.train.optimiser import OptimiserName, learning_rate, make_optimiser, running_average
from wsi_nucssl.train.streams import Batch, LoaderStreams

if TYPE_CHECKING:
    from wsi_nucssl.train.recipe import Optimisation


class Task(Protocol):
    """What a loop trains: batches and a loss."""

    def batch(self, index: int) -> Batch:
        """The index-th batch, on the CPU or the device: a pure function of `index`, called from loader threads.

        On CUDA, each thread has a stream of its own while it is in here.
        """
        ...

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The scalar to minimise and what to log beside it."""
        ...


class Loop:
    """Train `model` on `task` for `steps` steps.

    A batch that does not fit into the device's memory is worked off in halves, quarters, … whose gradients are summed.
    Batch norms then see these micro-batches, one by one.

    Parameters
    ----------
    model : Module
        On any device; trained in place.
    steps : int
        Length of the whole schedule (warm-up, then cosine to zero).
    accelerator : Accelerator
        Decides device, precision and processes; batch statistics are shared by all processes.
    loader_threads : int
        Batches are prepared ahead by that many threads.
    optimiser : OptimiserName
        "adamw", or "sgd" with momentum 0.9.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        steps: int,
        settings: Optimisation,
        accelerator: Accelerator,
        loader_threads: int = 1,
        optimiser: OptimiserName = "adamw",
    ) -> None:
        self.task, self.steps, self.settings = task, steps, settings
        self.accelerator, self.loader_threads = accelerator, loader_threads
        self.step, self.micro_batches = 0, 1
        self._streams = LoaderStreams(accelerator.device)
        model = share_batch_statistics(model, accelerator)
        model = model.to(accelerator.device).to(memory_format=torch.channels_last)
        self.average = running_average(model, settings.ema_decay)
        self.model, self.optimiser = accelerator.prepare(model, make_optimiser(optimiser, model, settings))

    @property
    def result(self) -> nn.Module:
        """The weights to validate and keep: the running average where there is one."""
        if self.average is not None:
            averaged: nn.Module = self.average.module
            return averaged
        plain: nn.Module = self.accelerator.unwrap_model(self.model)
        return plain

    def run(self, every: int, on_interval: Callable[[Interval], None], state: Path) -> None:
        """Train to the end of the schedule, calling `on_interval` `every` so many steps and at the end.

        Raises
        ------
        Stopped
            Ctrl-C or SIGTERM; the step in hand was finished and everything saved in `state`.
        UsageError
            The settings let the loss grow beyond all numbers; what the last interval left stays.
        """
        with stop_requests() as stop, thread_pool(self.loader_threads) as pool:
            batches = prefetch(pool, self.loader_threads + 1, self._batch, range(self.step, self.steps))
            meter = Meter(self.step)
            while self.step < self.steps:
                if number := self._agreed(stop.signal):
                    self.save(state)
                    raise Stopped(number)
                batch = self._streams.take(meter.waiting(lambda: next(batches)))
                meter.add(self._train_step(batch))
                if self.step % every == 0 or self.step == self.steps:
                    interval = meter.read(self.step, self.accelerator)
                    _check_finite(interval)
                    on_interval(interval)
                    meter = Meter(self.step)

    def _agreed(self, signal: int) -> int:
        """The signal that any process received: all stop at the same step."""
        if self.accelerator.num_processes == 1:
            return signal
        return int(self.accelerator.gather(torch.tensor([signal], device=self.accelerator.device)).max())

    def _train_step(self, batch: Batch) -> dict[str, Tensor]:
        self.model.train()
        rate = learning_rate(self.settings, self.step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        values = None
        while values is None:
            try:
                values = self._gradients(batch)
            except torch.cuda.OutOfMemoryError as error:
                self._split_further(batch, error)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.accelerator.unwrap_model(self.model))
        self.step += 1
        return values

    def _gradients(self, batch: Batch) -> dict[str, Tensor]:
        """Accumulate the gradients of the batch's mean loss; returns the loss and what was logged."""
        self.optimiser.zero_grad(set_to_none=True)
        values: dict[str, Tensor] = {}
        micro_batches = list(_divided(batch, self.micro_batches))
        for number, (fraction, part) in enumerate(micro_batches, start=1):
            on_device = {
                name: value.to(self.accelerator.device, non_blocking=True) for name, value in part.items()
            }
            synchronising = (
                contextlib.nullcontext()
                if number == len(micro_batches)
                else self.accelerator.no_sync(self.model)
            )
            with synchronising:
                with self.accelerator.autocast():
                    loss, logged = self.task.loss(self.model, on_device)
                self.accelerator.backward(loss * fraction)
            for name, value in {"loss": loss, **logged}.items():
                values[name] = values.get(name, 0) + value.detach() * fraction
        return values

    def _split_further(self, batch: Batch, error: RuntimeError) -> None:
        rows = len(next(iter(batch.values())))
        if self.micro_batches >= rows or self.accelerator.num_processes > 1:
            raise ResourceError(
                f"a step needs more memory than {self.accelerator.device} has",
                remedy="Choose a smaller ⟨batch_size⟩, or smaller views",
            ) from error
        self.micro_batches *= 2
        torch.cuda.empty_cache()

    def _batch(self, step: int) -> Batch:
        """This process's part of a step, where the device can fetch it."""
        index = step * self.accelerator.num_processes + self.accelerator.process_index
        return self._streams.make(lambda: self.task.batch(index))

    def save(self, path: Path) -> None:
        """Write the whole training state, atomically; of several processes only the first writes."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "step": self.step,
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with atomic_path(path) as partial:
            try:
                torch.save(state, partial)
            except RuntimeError as error:  # what torch makes of a disk that is full
                raise ResourceError(
                    f"the training state cannot be written ({error})",
                    path=path,
                    remedy="Free some space and run the same command with ⟨resume⟩",
                ) from error

    def load(self, path: Path) -> None:
        """Take up a state written by `save`.

        Raises
        ------
        WeightsError
            The file is damaged or of another model.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step = int(state["step"])
        except (RuntimeError, KeyError, EOFError, TypeError, ValueError, UnpicklingError) as error:
            raise WeightsError(
                f"the training state cannot be read ({error})",
                path=path,
                remedy="Start again with ⟨overwrite⟩",
            ) from error


def _check_finite(interval: Interval) -> None:
    loss = interval.scalars["loss"]
    if not math.isfinite(loss):
        raise UsageError(
            f"the loss is {loss} by step {interval.step}: the training has diverged",
            remedy="Lower the learning rate or the weights of the losses, and start again with ⟨overwrite⟩",
        )


def _divided(batch: Batch, count: int) -> Iterator[tuple[float, Batch]]:
    """The batch in at most `count` micro-batches, each with its fraction of the rows."""
    rows = len(next(iter(batch.values())))
    step = -(-rows // count)
    for first in range(0, rows, step):
        part = {name: value[first : first + step] for name, value in batch.items()}
        yield min(step, rows - first) / rows, part
