"""The progress line: at most 60 columns, what is left of the whole batch, plain lines off a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from wsi_nucssl.batch import BatchStart
from wsi_nucssl.errors import OutputLocked, SlideError
from wsi_nucssl.locations import Location
from wsi_nucssl_cli import slide_display
from wsi_nucssl_cli.slide_display import SlideDisplay, TimeLeft, duration, progress_line


@given(
    st.sampled_from(["", "slide 3/30", "slide 12345/100000"]),
    st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=90),
    st.floats(0, 1),
    st.sampled_from([(), ("4.2 tiles/s",), ("12 tiles/s", "1234567 nuclei")]),
    st.none() | st.floats(0, 1e7),
    st.integers(46, 60),
)
def test_it_fits(
    place: str, name: str, fraction: float, remarks: tuple[str, ...], left: float | None, width: int
) -> None:
    line = progress_line(place, name, fraction, remarks, left, width)
    assert cell_len(line) <= width
    assert line.startswith(place)
    assert f"{fraction:.0%}" in line
    assert left is None or f"{duration(left)} left" in line


def test_what_it_says() -> None:
    assert progress_line("slide 3/30", "a.svs", 0.45, ["4.2 tiles/s"], 3900) == (
        "slide 3/30 · a.svs · 45% · 4.2 tiles/s · 1 h 05 min left"
    )
    assert progress_line("slide 3/30", "abcd.svs", 0.45, ["4.2 tiles/s", "1234 nuclei"], 7200) == (
        "slide 3/30 · abcd.svs · 45% · 4.2 tiles/s · 2 h 00 min left"
    )
    assert progress_line(
        "slide 3/30", "TCGA-CR-7395-01A-01-TS1.svs", 0.45, ["4.2 tiles/s", "12 nuclei"], 7200
    ) == ("slide 3/30 · TCGA-CR-739…-01-TS1.svs · 45% · 2 h 00 min left")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (360_000, "4 d 4 h"),
    ],
)
def test_spans_of_time(seconds: float, said: str) -> None:
    assert duration(seconds) == said


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_is_that_of_the_whole_batch() -> None:
    clock = Clock()
    a, b, c, early = (Path(f"{name}.svs") for name in ("a", "b", "c", "early"))
    left = TimeLeft({a: 100.0, b: 300.0, c: 200.0}, clock)
    left.begin(early)
    clock.now += 50  # checking what was done earlier tells nothing of the rest
    left.update(early, 1.0)
    left.end(early)
    left.begin(a)
    left.update(a, 0.0)
    assert left.seconds() is None
    clock.now += 10
    left.update(a, 0.5)
    assert left.seconds() == pytest.approx(10 / 50 * (50 + 500))
    clock.now += 10
    left.update(a, 1.0)
    left.end(a)
    clock.now += 1000  # nothing was in hand
    left.begin(b)
    left.update(b, 0.6)
    assert left.seconds() == pytest.approx(20 / 100 * (120 + 200))  # resumed at 60 %
    clock.now += 5
    left.update(b, 0.7)
    assert left.seconds() == pytest.approx(25 / 130 * (90 + 200))
    left.end(b)  # it failed there
    left.begin(c)
    left.update(c, 0.0)
    assert left.seconds() == pytest.approx(25 / 130 * 200)


def test_two_slides_at_a_time_take_half_the_time() -> None:
    clock = Clock()
    a, b, c = (Path(f"{name}.svs") for name in ("a", "b", "c"))
    left = TimeLeft({a: 100.0, b: 100.0, c: 100.0}, clock)
    for slide in (a, b):
        left.begin(slide)
        left.update(slide, 0.0)
    clock.now += 10
    for slide in (a, b):
        left.update(slide, 0.5)
    assert left.seconds() == pytest.approx(10 / 100 * 200)
    left.update(a, 1.0)
    left.end(a)
    assert left.seconds() == pytest.approx(10 / 150 * 150)


def test_plain_lines_off_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide_display, "_PLAIN_SECONDS", 0.0)
    slides: tuple[Location, ...] = (Path("a.svs"), Path("b.svs"), Path("c.svs"))
    display = SlideDisplay()
    display.start(BatchStart(slides, frozenset(slides[:1])))
    update = display.begin(slides[1])
    update(1, 4, "7 nuclei")
    display.fail(slides[1], SlideError("it is damaged", remedy="Give ⟨mpp⟩"))
    display.fail(slides[2], OutputLocked("another process is writing here"))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "1 done earlier, 2 to do",
        "slide 2/3 · b.svs · 25% · 7 nuclei",
        "b.svs: failed (it is damaged)",
        "c.svs: skipped (another process is writing here)",
    ]


def test_slides_of_one_name_are_told_apart() -> None:
    slides = (Path("s/a.svs"), Path("t/a.svs"), Path("t/b.svs"))
    display = SlideDisplay()
    display.start(BatchStart(slides))
    assert [display.name_of(slide) for slide in slides] == ["s/a.svs", "t/a.svs", "b.svs"]


def test_a_lone_slide_has_no_place(capsys: pytest.CaptureFixture[str]) -> None:
    display = SlideDisplay()
    display.start(BatchStart((Path("a.svs"),)))
    display.say("a.svs: 3 nuclei")
    SlideDisplay(only_json=True).say("a.svs: 3 nuclei")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("a.svs: 3 nuclei\n", "")
