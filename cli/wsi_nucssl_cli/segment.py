"""`wsi-nucssl segment`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_nucssl.engines.registry import ENGINES
from wsi_nucssl.models.devices import Device
from wsi_nucssl.segment.options import Format, Origin, SegmentOptions
from wsi_nucssl_cli.choices import one_of
from wsi_nucssl_cli.display import SlideDisplay, out, say_hello

if TYPE_CHECKING:
    from wsi_nucssl.segment.pipeline import OnProgress, Progress
    from wsi_nucssl.segment.slides import SegmentSummary


def _batch_size(text: str) -> int | None:
    try:
        return None if text == "auto" else int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a whole number nor auto") from None


def segment(
    slides: Annotated[list[Path], typer.Argument(help="Slides or images.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="A .geojson or .geojson.gz file, or a folder for several slides."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="A bundled model's name, a weights file or a fine-tuning run.")
    ] = "",
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of level 0; goes before what the slide says.")
    ] = None,
    device: Annotated[Device, typer.Option(help="What the network runs on.")] = "auto",
    engine: Annotated[
        str, one_of(ENGINES, "auto", help="What runs the network; auto: the fastest that is as accurate.")
    ] = "auto",
    tta: Annotated[int, typer.Option(help="Mirrored and rotated views to average over: 1, 2, 4 or 8.")] = 1,
    batch_size: Annotated[
        int | None,
        typer.Option(
            parser=_batch_size, metavar="N|auto", help="Windows at a time.", show_default="auto: by device"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Threads that read, and as many that extract.")] = 2,
    origin: Annotated[
        Origin,
        typer.Option(
            help="qupath: coordinates count from the slide's bounds, as in QuPath; level0: they do not."
        ),
    ] = "qupath",
    file_format: Annotated[
        Format | None, typer.Option("--format", help="By the output's name if not given.")
    ] = None,
    reader: Annotated[str, typer.Option(help="auto, tiff, openslide, tiffslide or image.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs and runs that are there.")
    ] = False,
    keep_probabilities: Annotated[
        bool, typer.Option("--keep-probabilities", help="Leave the probability zarr in OUTPUT.run.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also print where the time went.")] = False,
) -> None:
    """Segment slides into GeoJSON that QuPath opens."""
    say_hello("segment", quiet=quiet)

    from wsi_nucssl.models.weights import DEFAULT_MODEL, load_model
    from wsi_nucssl.segment.slides import outputs, segment_slides

    options = SegmentOptions(
        mpp=mpp,
        reader=reader,
        device=device,
        engine=engine,
        views=tta,
        batch_size=batch_size,
        workers=workers,
        origin=origin,
        keep_probabilities=keep_probabilities,
    )
    display = _Display(quiet=quiet, verbose=verbose)
    with display:
        segment_slides(
            outputs(slides, output, file_format),
            load_model(model or DEFAULT_MODEL),
            options,
            resume=resume,
            overwrite=overwrite,
            on_slide=display.watch,
            on_summary=display.finish,
            on_failure=display.fail,
        )


class _Display(SlideDisplay):
    """Progress of a slide, and a few lines when it is done."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        super().__init__("tiles", quiet=quiet)
        self.verbose = verbose

    def watch(self, slide: Path) -> OnProgress:
        """Begin a slide; returns what shows its progress."""
        meter = self.begin(slide)

        def show(progress: Progress) -> None:
            stage = "predict" if progress.windows_done < progress.windows else "extract"
            meter.update(progress.windows_done, progress.windows, f"{stage} · {progress.nuclei} nuclei")

        return show

    def finish(self, slide: Path, summary: SegmentSummary) -> None:
        """Say what came out, and where it is."""
        self.end()
        if self.quiet:
            return
        out.print(
            f"{slide.name}: {summary.nuclei} nuclei, {summary.per_mm2:.0f}/mm², {summary.seconds:.1f} s",
            markup=False,
        )
        if self.verbose:
            share = summary.network_seconds / summary.seconds
            out.print(f"  network {summary.network_seconds:.1f} s, {share:.0%} of the whole")
        out.print(f"  seams: {summary.seams}")
        out.print(f"  {summary.output}", markup=False)
