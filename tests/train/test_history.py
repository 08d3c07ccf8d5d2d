"""What a run leaves to look at costs it little time, and is up to date at its end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import imagecodecs
import numpy as np
import pytest

from wsi_nucssl.errors import InputError
from wsi_nucssl.train import history as histories
from wsi_nucssl.train.history import History


def test_curves_are_drawn_at_first_and_at_last_and_seldom_between(tmp_path: Path) -> None:
    history, pictures = History(tmp_path), []
    for step, last in ((1, False), (2, False), (3, False), (4, True)):
        history.add({"step": step, "loss": 1 / step})
        history.show_curves((("loss",),), last=last)
        pictures.append(history.curves.read_bytes())
    assert pictures[0] == pictures[1] == pictures[2] != pictures[3]
    assert len(history.csv.read_text().splitlines()) == 5


def test_drawing_takes_a_twentieth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of curves that take two seconds to draw, the next are begun forty seconds later."""
    clock, drawn = [100.0], []

    class Slow(History):
        def _draw(self, _panels: object) -> None:
            drawn.append(clock[0])
            clock[0] += 2

        def _send_to_tensorboard(self) -> None:
            pass

    monkeypatch.setattr(histories, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    history = Slow(tmp_path)
    for moment in (100.0, 103.0, 141.0, 142.0, 183.5, 184.0, 184.5):
        clock[0] = moment
        history.show_curves((("loss",),), last=False)
    assert drawn == [100.0, 142.0, 184.0]
    history.show_curves((("loss",),), last=True)
    assert len(drawn) == 4


def test_curves_have_a_panel_for_each_group(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add({"step": 1, "loss": 0.5, "speed": 3})
    widths = []
    for panels in ((("loss",),), (("loss",), ("speed",), ("nothing",))):
        history.show_curves(panels, last=True)
        picture = imagecodecs.png_decode(history.curves.read_bytes())
        widths.append(picture.shape[1])
        assert picture.shape[0] == 418
    assert widths == [550, 1650]


def test_rows_are_read_back_as_they_were_written_up_to_the_step_that_was_saved(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add({"step": 10, "loss": 0.5, "left": -3})
    history.add({"step": 20, "loss": 2.0, "validation_aji": 0.25})
    history.add({"step": 30, "loss": -1.5e-7})
    assert history.csv.read_text() == (
        "step,loss,left,validation_aji\n10,0.5,-3,\n20,2.0,,0.25\n30,-1.5e-07,,\n"
    )
    for step, count in ((9, 0), (10, 1), (29, 2), (30, 3), (99, 3)):
        rows = History(tmp_path, step).rows
        assert rows == history.rows[:count]
    assert [type(value) for value in History(tmp_path, 30).rows[0].values()] == [int, float, int]
    before = history.csv.read_bytes()
    again = History(tmp_path, 20)
    again.add(history.rows[2])
    assert again.csv.read_bytes() == before
    assert History(tmp_path / "nothing").rows == []


@pytest.mark.parametrize(
    "content",
    [
        b"step,loss\nthree,1\n",  # no number
        b"loss\n1\n",  # no step
        b"step,loss\n1,2,3\n",  # more than is named
        b"step,loss\n1\n",  # less
        b"step,loss\n1,\xff\n",  # no text
        b"step,loss\n1," + b"9" * 140_000 + b"\n",  # more than a field may hold
    ],
)
def test_a_damaged_history_is_named_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"history\.csv.*`overwrite`"):
        History(tmp_path, 5)


def test_tensorboard_gets_every_row_and_picture_once(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    history = History(tmp_path)
    for step in (10, 20):
        history.add({"step": step, "loss": 1 / step})
        history.show("worst", np.full((4, 6, 3), step, np.uint8), step)
        history.show_curves((("loss",),), last=False)
    history.show_curves((("loss",),), last=False)
    events = EventAccumulator(str(history.events))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("loss")] == [
        (10, pytest.approx(0.1)),
        (20, pytest.approx(0.05)),
    ]
    pictures = events.Images("worst")
    assert [(each.step, each.height, each.width) for each in pictures] == [(10, 4, 6), (20, 4, 6)]
    decoded = imagecodecs.png_decode(pictures[1].encoded_image_string)
    assert decoded.shape == (4, 6, 3)
    assert (decoded == 20).all()
