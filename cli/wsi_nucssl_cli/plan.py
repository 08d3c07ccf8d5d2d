"""`wsi-nucssl plan`, and what `segment --dry-run` shows."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wsi_nucssl.engines.registry import ENGINES
from wsi_nucssl.errors import spelled
from wsi_nucssl.export.registry import DEFAULT
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.devices import Device
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE
from wsi_nucssl_cli.choices import one_of
from wsi_nucssl_cli.display import Meter, flag, say_hello, say_warning
from wsi_nucssl_cli.options import (
    FORMATS_HELP,
    Focus,
    ForceMpp,
    ReaderName,
    RoiClass,
    RoiPath,
    Scene,
    SlideList,
    SomeSlides,
    TissueName,
    gathered,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsi_nucssl.forecast.inventory import SlideForecast
    from wsi_nucssl.forecast.planning import Forecast
    from wsi_nucssl.locations import Location
    from wsi_nucssl.models.weights import Model
    from wsi_nucssl.segment.run import Steps

_SECONDS: Final = 6.0
_NAME_WIDTH: Final = 24
_UNITS: Final = (("h", 3600), ("min", 60), ("s", 1))


def plan(
    context: typer.Context,
    slides: SomeSlides = None,
    slide_list: SlideList = None,
    model: Annotated[
        str,
        typer.Option(help="A bundled model's name, or a weights file.", show_default=DEFAULT_MODEL),
    ] = "",
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of level 0, where a slide does not say it.")
    ] = None,
    force_mpp: ForceMpp = False,
    device: Annotated[Device, typer.Option(help="What the network runs on.")] = "auto",
    engine: Annotated[str, one_of(ENGINES, "auto", help="What runs the network.")] = "auto",
    tta: Annotated[int, typer.Option(help="Views to average over: 1, 2, 4 or 8.")] = 1,
    workers: Annotated[int, typer.Option(help="Threads that read, and as many that extract.")] = 2,
    formats: Annotated[
        str, typer.Option("--format", metavar="NAME,…", help=FORMATS_HELP, show_default=DEFAULT)
    ] = "",
    reader: ReaderName = "auto",
    scene: Scene = None,
    focus: Focus = None,
    tissue: TissueName = DEFAULT_TISSUE,
    roi: RoiPath = None,
    roi_class: RoiClass = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A slide that is doubtful cannot be segmented.")
    ] = False,
    seconds: Annotated[float, typer.Option(help="How long to measure this machine.")] = _SECONDS,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one row a slide.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what segmenting slides would cost here. Exit code 3 if some cannot be segmented."""
    say_hello("plan", quiet=as_json or as_csv)

    from wsi_nucssl.export.registry import in_order
    from wsi_nucssl.models.weights import load_model
    from wsi_nucssl.slide_list import mpp_of, names_of

    listed = gathered(slides, slide_list, force_mpp=force_mpp, quiet=as_json or as_csv)
    names = in_order(formats.split(",")) if formats else (DEFAULT,)
    outputs = [Path(f"slide.{name}") for name in names]
    show_plan(
        dict.fromkeys([each.slide for each in listed], outputs),
        load_model(model or DEFAULT_MODEL),
        SegmentOptions(
            mpp=mpp,
            force_mpp=force_mpp,
            strict=strict,
            reader=reader,
            scene=scene,
            focus=focus,
            device=device,
            engine=engine,
            views=tta,
            workers=workers,
            tissue=tissue,
            roi=roi,
            roi_class=tuple(roi_class or ()),
        ),
        mpps=mpp_of(listed),
        names=names_of(listed),
        seconds=seconds,
        check=False,
        steps=context.obj,
        as_csv=as_csv,
        as_json=as_json,
    )


def show_plan(
    targets: Mapping[Location, Sequence[Path]],
    model: Model,
    options: SegmentOptions,
    *,
    mpps: Mapping[Location, float],
    names: Mapping[Location, str],
    resume: bool = False,
    overwrite: bool = False,
    seconds: float = _SECONDS,
    check: bool = True,
    steps: Steps | None = None,
    as_csv: bool = False,
    as_json: bool = False,
) -> None:
    """Plan, and print it; what cannot be done is an error after that."""
    from wsi_nucssl import checks
    from wsi_nucssl.forecast.planning import plan_slides

    checks.within("seconds", seconds, 0, 3600)
    meter, seen = Meter("looking at slides", "slides", quiet=as_csv or as_json), 0

    def note(_: SlideForecast) -> None:
        nonlocal seen
        seen += 1
        meter.update(seen, len(targets))

    try:
        found = plan_slides(
            targets,
            model,
            options,
            mpps=mpps,
            names=names,
            resume=resume,
            overwrite=overwrite,
            seconds=seconds,
            check=check,
            on_slide=note,
            steps=steps,
        )
    finally:
        meter.stop()
    if as_json:
        typer.echo(spelled(json.dumps(found.to_dict(), indent=2, ensure_ascii=False), flag))
    elif as_csv:
        _write_csv(found)
    else:
        _print(found)
    found.refuse_impossible()


def _write_csv(found: Forecast) -> None:
    from wsi_nucssl.forecast.inventory import COLUMNS

    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for each in found.slides:
        writer.writerow(
            {**each.to_dict(), "problem": spelled(each.problem, flag), "remedy": spelled(each.remedy, flag)}
        )


def _print(found: Forecast) -> None:
    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("slide", max_width=_NAME_WIDTH, overflow="ellipsis", no_wrap=True)
    for name in ("level-0 px", "mpp", "mm²", "windows", "time", "disk"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found.slides:
        table.add_row(*map(Text, _row(each, found.names[each.path])))
    console.print(table)
    for each in found.slides:
        if each.problem:
            name = found.names[each.path]
            console.print(Text(f"{each.state}: {name}: {spelled(each.problem, flag)}"))
            console.print(Text(f"  → {spelled(each.remedy, flag)}"))
    pace = found.pace
    windows = sum(each.windows for each in found.able)
    if pace.windows:
        console.print(
            f"{len(found.able)} of {len(found.slides)} slides, {windows} windows: "
            f"{_span(found.seconds, found.seconds_error)}, {_bytes(found.disk_bytes)} of disk "
            f"({_bytes(found.free_bytes)} free), {_bytes(found.memory_bytes)} of memory"
        )
        console.print(
            f"measured here and now: {pace.seconds:.3g} s a window ± {pace.spread:.0%} from place to place, "
            f"of {pace.windows} windows of {pace.slides} slides; {found.start_seconds:.1f} s to begin"
        )
    for doubt in found.problems:
        say_warning(doubt.message)


def _row(each: SlideForecast, name: str) -> tuple[str, ...]:
    size = f"{each.width}×{each.height}" if each.width else ""
    mpp = "" if each.mpp is None else f"{each.mpp:.3g}"
    if each.state == "cannot":
        return name, size, mpp, "", "", "cannot", ""
    return (
        name,
        size,
        mpp,
        f"{each.tissue_mm2:.3g}",
        str(each.windows),
        _span(each.seconds, each.seconds_error),
        _bytes(each.disk_bytes),
    )


def _span(seconds: float, error: float) -> str:
    """A time and how far it may be off, in one unit."""
    unit, size = next((each for each in _UNITS if seconds >= 2 * each[1]), _UNITS[-1])
    digits = 1 if seconds < 10 * size else 0
    return f"{seconds / size:.{digits}f} ± {max(error / size, 0.1**digits):.{digits}f} {unit}"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
