"""Where a slide's nuclei go: one output for each format, beside each other, and the run directory of them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from wsi_nucssl.cohort import outputs_in
from wsi_nucssl.errors import OutputExists, UsageError
from wsi_nucssl.export.base import Exporter
from wsi_nucssl.export.registry import DEFAULT, EXPORTERS, endings, format_of, in_order
from wsi_nucssl.locations import Location
from wsi_nucssl.outputs import check_output
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.summary import RUN
from wsi_nucssl.slide.annotation_files import own_path
from wsi_nucssl.slide.tissue_methods import TISSUES


def run_path(output: Path) -> Path:
    """The run directory that belongs to an output: what is resumed, and later the output's provenance.

    Several outputs of one slide share that of the first, in the order of `ordered`.
    """
    return output.with_name(f"{output.name}{RUN}")


def outputs(
    slides: Sequence[Location],
    destination: Path,
    formats: Sequence[str] = (),
    names: Mapping[Location, str] = MappingProxyType({}),
) -> dict[Location, tuple[Path, ...]]:
    """Each slide's outputs, one for each format, in the registry's order.

    One slide may go to a file name: it says the format, and the other formats' outputs lie beside it. Otherwise
    `destination` is a folder, and the format is GeoJSON if none is given; `names` are those of outputs that are not to
    be called like their slides.

    Raises
    ------
    UsageError
        Several slides and one file, two slides of one name, an unknown ending or format, or formats that
        contradict the file name.
    """
    wanted = in_order(formats)
    named = format_of(destination)
    if named:
        return {slides[0]: _beside(slides, destination, named, wanted)}
    if destination.suffix in (".json", ".gz", ".dcm"):
        raise _unknown_ending(destination)
    by_format = [outputs_in(destination, slides, f".{name}", names) for name in wanted or (DEFAULT,)]
    return {slide: tuple(each[slide] for each in by_format) for slide in slides}


def _beside(
    slides: Sequence[Location], destination: Path, named: str, wanted: tuple[str, ...]
) -> tuple[Path, ...]:
    if len(slides) != 1:
        raise UsageError(
            f"{len(slides)} slides cannot go into one file", path=destination, remedy="Give a folder"
        )
    if wanted and named not in wanted:
        raise UsageError(
            f"⟨formats⟩ {','.join(wanted)} contradict the file's name",
            path=destination,
            remedy=f"Add {named}, or drop ⟨formats⟩",
        )
    stem = destination.name.removesuffix(f".{named}")
    return tuple(destination.with_name(f"{stem}.{name}") for name in wanted or (named,))


def ordered(paths: Iterable[Path]) -> dict[Path, str]:
    """Outputs of one slide and their formats, in the registry's order, so that the run is the same however listed.

    Raises
    ------
    UsageError
        A name has an unknown ending, two have the same, or there are none.
    """
    by_format: dict[str, Path] = {}
    for path in paths:
        name = format_of(path)
        if name is None:
            raise _unknown_ending(path)
        if by_format.setdefault(name, path) != path:
            raise UsageError("two outputs of one format", path=path, remedy=f"Drop it or {by_format[name]}")
    if not by_format:
        raise UsageError("no output is given", remedy="Give ⟨output⟩")
    return {by_format[name]: name for name in EXPORTERS.names if name in by_format}


def check_outputs(
    exporters: dict[Path, Exporter],
    run: Path,
    *,
    slide: Location,
    resume: bool,
    overwrite: bool,
    inputs: Iterable[Location] = (),
) -> None:
    """See that each output may be written, before any work begins.

    Raises
    ------
    UsageError
        A format is not for this slide.
    OutputExists
        Something is there that is not to be replaced, or an output is one of the `inputs`.
    OutputError
        A place takes no files.
    """
    for exporter in exporters.values():
        exporter.check(slide)
    inputs = [slide, *inputs]
    check_output(run, inputs=inputs, may_exist=True, is_folder=True)
    for output, exporter in exporters.items():
        is_folder = exporter.is_folder
        check_output(output, inputs=inputs, overwrite=overwrite, may_exist=True, is_folder=is_folder)
        _check_folder(output, run)
        if not output.exists() or overwrite:
            continue
        if not resume:
            raise OutputExists(
                "the output is there already",
                path=output,
                remedy="Add ⟨overwrite⟩, or ⟨resume⟩ to keep finished slides",
            )
        if not run.is_dir():
            raise OutputExists(
                "the output is there, but not the run that made it",
                path=output,
                remedy="Add ⟨overwrite⟩ to replace it, or choose another output",
            )


def tissue_output(
    options: SegmentOptions,
    inputs: Sequence[Location],
    exported: Sequence[Path],
    *,
    resume: bool,
    overwrite: bool,
) -> Path | None:
    """Where a slide's tissue goes as annotations, None for nowhere.

    Parameters
    ----------
    options : SegmentOptions
        With `write_tissue`, and what `tissue` reads.
    inputs : sequence of Location
        What the job reads; the slide first.
    exported : sequence of Path
        Where the nuclei go.
    resume, overwrite : bool
        Leave what an earlier run wrote; replace what is there.

    Raises
    ------
    OutputExists
        Something is there and is not to be replaced, or it is read.
    UsageError
        The nuclei go there too.
    """
    if options.write_tissue is None:
        return None
    path = own_path(options.write_tissue, inputs[0])
    if path.resolve() in [each.resolve() for each in exported]:
        raise UsageError(
            "tissue and nuclei would go into one file", path=path, remedy="Give ⟨write_tissue⟩ another name"
        )
    read = () if options.tissue in TISSUES else (Path(options.tissue),)
    check_output(path, inputs=(*inputs, *read), overwrite=overwrite, may_exist=resume)
    return path


def roi_inputs(options: SegmentOptions, slide: Location) -> tuple[Path, ...]:
    """The file of a slide's regions, which no output may replace."""
    return (own_path(options.roi, slide),) if options.roi else ()


def _check_folder(output: Path, run: Path) -> None:
    """A folder that no run of ours made is spared."""
    if output.is_dir() and not run.is_dir():
        raise OutputExists(
            "a folder has the output's name, and the run that would have made it is not there",
            path=output,
            remedy="Remove it, or choose another output",
        )


def _unknown_ending(output: Path) -> UsageError:
    return UsageError(
        f"the output must end in {endings()}", path=output, remedy="Rename it, or give a folder"
    )
