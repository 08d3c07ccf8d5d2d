"""Many slides: whatever one of them raises, the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsi_nucssl.batch import Batch, Outcome
from wsi_nucssl.cohort import for_each_slide
from wsi_nucssl.errors import (
    OutputLocked,
    ResourceError,
    SlideError,
    SomeSlidesFailed,
    Stopped,
    UsageError,
    WsiNucsslError,
)
from wsi_nucssl.ledger import Ledger
from wsi_nucssl.locations import Location

SLIDES = [Path("a.svs"), Path("b.svs"), Path("c.svs")]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SlideError("it is damaged", path="b.svs"), "b.svs: it is damaged"),
        (UsageError("this slide is too small"), "too small"),
        (ResourceWarning("no error of ours"), "this is a bug: ResourceWarning"),
        (
            ZeroDivisionError("division by zero"),
            r"b.svs: this is a bug: ZeroDivisionError: .*test_cohort.py, line",
        ),
        (MemoryError(), "b.svs: memory ran out over this slide"),
        (RecursionError("too deep"), "this is a bug: RecursionError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_one_slide_that_raises_anything_is_reported_and_the_others_go_on(error: Exception, says: str) -> None:
    done: list[Location] = []
    told: list[tuple[Location, WsiNucsslError]] = []

    def job(slide: Location) -> None:
        if slide == SLIDES[1]:
            raise error
        done.append(slide)

    with pytest.raises(SomeSlidesFailed, match=r"1 of 3 slides failed:\n  .*b\.svs"):
        for_each_slide(SLIDES, job, lambda slide, found: told.append((slide, found)))
    assert done == [SLIDES[0], SLIDES[2]]
    assert [slide for slide, _ in told] == [SLIDES[1]]
    with pytest.raises(WsiNucsslError, match=says):
        raise told[0][1]


def test_one_that_another_process_works_on_has_not_failed() -> None:
    told: list[Location] = []

    def job(slide: Location) -> None:
        if slide == SLIDES[1]:
            raise OutputLocked("another process is writing here", path="out")

    for_each_slide(SLIDES, job, lambda slide, _: told.append(slide))
    assert told == SLIDES[1:2]


def test_failures_are_listed_with_error_and_remedy() -> None:
    def job(slide: Location) -> None:
        raise SlideError(f"{slide.stem} is damaged", path=str(slide), remedy="Scan it again with ⟨mpp⟩")

    with pytest.raises(SomeSlidesFailed) as failed:
        for_each_slide(SLIDES[:1], job, lambda *_: None, is_lone=False)
    assert failed.value.message.splitlines() == [
        "1 of 1 slides failed:",
        "  a.svs: a is damaged. Scan it again with ⟨mpp⟩",
    ]


@pytest.mark.parametrize("error", [ResourceError("the disk is full"), Stopped(15), KeyboardInterrupt()])
def test_what_concerns_every_slide_ends_the_batch_at_once(error: BaseException) -> None:
    asked: list[Location] = []

    def job(slide: Location) -> None:
        asked.append(slide)
        raise error

    with pytest.raises(type(error)):
        for_each_slide(SLIDES, job, lambda *_: None)
    assert asked == SLIDES[:1]


def test_a_lone_slide_raises_its_own_error() -> None:
    def job(_: Location) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        for_each_slide(SLIDES[:1], job, lambda *_: None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "memory ran out over this slide"),
        (OSError(36, "File name too long", "a.geojson"), "cannot be written"),
        (ZeroDivisionError("by nought"), "this is a bug: ZeroDivisionError: by nought"),
    ],
)
def test_a_ledger_says_what_the_terminal_says(error: Exception, said: str, tmp_path: Path) -> None:
    def failing() -> None:
        raise error

    ledger, slide = Ledger(tmp_path), Path("a.svs")
    batch = Batch({slide: tmp_path / "a.geojson"}, ledger)
    batch.start()
    with pytest.raises(type(error)):
        batch.keep(slide, failing, lambda _: Outcome(), "")
    row = ledger.rows()["a.geojson"]
    assert (row.state, row.error[: len(said)]) == ("failed", said)
    assert row.remedy
