"""`export`: a file of nuclei into other formats, in one call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson

from wsi_nucssl.errors import InputError, OutputExists
from wsi_nucssl.jobs.arguments import PathArgument, Paths, one_path, paths


def export(
    source: PathArgument,
    output: Paths,
    *,
    slide: PathArgument | None = None,
    min_area_um2: float = 0.0,
    min_probability: float = 0.0,
    overwrite: bool = False,
) -> int:
    """Write the nuclei of a file of this package in other formats, as `wsi-nucssl export` does.

    No network is needed, and the slide for DICOM alone. Tables are read and written a few thousand nuclei at a time,
    to all outputs in one pass; ids, outlines and measurements are those of the file, and what it says of its origin.

    Parameters
    ----------
    source : str or Path
        What this package wrote in a format that holds outlines: all but .csv and label images.
    output : str, Path or sequence of them
        Files or folders whose endings name their formats, such as .csv, .parquet or .zarr.
    slide : str or Path, optional
        The slide that the nuclei are of, for formats that refer to it: DICOM annotations.
    min_area_um2, min_probability : float
        Least area and least mean P(nucleus) of a nucleus that is written; all by default.
    overwrite : bool
        Replace outputs that are there.

    Returns
    -------
    int
        How many nuclei were written.

    Raises
    ------
    InputError
        The file cannot be read, or another program wrote it; or its nuclei are of another slide.
    UsageError
        An output has another ending, or its format is not for the slide.
    OutputExists
        An output is there, is the source itself, or something else has its name.
    OutputError
        A place takes no files.
    ResourceError
        The disk is full.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> wn.export("nuclei.geojson", ["nuclei.parquet", "nuclei.csv"])  # doctest: +SKIP
    """
    from wsi_nucssl.export.base import export as run
    from wsi_nucssl.export.registry import EXPORTERS
    from wsi_nucssl.export.selection import Selection
    from wsi_nucssl.export.stored import read_stored
    from wsi_nucssl.outputs import check_output
    from wsi_nucssl.segment.outputs import ordered
    from wsi_nucssl.slide import identity

    selection = Selection(min_area_um2, min_probability)
    read_from = one_path("source", source)
    exporters = {path: EXPORTERS.get(name) for path, name in ordered(paths("output", output)).items()}
    of = None if slide is None else one_path("slide", slide)
    inputs = [read_from] if of is None else [read_from, of]
    for path, exporter in exporters.items():
        exporter.check(of)
        check_output(path, inputs=inputs, overwrite=overwrite, is_folder=exporter.is_folder)
        _spare(path)
    context, tables = read_stored(read_from)
    if of is not None and identity(of) != context.identity:
        raise InputError(
            "its nuclei were found on another slide",
            path=read_from,
            remedy="Give the ⟨slide⟩ that they are of",
        )
    context = replace(context, header={**context.header, **selection.header()}, slide=of)
    return run(exporters, selection.of(tables, context), context)


def _spare(output: Path) -> None:
    """A folder is replaced only if it is an output of this package."""
    if output.is_dir() and not _is_ours(output):
        raise OutputExists(
            "a folder that this package did not write has the output's name",
            path=output,
            remedy="Remove it, or choose another output",
        )


def _is_ours(folder: Path) -> bool:
    """True of a label image, and of SpatialData, that `export` wrote."""
    try:
        attributes = orjson.loads((folder / "zarr.json").read_bytes())["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return "wsi_nucssl" in attributes and any(
        (folder / kind / "nuclei" / "zarr.json").is_file() for kind in ("labels", "shapes")
    )
