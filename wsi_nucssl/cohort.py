"""Many slides, one after another: one that fails is reported and does not stop the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from wsi_nucssl.errors import (
    OutputLocked,
    ResourceError,
    SomeSlidesFailed,
    Stopped,
    UsageError,
    WsiNucsslError,
)
from wsi_nucssl.files import disk_error, safe_stem
from wsi_nucssl.locations import Location
from wsi_nucssl.runs import stop_requests
from wsi_nucssl.threads import prefetch, thread_pool

OnFailure = Callable[[Location, WsiNucsslError], None]


def for_each_slide(
    slides: Iterable[Location],
    job: Callable[[Location], None],
    on_failure: OnFailure,
    *,
    is_lone: bool | None = None,
    at_once: int = 1,
) -> None:
    """Run `job` on every slide.

    Whatever one slide raises is that slide's failure: an error of its own, memory that it alone asked for, or a bug,
    which is said to be one. One that another process is at work on is told to `on_failure`, and has not failed.

    Parameters
    ----------
    slides : iterable of Location
        The slides.
    job : callable
        What is to be done with each.
    on_failure : callable
        Is told of each failure when it happens.
    is_lone : bool, optional
        A slide that is the only one raises its own error; True by default where one is given.
    at_once : int
        How many slides are done at a time, in threads.

    Raises
    ------
    SomeSlidesFailed
        At the end, with every slide that failed, its error and the remedy; a lone slide's own error instead.
    ResourceError, Stopped
        At once, since they concern every slide.
    """
    slides = list(slides)
    is_lone = len(slides) == 1 if is_lone is None else is_lone

    def failure_of(slide: Location) -> str:
        """A line about it; "" if it did not fail."""
        try:
            job(slide)
        except (ResourceError, Stopped):
            raise
        except Exception as error:
            if is_lone:
                raise
            told = in_words(slide, error)
            on_failure(slide, told)
            if isinstance(error, OutputLocked):
                return ""
            return told.message if told.path else f"{slide}: {told.message}"
        return ""

    failed = [line for line in _of_all(failure_of, slides, at_once) if line]
    if failed:
        raise SomeSlidesFailed("\n  ".join([f"{len(failed)} of {len(slides)} slides failed:", *failed]))


def _of_all(job: Callable[[Location], str], slides: list[Location], at_once: int) -> list[str]:
    if at_once == 1 or len(slides) == 1:
        return [job(slide) for slide in slides]
    with stop_requests(), thread_pool(at_once) as pool:
        return [*prefetch(pool, at_once, job, slides)]


def in_words(slide: Location, error: Exception) -> WsiNucsslError:
    """Whatever ended a slide's work as an error of ours; what nobody foresaw says where it came from."""
    if isinstance(error, WsiNucsslError):
        return error
    if isinstance(error, MemoryError):
        return ResourceError(
            "memory ran out over this slide", path=str(slide), remedy="Run it alone, with fewer ⟨workers⟩"
        )
    if isinstance(error, OSError) and (known := disk_error(error, error.filename or str(slide))):
        return known
    place = traceback.extract_tb(error.__traceback__)[-1]
    return WsiNucsslError(
        f"this is a bug: {type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})",
        path=str(slide),
        remedy="Report it with the slide; the other slides go on",
    )


def outputs_in(
    directory: Path,
    slides: Iterable[Location],
    suffix: str,
    names: Mapping[Location, str] = MappingProxyType({}),
) -> dict[Location, Path]:
    """Each slide's output in `directory`: its name in `names`, else its stem, made safe as a file name, and `suffix`.

    Raises
    ------
    UsageError
        Two slides would write the same file.
    """
    outputs: dict[Location, Path] = {}
    for slide in slides:
        output = directory / f"{names.get(slide) or safe_stem(slide)}{suffix}"
        if output in outputs.values():
            raise UsageError(
                "two slides of this name would write the same file",
                path=str(slide),
                remedy="Run them apart, or name their outputs in a list (⟨slides⟩)",
            )
        outputs[slide] = output
    return outputs
