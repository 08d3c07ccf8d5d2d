"""How fast, in images a second, in shares of what the card can do, and in shares of the network's own rate."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from scripts.gpu_day import training
from scripts.gpu_day.bundle import Bundle, ids_of
from scripts.gpu_day.finetune import Place, device_name
from scripts.gpu_day.slices import Deadline
from wsi_nucssl.engines.torch_engine import ByteNetwork, TorchEngine
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.networks import build
from wsi_nucssl.train.distributed import make_accelerator
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.loop import Loop, Task
from wsi_nucssl.train.streams import Batch

_PRODUCT: Final = {"cuda": 8192, "cpu": 256}
"""Side of the matrices whose product measures the peak."""
_WARM: Final = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes
    ----------
    steps : int
        Timed steps of each kind.
    window_px : int
        Side of the windows that are segmented, a multiple of 32.
    windows : int
        Of a batch.
    strategy : str
        What pretraining learns by.
    """

    steps: int = 30
    window_px: int = 1152
    windows: int = 12
    strategy: str = "triplet-rank"


def throughput(
    bundle: Bundle, recipes: tuple[str, ...], pretraining: str, sizes: Sizes, place: Place, deadline: Deadline
) -> dict[str, Any]:
    """Measure what there is time for: fine-tuning and segmentation of each recipe, then pretraining of another one.

    Writes throughput.json after each. `share_of_peak` is of the card's own bf16 matrix product; `share_of_network` is
    the rate with crops that are made, by the rate with the same batch again and again.

    Raises
    ------
    InputError
        A recipe was not packed.
    """
    device = make_accelerator(place.device, bundle.recipe(pretraining)["finetune"]["precision"]).device
    peak = matrix_peak(device)
    found: dict[str, Any] = {"device": device_name(device), "bf16_peak_tflops": peak / 1e12}
    jobs: dict[str, Callable[[], dict[str, float]]] = {}
    for name in recipes:
        jobs[f"finetune {name}"] = partial(_finetuning, bundle, name, sizes, place)
        jobs[f"segment {name}"] = partial(_segmenting, bundle, name, sizes, place, device)
    jobs[f"pretrain {pretraining}"] = partial(_pretraining, bundle, pretraining, sizes, place)
    for name, job in jobs.items():
        if deadline.left <= 0:
            break
        rates = job()
        rates["share_of_peak"] = rates.pop("flops_per_second") / peak
        found[name] = rates
        write_atomic(place.out / "throughput.json", json.dumps(found, indent=1))
        print(json.dumps({name: rates}), flush=True)
    return found


def matrix_peak(device: torch.device) -> float:
    """Floating-point operations a second of a product of square bf16 matrices of random numbers."""
    side = _PRODUCT[device.type]
    first, second = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / _seconds(lambda: first @ second, device, 10)


def _seconds(job: Callable[[], object], device: torch.device, times: int) -> float:
    """Of one call, the mean of several after some that are not timed."""
    for _ in range(_WARM):
        job()
    _wait(device)
    begun = perf_counter()
    for _ in range(times):
        job()
    _wait(device)
    return (perf_counter() - begun) / times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Repeated:
    """A task whose every batch is the first one: what is left is the network's own time."""

    def __init__(self, task: Task) -> None:
        self.loss, self._batch = task.loss, task.batch(0)

    def batch(self, _index: int) -> Batch:
        return self._batch


def _rates(make: Callable[[Task, int], Loop], task: Task, sizes: Sizes, place: Place) -> dict[str, float]:
    """Steps a second of a training with its loader and without, and operations of a step."""
    with_loader = _timed(make(task, _WARM + sizes.steps), place)
    without = _timed(make(_Repeated(task), _WARM + sizes.steps), place)
    return {
        "steps_per_second": 1 / with_loader.seconds,
        "loader_share": with_loader.loader_fraction,
        "share_of_network": without.seconds / with_loader.seconds,
        "flops_per_second": _flops(make(_Repeated(task), 1), place) / with_loader.seconds,
    }


def _timed(loop: Loop, place: Place) -> Interval:
    """The mean step after the first few: `seconds` are one step's."""
    seen: list[Interval] = []
    loop.run(_WARM, seen.append, place.state / "throughput.pt")
    timed = seen[1:]
    steps, seconds = sum(each.steps for each in timed), sum(each.seconds for each in timed)
    waited = sum(each.seconds * each.loader_fraction for each in timed)
    return Interval(loop.step, 1, timed[-1].scalars, seconds / steps, waited / seconds)


def _flops(loop: Loop, place: Place) -> float:
    counter = FlopCounterMode(display=False)
    with counter:
        loop.run(1, lambda _: None, place.state / "throughput.pt")
    return float(counter.get_total_flops())


def _finetuning(bundle: Bundle, name: str, sizes: Sizes, place: Place) -> dict[str, float]:
    values = bundle.recipe(name)
    accelerator = make_accelerator(place.device, values["finetune"]["precision"])
    network = build(values["arch"])
    ids = ids_of(bundle.split("everything")["train"])
    task = training.segmentation(bundle, ids, values, 0, network, accelerator.device)

    def make(task: Task, steps: int) -> Loop:
        own = build(values["arch"])
        return training.finetune_loop(own, task, values, steps, accelerator, place.loader_threads)

    rates = _rates(make, task, sizes, place)
    return {"crops_per_second": rates["steps_per_second"] * values["finetune"]["batch_size"], **rates}


def _pretraining(bundle: Bundle, name: str, sizes: Sizes, place: Place) -> dict[str, float]:
    values = bundle.recipe(name)
    accelerator = make_accelerator(place.device, values["pretrain"]["precision"])
    images = bundle.images(ids_of(bundle.split("everything")["train"]))

    def make(task: Task | None, steps: int) -> Loop:
        timed = {**values, "pretrain": {**values["pretrain"], "steps": steps}}
        loop = training.pretrain_loop(images, timed, sizes.strategy, 0, accelerator, place.loader_threads)
        loop.task = task or loop.task
        return loop

    rates = _rates(make, make(None, 1).task, sizes, place)
    return {"tiles_per_second": rates["steps_per_second"] * values["pretrain"]["batch_size"], **rates}


def _segmenting(
    bundle: Bundle, name: str, sizes: Sizes, place: Place, device: torch.device
) -> dict[str, float]:
    """Windows a second from bytes on the host to bytes on the host, and of the network alone."""
    network = build(bundle.recipe(name)["arch"])
    engine = TorchEngine(network, device, compiled=place.compiled)
    shape = (sizes.windows, sizes.window_px, sizes.window_px, 3)
    windows = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with_copies = _seconds(lambda: engine.predict(windows), device, sizes.steps) / sizes.windows
    there = torch.from_numpy(windows).to(device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=engine.bf16)
    counter, module = FlopCounterMode(display=False), ByteNetwork(network).eval()
    with torch.inference_mode(), autocast, counter:
        module(there[:1])
    alone = _seconds(lambda: engine.forward(there), device, sizes.steps) / sizes.windows
    return {
        "windows_per_second": 1 / with_copies,
        "share_of_network": alone / with_copies,
        "flops_per_second": float(counter.get_total_flops()) / with_copies,
    }
