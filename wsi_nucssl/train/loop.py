"""The training loop that fine-tuning and pretraining share: steps, mixed precision, averaging, exact resume.

A `Task` gives the k-th batch as a pure function of k, so that a resumed run sees the batches that an undisturbed one would
have seen, whatever the number of loader threads.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.files import atomic_path
from wsi_nucssl.runs import stop_requests
from wsi_nucssl.train.recipe import Optimisation

Batch = Mapping[str, Tensor]
Scalars = dict[str, float]


class Task(Protocol):
    """What a loop trains: batches and a loss."""

    def batch(self, index: int) -> Batch:
        """The index-th batch, on the CPU: a pure function of `index`, called from loader threads."""
        ...

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The scalar to minimise and what to log beside it."""
        ...


@dataclass(slots=True)
class Progress:
    """Where a loop stands, given to `on_interval`: means since the last interval."""

    step: int
    scalars: Scalars
    seconds: float
    loader_share: float


class Loop:
    """Train `model` on `task` for `steps` steps.

    Parameters
    ----------
    model : on any device; trained in place.
    steps : length of the whole schedule (warm-up, then cosine to zero).
    loader_threads : batches are prepared ahead by that many threads.
    accelerator : decides device, precision and processes.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        steps: int,
        settings: Optimisation,
        accelerator: Accelerator,
        loader_threads: int = 1,
    ) -> None:
        self.task, self.steps, self.settings = task, steps, settings
        self.accelerator, self.loader_threads = accelerator, loader_threads
        self.step = 0
        model = model.to(accelerator.device, memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(
            _decayed_groups(model, settings.weight_decay), lr=settings.learning_rate
        )
        self.average = _average(model, settings.ema_decay)
        self.model, self.optimiser = accelerator.prepare(model, optimiser)

    @property
    def result(self) -> nn.Module:
        """The weights to validate and keep: the running average where there is one."""
        if self.average is not None:
            averaged: nn.Module = self.average.module
            return averaged
        plain: nn.Module = self.accelerator.unwrap_model(self.model)
        return plain

    def run(self, interval: int, on_interval: Callable[[Progress], None], state: Path) -> None:
        """Train to the end of the schedule, calling `on_interval` every `interval` steps and at the end.

        Raises
        ------
        Stopped : Ctrl-C or SIGTERM; the step in hand was finished and everything saved in `state`.
        """
        with stop_requests() as stop, self._batches() as batches:
            meter = _Meter(self.step)
            while self.step < self.steps:
                if stop.requested:
                    self.save(state)
                    stop.check()
                batch = meter.waiting(lambda: next(batches))
                meter.add(self._train_step(batch))
                if self.step % interval == 0 or self.step == self.steps:
                    on_interval(meter.read(self.step))
                    meter = _Meter(self.step)

    def _train_step(self, batch: Batch) -> dict[str, Tensor]:
        self.model.train()
        rate = self.settings.learning_rate * self._rate_factor()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        on_device = {
            name: value.to(self.accelerator.device, non_blocking=True) for name, value in batch.items()
        }
        with self.accelerator.autocast():
            loss, logged = self.task.loss(self.model, on_device)
        self.optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.accelerator.unwrap_model(self.model))
        self.step += 1
        return {"loss": loss.detach(), **{name: value.detach() for name, value in logged.items()}}

    def _rate_factor(self) -> float:
        warmup = min(self.settings.warmup_steps, max(1, self.steps // 10))
        if self.step < warmup:
            return (self.step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (self.step - warmup) / max(1, self.steps - warmup)))

    @contextlib.contextmanager
    def _batches(self) -> Iterator[Iterator[Batch]]:
        """Batches from the present step on, in order, prepared ahead; each process takes its own share."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index

        def prepare(step: int) -> Batch:
            return self.task.batch(step * processes + rank)

        def in_order() -> Iterator[Batch]:
            ahead: deque[Future[Batch]] = deque()
            for step in range(self.step, self.steps):
                while len(ahead) <= self.loader_threads and step + len(ahead) < self.steps:
                    ahead.append(pool.submit(prepare, step + len(ahead)))
                yield ahead.popleft().result()

        pool = ThreadPoolExecutor(self.loader_threads, thread_name_prefix="loader")
        try:
            yield in_order()
        finally:
            pool.shutdown(cancel_futures=True)

    def save(self, path: Path) -> None:
        """Write the whole training state, atomically."""
        state = {
            "step": self.step,
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with atomic_path(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Take up a state written by `save`.

        Raises
        ------
        WeightsError : the file is damaged or of another model.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, KeyError, EOFError, ValueError) as error:
            raise WeightsError(
                f"the training state cannot be read ({error})",
                path=path,
                remedy="Start again with --overwrite",
            ) from error
        self.step = int(state["step"])


def _average(model: nn.Module, decay: float) -> AveragedModel | None:
    if not decay:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _decayed_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on convolutions only: neither on biases nor on batch norms."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


class _Meter:
    """Sums of the logged scalars and of the seconds since an interval began."""

    def __init__(self, step: int) -> None:
        self.first, self.begun, self.waited = step, perf_counter(), 0.0
        self.sums: dict[str, Tensor] = {}

    def waiting(self, fetch: Callable[[], Batch]) -> Batch:
        begun = perf_counter()
        batch = fetch()
        self.waited += perf_counter() - begun
        return batch

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value

    def read(self, step: int) -> Progress:
        count, seconds = step - self.first, perf_counter() - self.begun
        scalars = {name: float(total) / count for name, total in self.sums.items()}
        return Progress(step, scalars, seconds, self.waited / seconds)
