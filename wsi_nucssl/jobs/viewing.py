"""`view`: a slide and its nuclei in a browser, in one call."""

from __future__ import annotations

import contextlib
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_nucssl.checks import whole
from wsi_nucssl.errors import Stopped
from wsi_nucssl.jobs.arguments import PathArgument, Paths, one_path, paths
from wsi_nucssl.locations import locate

if TYPE_CHECKING:
    from wsi_nucssl.viewer.exporting import OnProgress
    from wsi_nucssl.viewer.opening import OnNuclei, SlideChoice

_HIGHEST_PORT = 65535


def view(
    slide: PathArgument,
    nuclei: Paths = (),
    *,
    port: int = 0,
    browser: bool = True,
    choice: SlideChoice | None = None,
    anyway: bool = False,
    on_nuclei: OnNuclei = lambda _path, _count: None,
    on_url: Callable[[str], object] = lambda _url: None,
) -> None:
    """Serve a page that shows a slide and its nuclei, on this machine alone, until a signal ends it.

    Parameters
    ----------
    slide : str or Path
        A slide or image, a file or a URL.
    nuclei : str, Path or sequence of them
        None, one or two files of nuclei; two are compared.
    port : int
        Where to listen on 127.0.0.1; 0 takes a port that is free.
    browser : bool
        Open the page in the browser.
    choice : SlideChoice, optional
        How to open the slide.
    anyway : bool
        Show nuclei that were found on another slide.
    on_nuclei : OnNuclei
        Is told how far the conversion of a file is, the first time.
    on_url : callable
        Is told the page's address.

    Raises
    ------
    SlideError
        The slide cannot be read.
    InputError
        A file of nuclei cannot be read, or is of another slide.
    OutputError
        The port is taken.
    """
    from wsi_nucssl.viewer.opening import SlideChoice, open_site
    from wsi_nucssl.viewer.server import ViewerServer

    whole("port", port, 0, _HIGHEST_PORT)
    place, files = locate(slide, "slide"), paths("nuclei", nuclei)
    with open_site(place, files, choice=choice or SlideChoice(), anyway=anyway, on_nuclei=on_nuclei) as site:
        server = ViewerServer(site, port)
        try:
            with contextlib.suppress(KeyboardInterrupt, Stopped):  # this is how it ends
                on_url(server.url)
                if browser:
                    webbrowser.open(server.url)
                server.wait()
        finally:
            server.close()


def export_view(
    slide: PathArgument,
    nuclei: Paths,
    folder: PathArgument,
    *,
    choice: SlideChoice | None = None,
    anyway: bool = False,
    overwrite: bool = False,
    on_nuclei: OnNuclei = lambda _path, _count: None,
    on_progress: OnProgress = lambda _done, _total: None,
) -> int:
    """Write the page of `view` as a folder that any web server serves. Returns how many files there are.

    Parameters
    ----------
    slide : str or Path
        A slide or image, a file or a URL.
    nuclei : str, Path or sequence of them
        None, one or two files of nuclei; two are compared.
    folder : str or Path
        Where the page goes, whole or not at all.
    choice : SlideChoice, optional
        How to open the slide.
    anyway : bool
        Show nuclei that were found on another slide.
    overwrite : bool
        Replace a page that is there.
    on_nuclei : OnNuclei
        Is told how far the conversion of a file is, the first time.
    on_progress : OnProgress
        Is told how many files are written.

    Raises
    ------
    SlideError, InputError
        As for `view`.
    OutputExists
        Something is there that is not to be replaced.
    ResourceError
        The disk is full.
    """
    from wsi_nucssl.viewer.exporting import check_folder, write_site
    from wsi_nucssl.viewer.opening import SlideChoice, open_site

    place, files = locate(slide, "slide"), paths("nuclei", nuclei)
    target: Path = one_path("folder", folder)
    check_folder(target, inputs=[place, *files], overwrite=overwrite)
    with open_site(place, files, choice=choice or SlideChoice(), anyway=anyway, on_nuclei=on_nuclei) as site:
        return write_site(site, target, on_progress)
