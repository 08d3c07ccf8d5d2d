"""Run directories: made, resumed, refused, replaced; and signals that wait for a good moment."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import OutputError, OutputExists, RunMismatch, Stopped, UsageError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.locks import HOLDER, LOCK
from wsi_nucssl.runs import MANIFEST, digest, run_directory, stop_requests

values = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.floats(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
manifests = st.dictionaries(st.text(max_size=4), values, max_size=4)


def work(
    path: Path,
    manifest: dict[str, Any],
    name: str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
) -> set[str]:
    """Leave a file `name` in the run; returns what was there before."""
    with run_directory(path, manifest, resume=resume, overwrite=overwrite, inputs=inputs) as run:
        before = {entry.name for entry in run.iterdir()} - {MANIFEST, LOCK, HOLDER}
        write_atomic(run / name, "done")
    return before


@settings(max_examples=25, deadline=None)
@given(manifests, manifests)
def test_only_the_same_manifest_resumes(
    tmp_path_factory: pytest.TempPathFactory, was: dict[str, Any], now: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("run") / "run"
    work(path, was, "a")
    assert work(path, dict(reversed(was.items())), "b", resume=True) == {"a"}
    assert digest(was) == digest(dict(reversed(was.items())))
    if was == now:
        assert work(path, now, "c", resume=True) == {"a", "b"}
        return
    with pytest.raises(RunMismatch) as caught:
        work(path, now, "c", resume=True)
    for key in {*was, *now}:
        if was.get(key) != now.get(key):
            sections = isinstance(was.get(key), dict) and isinstance(now.get(key), dict)
            assert (f"{key}." if sections else f"{key}: was ") in caught.value.what
    assert work(path, now, "c", overwrite=True) == set()


def test_what_is_there_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "run"
    work(path, {"a": 1}, "one")
    with pytest.raises(OutputExists, match="`resume`"):
        work(path, {"a": 1}, "two")
    assert not (path / "two").exists()
    with pytest.raises(UsageError, match="either"):
        work(path, {"a": 1}, "two", resume=True, overwrite=True)
    assert work(path, {"a": 1}, "two", resume=True) == {"one"}


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path, how: dict[str, Any]) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputExists, match="no run"):
        work(tmp_path, {}, "a", **how)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_somebody_elses_manifest_protects_its_folder(tmp_path: Path, how: dict[str, Any]) -> None:
    (tmp_path / MANIFEST).write_text('{"image-1": {"nuclei": 480}}')
    (tmp_path / "images").mkdir()
    with pytest.raises(RunMismatch if "resume" in how else OutputExists):
        work(tmp_path, {}, "a", **how)
    assert (tmp_path / "images").is_dir()


def test_a_writer_killed_before_its_manifest_was_whole(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / f".{MANIFEST}.0123abcd.partial").write_text("{")
    assert work(tmp_path, {"a": 1}, "one", resume=True) == set()


def test_a_writer_killed_while_it_emptied_an_old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        work(tmp_path, {"old": 1}, name, resume=name != "a")
    unlink, left = Path.unlink, [2]

    def die(path: Path, missing_ok: bool = False) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            work(tmp_path, {"new": 1}, "d", overwrite=True)
    assert work(tmp_path, {"new": 1}, "d", overwrite=True) == set()


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "3"])
def test_a_damaged_manifest(tmp_path: Path, content: str) -> None:
    work(tmp_path, {"a": 1}, "one")
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(OutputError, match="damaged"):
        work(tmp_path, {"a": 1}, "two", resume=True)
    with pytest.raises(OutputExists, match="no run"):  # whose it was, nobody knows
        work(tmp_path, {"a": 1}, "two", overwrite=True)
    assert (tmp_path / "one").exists()


def test_a_folder_where_the_manifest_should_be(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(OutputError, match="damaged"):
        work(tmp_path, {}, "a", resume=True)
    with pytest.raises(OutputExists, match="no run"):
        work(tmp_path, {}, "a", overwrite=True)


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_whose_folder_is_removed_under_it_goes_on_another_time(tmp_path: Path, fails: bool) -> None:
    """What is made anew after that is no run without a manifest, which nobody could resume."""
    path = tmp_path / "run"

    def work() -> None:
        with run_directory(path, {"a": 1}, resume=True, overwrite=False) as run:
            shutil.rmtree(path)
            (run / "blocks").mkdir(parents=True)
            (run / "blocks" / "0").write_text("made after it")
            if fails:
                raise OutputError("the folder is gone")

    if fails:
        with pytest.raises(OutputError, match="gone"):
            work()
    else:
        work()
    with run_directory(path, {"a": 1}, resume=True, overwrite=False) as run:
        assert (run / "blocks").exists() is not fails


def test_what_a_run_reads_is_not_emptied_with_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    work(run, {}, "one")
    for within in (run, run / "images", run / "images" / "x.png"):
        with pytest.raises(OutputExists, match=r"is an input|would be replaced"):
            work(run, {}, "two", overwrite=True, inputs=[tmp_path / "elsewhere", within])
    assert (run / "one").exists()
    work(run, {}, "two", overwrite=True, inputs=[tmp_path, tmp_path / "run-2"])


def test_what_differs_is_named_in_a_line(tmp_path: Path) -> None:
    was: dict[str, Any] = {
        "recipe": {"loss": {"dice": 1.0}, "epochs": 3},
        "split": [{"id": str(n)} for n in range(99)],
    }
    now = {"recipe": {"loss": {"dice": 2.0}, "epochs": 3}, "split": was["split"][1:]}
    work(tmp_path, was, "one")
    with pytest.raises(RunMismatch) as caught:
        work(tmp_path, now, "two", resume=True)
    assert "(recipe.loss.dice: was 1.0, now 2.0; split: was something else)" in caught.value.what


@pytest.mark.parametrize(("was", "now"), [({}, {"a": None}), ({"s": {}}, {"s": {"a": None}})])
def test_what_is_absent_is_not_the_same_as_nothing(
    tmp_path: Path, was: dict[str, Any], now: dict[str, Any]
) -> None:
    work(tmp_path, was, "one")
    with pytest.raises(RunMismatch, match=r"a: was 'absent', now None"):
        work(tmp_path, now, "two", resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_next_check(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    reached = 0

    def loop() -> None:
        nonlocal reached
        with stop_requests() as stop:
            stop.check()
            os.kill(os.getpid(), number)
            reached = stop.signal
            stop.check()

    with pytest.raises(Stopped) as caught:
        loop()
    assert reached == number
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_a_signal_after_the_last_check_is_not_lost() -> None:
    with pytest.raises(Stopped), stop_requests():
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_error_is_not_hidden_by_a_signal() -> None:
    def fail() -> None:
        with stop_requests():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_other_threads_have_no_signals() -> None:
    seen: list[int] = []

    def job() -> None:
        with stop_requests() as stop:
            seen.append(stop.signal)

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert seen == [0]
