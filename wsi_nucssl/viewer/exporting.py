"""The page as a folder that any web server serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from wsi_nucssl.errors import OutputExists
from wsi_nucssl.files import atomic_path
from wsi_nucssl.locations import Location
from wsi_nucssl.outputs import check_output
from wsi_nucssl.viewer.sites import PAGE, VIEW, Site

OnProgress = Callable[[int, int], object]
"""Is told how many files are written of how many."""


def check_folder(folder: Path, *, inputs: Iterable[Location], overwrite: bool) -> None:
    """See that the page may be written there, before any work begins.

    Raises
    ------
    OutputExists
        Something is there that is not to be replaced.
    OutputError
        The place takes no files.
    """
    check_output(folder, inputs=inputs, overwrite=overwrite, is_folder=True)
    if (
        folder.is_dir()
        and any(folder.iterdir())
        and not all((folder / name).is_file() for name in (PAGE, VIEW))
    ):
        raise OutputExists(
            "a folder that is no exported page has the output's name",
            path=folder,
            remedy="Remove it, or choose another output",
        )


def write_site(site: Site, folder: Path, on_progress: OnProgress = lambda _done, _total: None) -> int:
    """Write all files of a page, whole or not at all. Returns how many.

    Parameters
    ----------
    site : Site
        The page.
    folder : Path
        Where; what is there is replaced.
    on_progress : OnProgress
        Is told again and again how far it is.

    Raises
    ------
    SlideError
        The slide cannot be read.
    ResourceError
        The disk is full.
    """
    paths = [*site.paths()]
    with atomic_path(folder) as partial:
        for done, path in enumerate(paths):
            _write(site, path, partial / path)
            on_progress(done + 1, len(paths))
    return len(paths)


def _write(site: Site, path: str, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    content = site.get(path)
    if isinstance(content, Path):
        shutil.copyfile(content, place)
    elif content is not None:
        place.write_bytes(content)
