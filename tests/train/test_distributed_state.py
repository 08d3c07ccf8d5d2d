"""One process trains several times, as a notebook does; several share a run, its statistics and its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wsi_nucssl.errors import UsageError
from wsi_nucssl.train.distributed import (
    Precision,
    SharedBatchNorm,
    make_accelerator,
    mean_over_processes,
    share_batch_statistics,
    shared_run_directory,
)


@pytest.mark.parametrize("precisions", [("bf16", "fp32", "bf16"), ("fp32", "bf16", "fp32")])
def test_a_training_does_not_inherit_an_earlier_ones_precision(precisions: tuple[Precision, ...]) -> None:
    for precision in precisions:
        expected = "bf16" if precision == "bf16" else "no"
        assert make_accelerator("cpu", precision).mixed_precision == expected


@pytest.mark.parametrize("device", ["cuda", "bpu", "auto ", ""])
def test_a_device_is_chosen_by_itself_or_the_cpu(device: str) -> None:
    with pytest.raises(UsageError, match="cannot train on"):
        make_accelerator(device, "fp32")
    assert make_accelerator("cpu", "fp32").device == torch.device("cpu")
    assert make_accelerator("auto", "fp32").device.type == ("cuda" if torch.cuda.is_available() else "cpu")


class Processes:
    """What the functions ask of an accelerator, of so many processes that all hold the same."""

    def __init__(self, count: int, device: str = "cpu", *, first: bool = True) -> None:
        self.num_processes, self.device, self.is_main_process = count, torch.device(device), first
        self.events: list[str] = []

    def wait_for_everyone(self) -> None:
        self.events.append("met")

    def reduce(self, values: Tensor, reduction: str) -> Tensor:
        assert reduction == "mean"
        return values + torch.arange(len(values))  # as if the others had more of the later ones


def test_scalars_are_averaged_over_processes_each_under_its_name() -> None:
    values = {"loss": torch.tensor(1.5), "count": torch.tensor(2), "half": torch.tensor(0.5)}
    alone: Any = Processes(1)
    several: Any = Processes(2)
    assert mean_over_processes(values, alone) is values
    averaged = mean_over_processes(values, several)
    assert {name: float(value) for name, value in averaged.items()} == {
        "loss": 1.5,
        "count": 3.0,
        "half": 2.5,
    }
    assert dict(mean_over_processes({}, several)) == {}


def test_batch_norms_are_shared_where_there_are_several_processes() -> None:
    def network() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
        )

    def kinds(module: nn.Module) -> list[type]:
        return [type(each) for each in module.modules() if isinstance(each, nn.modules.batchnorm._NormBase)]

    for count, device, expected in (
        (1, "cpu", nn.BatchNorm2d),
        (1, "cuda", nn.BatchNorm2d),
        (2, "cpu", SharedBatchNorm),
        (3, "cpu", SharedBatchNorm),
        (2, "cuda", nn.SyncBatchNorm),
    ):
        plain = network()
        processes: Any = Processes(count, device)
        made = share_batch_statistics(plain, processes)
        assert kinds(made) == [expected] * 2
        assert next(type(each) for each in made.children()) is nn.Conv2d
        assert made.state_dict().keys() == plain.state_dict().keys()


def test_the_first_process_holds_the_run_and_the_others_begin_and_end_with_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first: Any = Processes(2)
    second: Any = Processes(2, first=False)
    with shared_run_directory(first, run, {"kind": "x"}, resume=False, overwrite=False) as place:
        assert first.events == ["met"]
        assert place == run
        with shared_run_directory(second, run, {"kind": "x"}, resume=False, overwrite=False) as other:
            assert second.events == ["met"]
            assert other == run
        assert second.events == ["met", "met"]
    assert first.events == ["met", "met"]
