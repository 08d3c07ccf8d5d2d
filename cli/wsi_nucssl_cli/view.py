"""`wsi-nucssl view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_nucssl_cli.display import Meter, out, say_hello, say_line
from wsi_nucssl_cli.options import Focus, OneSlide, ReaderName, Scene


def view(
    slide: OneSlide,
    nuclei: Annotated[
        Path | None,
        typer.Argument(help="Its nuclei: what segment wrote, or GeoJSON of any program.", show_default=False),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="A second result: side by side, or what both or one have found.")
    ] = None,
    port: Annotated[
        int, typer.Option(help="Where to listen on 127.0.0.1.", min=0, max=65535, show_default="a free one")
    ] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address only.")] = False,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write the page as a folder for any web server instead.")
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm per level-0 px, for slides that do not say it.")
    ] = None,
    reader: ReaderName = "auto",
    scene: Scene = None,
    focus: Focus = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Show nuclei that are of another slide.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an exported page.")] = False,
) -> None:
    """Look at a slide and its nuclei in the browser."""
    say_hello("view", quiet=False)

    from wsi_nucssl.errors import UsageError
    from wsi_nucssl.jobs import viewing
    from wsi_nucssl.slide.part import PartChoice
    from wsi_nucssl.viewer.opening import SlideChoice

    if compare is not None and nuclei is None:
        raise UsageError("⟨compare⟩ needs a first result", remedy="Give the file of nuclei before it")
    files = [path for path in (nuclei, compare) if path is not None]
    choice = SlideChoice(reader, mpp, PartChoice(scene, focus))
    counter = _Counter()
    if export is None:
        viewing.view(
            slide,
            files,
            port=port,
            browser=not no_browser,
            choice=choice,
            anyway=anyway,
            on_nuclei=counter.update,
            on_url=_say_url,
        )
        return
    meter = Meter("export", "files")
    try:
        count = viewing.export_view(
            slide,
            files,
            export,
            choice=choice,
            anyway=anyway,
            overwrite=overwrite,
            on_nuclei=counter.update,
            on_progress=meter.update,
        )
    finally:
        meter.stop()
    out.print(f"{export}: {count} files. To look at it: python -m http.server -d {export}", markup=False)


class _Counter:
    """Says once in a while how many nuclei have been converted."""

    _EVERY = 100_000

    def __init__(self) -> None:
        self._next = self._EVERY

    def update(self, path: Path, count: int) -> None:
        """Say it, if there is something to say."""
        if count < self._next - self._EVERY:
            self._next = self._EVERY  # another file
        if count >= self._next:
            say_line(f"{path.name}: {count} nuclei made ready, which is done once")
            self._next = count - count % self._EVERY + self._EVERY


def _say_url(url: str) -> None:
    out.print(url, markup=False)
    say_line("The page is served for this machine alone. Ctrl-C ends it.")
