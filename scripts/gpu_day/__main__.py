"""Command line of a day on a GPU: `python -m scripts.gpu_day --help`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from wsi_nucssl.errors import UsageError, WsiNucsslError
from wsi_nucssl.models.devices import torch_device

if TYPE_CHECKING:
    from scripts.gpu_day.finetune import Place


def main() -> None:
    """Run one command and print what it found; what it needs is imported then."""
    torch.backends.cudnn.benchmark = True
    try:
        print(json.dumps(command(sys.argv[1:]), indent=1))
    except WsiNucsslError as error:
        raise SystemExit(_said(error)) from error


def command(words: Sequence[str]) -> object:
    """What the command of these words found, as JSON values."""
    options = _parser().parse_args(words)
    return options.run(options)


def _said(error: WsiNucsslError) -> int:
    print(f"error: {error}", flush=True)
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.gpu_day", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _add_pack(commands.add_parser("pack", help="write the folder that travels"))
    _add_check(commands.add_parser("check", help="compare the device with the CPU"))
    _add_finetune(commands.add_parser("finetune", help="train a recipe on a split"))
    _add_throughput(commands.add_parser("throughput", help="measure rates, as shares of the card's peak"))
    _add_strategies(commands.add_parser("strategies", help="work off the paper's tables"))
    _add_collect(commands.add_parser("collect", help="put what was carried back together"))
    return parser


def _add_pack(parser: argparse.ArgumentParser) -> None:
    from scripts.gpu_day.recipe import FOLDER

    parser.add_argument("datasets", nargs="+", type=Path, help="folders of annotated images")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--check-model", default="", help="the model that compares devices; the default one")
    parser.add_argument(
        "--encoder", action="append", default=[], metavar="NAME=SOURCE", help="weights to pack"
    )
    parser.add_argument(
        "--weight", action="append", default=[], metavar="DATASET=W", help="of a dataset's px"
    )
    parser.add_argument(
        "--recipe", action="append", default=[], type=Path, help="instead of those beside the code"
    )
    parser.add_argument("--own-mpp", type=float, help="µm per px of images of which no file states it")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument(
        "--apart",
        action="append",
        default=[],
        metavar="DATASET",
        help="never trains but where everything does",
    )
    parser.add_argument(
        "--teacher",
        action="append",
        default=[],
        help="a model; what it says of images it did not see is packed",
    )
    parser.add_argument(
        "--teacher-of-all", action="append", default=[], help="a model; what it says of every image is packed"
    )
    parser.add_argument("--limit-mib", type=float, default=60.0)
    parser.set_defaults(run=_pack, recipes=sorted(FOLDER.glob("*.yaml")))


def _pack(options: argparse.Namespace) -> object:
    from scripts.gpu_day.pack import PackJob, pack
    from wsi_nucssl.models.defaults import DEFAULT_MODEL
    from wsi_nucssl.train.job import parse_weights

    job = PackJob(
        options.datasets,
        model=options.check_model or DEFAULT_MODEL,
        encoders=_encoders(options.encoder),
        recipes=options.recipe or options.recipes,
        weights=parse_weights(options.weight),
        own_mpp=options.own_mpp,
        folds=options.folds,
        apart=options.apart,
        teachers=options.teacher,
        teachers_of_all=options.teacher_of_all,
        limit_mib=options.limit_mib,
    )
    return pack(job, options.out)


def _encoders(texts: Sequence[str]) -> dict[str, str]:
    """Sources of encoders from "NAME=SOURCE" each."""
    found = {}
    for text in texts:
        name, _, source = text.partition("=")
        if not (name and source):
            raise UsageError(
                f"an encoder is NAME=SOURCE, not {text!r}",
                remedy="Such as --encoder efficientnet-lite0=imagenet",
            )
        found[name] = source
    return found


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="the folder that pack wrote")
    parser.add_argument("--out", type=Path, required=True, help="what is to be carried away")
    parser.add_argument("--state", type=Path, help="what must stay between slices; OUT/state")
    parser.add_argument("--minutes", type=float, default=8.0, help="length of this slice")
    parser.add_argument("--device", choices=["auto", "cpu"], default="auto")
    parser.add_argument("--loader-threads", type=int, default=4)
    parser.add_argument("--interval", type=int, default=50, help="steps between looks at the clock")
    parser.add_argument("--compile", action="store_true", help="compile networks")


def _place(options: argparse.Namespace) -> Place:
    from scripts.gpu_day.finetune import Place

    return Place(
        options.out,
        options.state or options.out / "state",
        options.device,
        options.loader_threads,
        options.interval,
        options.compile,
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_place(parser)
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> object:
    from scripts.gpu_day.check import check

    return check(options.data, options.out, torch_device(options.device))


def _add_finetune(parser: argparse.ArgumentParser) -> None:
    _add_place(parser)
    parser.add_argument("--recipe", required=True, help="a packed one")
    parser.add_argument("--split", default="everything", help="a packed one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--crops", type=int, default=0, help="length of the schedule; 0: it ends with the time"
    )
    parser.add_argument("--later-minutes", type=float, default=0.0, help="length of the slices that follow")
    parser.add_argument("--start", type=Path, help="NAME.json of an earlier slice whose state is lost")
    parser.add_argument(
        "--teacher", action="append", default=[], type=Path, help="NAME.json of a run to learn from; several"
    )
    parser.add_argument(
        "--packed-teachers", action="store_true", help="learn from what pack --teacher packed"
    )
    parser.set_defaults(run=_finetune)


def _finetune(options: argparse.Namespace) -> object:
    from scripts.gpu_day.bundle import Bundle
    from scripts.gpu_day.finetune import FinetuneRun, finetune
    from scripts.gpu_day.slices import Deadline

    deadline = Deadline(options.minutes)
    run = FinetuneRun(
        options.recipe,
        options.split,
        options.seed,
        options.crops,
        options.later_minutes,
        options.start,
        options.teacher,
        options.packed_teachers,
    )
    found = finetune(Bundle.open(options.data), run, _place(options), deadline)
    return {name: value for name, value in found.items() if name != "log"}


def _add_throughput(parser: argparse.ArgumentParser) -> None:
    _add_place(parser)
    parser.add_argument(
        "--recipe", nargs="*", default=["compact", "reference"], help="to fine-tune and segment"
    )
    parser.add_argument("--pretrain", default="reference", help="the recipe to pretrain")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--window-px", type=int, default=1152)
    parser.add_argument("--windows", type=int, default=12)
    parser.set_defaults(run=_throughput)


def _throughput(options: argparse.Namespace) -> object:
    from scripts.gpu_day.bundle import Bundle
    from scripts.gpu_day.slices import Deadline
    from scripts.gpu_day.throughput import Sizes, throughput

    deadline = Deadline(options.minutes)
    sizes = Sizes(options.steps, options.window_px, options.windows)
    bundle, place = Bundle.open(options.data), _place(options)
    return throughput(bundle, tuple(options.recipe), options.pretrain, sizes, place, deadline)


def _add_strategies(parser: argparse.ArgumentParser) -> None:
    _add_place(parser)
    parser.add_argument("--recipe", default="strategies", help="a packed one")
    parser.add_argument("--crops", type=int, default=6400, help="of the fine-tuning of a cell")
    parser.add_argument("--strategies", nargs="+", help="rows; all")
    parser.add_argument("--splits", nargs="+", help="columns; the hold-out with each share of its labels")
    parser.add_argument("--seeds", type=int, default=3)
    parser.set_defaults(run=_strategies)


def _strategies(options: argparse.Namespace) -> object:
    from scripts.gpu_day.bundle import Bundle
    from scripts.gpu_day.slices import Deadline
    from scripts.gpu_day.strategies import STRATEGIES, Grid, strategies

    deadline, bundle = Deadline(options.minutes), Bundle.open(options.data)
    splits = options.splits or [name for name in bundle.content["splits"] if name.startswith("holdout")]
    rows = options.strategies or STRATEGIES
    grid = Grid(options.recipe, options.crops, rows, splits, options.seeds)
    return strategies(bundle, grid, _place(options), deadline)


def _add_collect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, help="what was carried back")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder for whole models")
    parser.set_defaults(run=_collect)


def _collect(options: argparse.Namespace) -> object:
    from scripts.gpu_day.collect import collect

    return collect(options.results, options.out)


if __name__ == "__main__":
    main()
