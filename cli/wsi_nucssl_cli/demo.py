"""`wsi-nucssl demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_nucssl_cli.display import Meter, out, say_hello, say_line

if TYPE_CHECKING:
    from wsi_nucssl.segment.executor import SlideProgress

_NEXT = """
What to do next, with a slide of yours:
  wsi-nucssl plan SLIDE                       whether it can be read, and what it will cost
  wsi-nucssl segment SLIDE -o nuclei.geojson  its nuclei, for QuPath, and a page about them
  wsi-nucssl view SLIDE nuclei.geojson        both in the browser
"""


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the slide and what is found go.")] = Path("demo"),
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Write the files only, and open no viewer.")
    ] = False,
) -> None:
    """See it work on the sample slide, in under a minute. Segments it, writes a page about it, opens the viewer."""
    say_hello("demo", quiet=False)
    say_line(
        "The first run on a machine compiles for half a minute, at first and after the last window; later ones do not."
    )

    from wsi_nucssl.jobs.demonstrating import demo as demonstrate
    from wsi_nucssl.jobs.viewing import view

    meter = Meter("segment", "windows")

    def show(progress: SlideProgress) -> None:
        meter.update(progress.windows_done, progress.windows)

    try:
        made = demonstrate(folder, on_progress=show)
    finally:
        meter.stop()
    out.print(
        f"{made.summary.nuclei} nuclei on {made.slide}, a slide that our own generator drew", markup=False
    )
    out.print(f"  {made.nuclei}  drag it onto the slide in QuPath", markup=False)
    out.print(f"  {made.report}  open it in a browser", markup=False)
    out.print(_NEXT, markup=False)
    if not no_browser:
        view(made.slide, made.nuclei, on_url=_say_url)


def _say_url(url: str) -> None:
    out.print(url, markup=False)
    say_line("The viewer, for this machine alone. Ctrl-C ends it.")
