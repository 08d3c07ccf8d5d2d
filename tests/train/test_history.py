"""What a run leaves to look at costs it little time, and is up to date at its end."""

from __future__ import annotations

from pathlib import Path

from wsi_nucssl.train.history import History


def test_curves_are_drawn_at_first_and_at_last_and_seldom_between(tmp_path: Path) -> None:
    history, pictures = History(tmp_path), []
    for step, last in ((1, False), (2, False), (3, False), (4, True)):
        history.add({"step": step, "loss": 1 / step})
        history.show_curves((("loss",),), last=last)
        pictures.append(history.curves.read_bytes())
    assert pictures[0] == pictures[1] == pictures[2] != pictures[3]
    assert len(history.csv.read_text().splitlines()) == 5
