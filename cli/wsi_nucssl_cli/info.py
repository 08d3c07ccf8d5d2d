"""`wsi-nucssl info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from wsi_nucssl_cli.display import out
from wsi_nucssl_cli.options import Focus, ForceMpp, OneSlide, ReaderName, Scene

if TYPE_CHECKING:
    from wsi_nucssl.slide import RGB, SlideInfo


def info(
    slide: OneSlide,
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of level 0, where the slide does not say it.")
    ] = None,
    force_mpp: ForceMpp = False,
    scene: Scene = None,
    focus: Focus = None,
    model_mpp: Annotated[float, typer.Option(help="µm per px to count tiles at.")] = 0.25,
    reader: ReaderName = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    thumbnail: Annotated[
        Path | None, typer.Option(help="Write the thumbnail with the tissue mask to this picture.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a thumbnail that is there.")
    ] = False,
) -> None:
    """Show a slide's size, levels, resolution, tissue."""
    from wsi_nucssl.locations import locate
    from wsi_nucssl.outputs import check_output
    from wsi_nucssl.pictures import encoder_of
    from wsi_nucssl.slide import describe, open_slide, thumbnail_with_mask, tissue_mask

    if thumbnail is not None:
        check_output(thumbnail, inputs=(locate(slide),), overwrite=overwrite)
        encoder_of(thumbnail)
    with open_slide(slide, reader=reader, mpp=mpp, force_mpp=force_mpp, scene=scene, focus=focus) as opened:
        tissue = tissue_mask(opened)
        facts = describe(opened, model_mpp, mask=tissue)
        if thumbnail is not None:
            _write_picture(thumbnail, thumbnail_with_mask(opened, tissue))
    if as_json:
        typer.echo(json.dumps(facts.to_dict(), indent=2))
    else:
        out.print(_table(facts))


def _write_picture(path: Path, image: RGB) -> None:
    from wsi_nucssl.files import write_atomic
    from wsi_nucssl.pictures import encoder_of

    write_atomic(path, encoder_of(path)(image))


def _parts(facts: SlideInfo) -> dict[str, str]:
    """Rows for a file that holds several scenes or focus planes; the one that is meant is marked."""
    rows = {}
    if len(facts.scenes) > 1:
        rows["scenes"] = "\n".join(
            f"{number}: {name or 'without a name'}{' (this one)' if number == facts.scene else ''}"
            for number, name in enumerate(facts.scenes)
        )
    if facts.focus_planes > 1:
        rows["focus"] = f"plane {facts.focus} of {facts.focus_planes}, counted from 0"
    return rows


def _table(facts: SlideInfo) -> Table:
    unknown = "unknown: give --mpp"
    x, y, width, height = facts.bounds_l0
    rows = {
        "slide": facts.path,
        "vendor": f"{facts.vendor} (read by {facts.reader})",
        "size": f"{facts.width} × {facts.height} px",
        "levels": "\n".join(f"{lv.width} × {lv.height}  1/{lv.downsample:.4g}" for lv in facts.levels),
        "mpp": f"{facts.mpp_x:.4g} × {facts.mpp_y:.4g} µm ({facts.mpp_source})" if facts.mpp_x else unknown,
        **_parts(facts),
        "bounds": f"{width} × {height} px at ({x}, {y})",
        "associated": ", ".join(facts.associated_images) or "none",
        "ICC profile": f"{facts.icc_profile}, not applied" if facts.icc_profile else "none",
        "tissue": f"{facts.tissue_fraction:.1%}"
        + (f", {facts.tissue_mm2:.2f} mm²" if facts.tissue_mm2 else ""),
        "tiles": unknown
        if facts.tiles is None
        else f"{facts.tiles} of 1000 px at {facts.model_mpp} µm per px",
        "identity": facts.identity,
    }
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    return table
