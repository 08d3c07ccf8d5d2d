"""CUDA streams for the loader's threads, so that making a batch never waits for the step in hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Batch = Mapping[str, Tensor]


class LoaderStreams:
    """A stream for each thread that makes batches on a device; nothing but a call elsewhere than on CUDA."""

    def __init__(self, device: torch.device) -> None:
        self.device, self._own = device, threading.local()

    def make(self, job: Callable[[], Batch]) -> Batch:
        """What `job` gives, whole; in pinned memory where it is on the CPU."""
        if self.device.type != "cuda":
            return job()
        if not hasattr(self._own, "stream"):
            self._own.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._own.stream):
            batch = {name: value if value.is_cuda else value.pin_memory() for name, value in job().items()}
            self._own.stream.synchronize()
        return batch

    def take(self, batch: Batch) -> Batch:
        """The batch, to be used on the calling thread's stream; its memory is not reused before that is done."""
        for value in batch.values():
            if value.is_cuda:
                value.record_stream(torch.cuda.current_stream(self.device))
        return batch
