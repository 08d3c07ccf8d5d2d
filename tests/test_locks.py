"""One writer at a time: who holds a folder is said, and only who does not live here can be robbed of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from wsi_nucssl.errors import OutputLocked
from wsi_nucssl.locks import HOLDER, Holder, job_of, locked

BATCH_SYSTEMS = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SGE_TASK_ID", "LSB_JOBID", "PBS_JOBID", "OAR_JOB_ID")
ELSEWHERE = Holder("node07", 4242, "SLURM 991_3", "2026-01-02T03:04:05+00:00", 1.0)


@pytest.fixture(autouse=True)
def no_batch_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BATCH_SYSTEMS:
        monkeypatch.delenv(name, raising=False)


def leave_note(folder: Path, holder: Holder) -> None:
    folder.mkdir(exist_ok=True)
    (folder / HOLDER).write_text(holder.text())


@contextmanager
def held_by_another(folder: Path) -> Iterator[None]:
    """A process holds the folder, and is killed when the context ends."""
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom wsi_nucssl.locks import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.kill()


def test_the_message_says_who_holds_it_since_when_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    with locked(tmp_path), pytest.raises(OutputLocked) as caught, locked(tmp_path):
        raise AssertionError
    for part in (f"process {os.getpid()} on {socket.gethostname()}", "job SLURM 77", "since 20", "+00:00"):
        assert part in caught.value.what
    assert f"kill {os.getpid()}" in str(caught.value.remedy)
    assert not (tmp_path / HOLDER).exists()


def test_no_lock_is_taken_from_a_process_that_lives_here(tmp_path: Path) -> None:
    with (
        held_by_another(tmp_path),
        pytest.raises(OutputLocked, match="takes no lock from a process that lives"),
        locked(tmp_path, break_lock=True),
    ):
        raise AssertionError
    with locked(tmp_path):  # its lock ended with it, and its note is no obstacle
        mine = Holder.of(tmp_path)
        assert mine is not None
        assert mine.pid == os.getpid()


def test_what_another_host_holds_is_taken_only_when_asked(tmp_path: Path) -> None:
    leave_note(tmp_path, ELSEWHERE)
    for _ in range(2):
        with pytest.raises(OutputLocked) as caught, locked(tmp_path, break_lock=False):
            raise AssertionError
        assert str(ELSEWHERE) in caught.value.what
        assert "⟨break_lock⟩" in str(caught.value.remedy)
    with locked(tmp_path, break_lock=True):
        assert Holder.of(tmp_path) != ELSEWHERE
    with locked(tmp_path):
        pass


def test_a_lock_that_a_host_took_with_it_is_replaced(tmp_path: Path) -> None:
    """As NFS keeps the lock of a client that is gone: the system's lock stays taken."""
    with held_by_another(tmp_path):
        leave_note(tmp_path, ELSEWHERE)
        with pytest.raises(OutputLocked, match="node07"), locked(tmp_path):
            raise AssertionError
        with (
            locked(tmp_path, break_lock=True),
            pytest.raises(OutputLocked, match=str(os.getpid())),
            locked(tmp_path, break_lock=True),
        ):
            raise AssertionError


def test_a_command_that_cannot_be_asked_to_break_a_lock_heeds_the_systems_alone(tmp_path: Path) -> None:
    leave_note(tmp_path, ELSEWHERE)
    with locked(tmp_path), pytest.raises(OutputLocked) as caught, locked(tmp_path):
        raise AssertionError
    assert "break_lock" not in str(caught.value.remedy)


def test_who_was_robbed_leaves_the_note_of_the_new_holder(tmp_path: Path) -> None:
    with locked(tmp_path):
        leave_note(tmp_path, ELSEWHERE)
    assert Holder.of(tmp_path) == ELSEWHERE


def test_a_job_that_its_batch_system_begins_again_on_another_host_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_note(tmp_path, ELSEWHERE)
    monkeypatch.setenv("SLURM_JOB_ID", "994")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "991")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    with pytest.raises(OutputLocked), locked(tmp_path, break_lock=False):
        raise AssertionError
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with locked(tmp_path, break_lock=False):
        pass


@pytest.mark.parametrize("note", ["", "{", "[]", '{"host": 1}', "null", "\0" * 40])
def test_a_damaged_note_is_none(tmp_path: Path, note: str) -> None:
    (tmp_path / HOLDER).write_text(note)
    with locked(tmp_path):
        assert Holder.of(tmp_path) is not None


def test_a_number_that_was_given_to_another_process_is_not_the_holder() -> None:
    here = Holder.here()
    assert here.lives_here
    assert not replace(here, started=here.started - 100).lives_here
    assert not replace(here, host="node07").lives_here
    assert not replace(here, pid=2**30).lives_here


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "5"}, "SLURM 5"),
        ({"SLURM_JOB_ID": "5", "SLURM_ARRAY_JOB_ID": "4", "SLURM_ARRAY_TASK_ID": "1"}, "SLURM 4_1"),
        ({"SLURM_JOB_ID": "5", "SLURM_PROCID": "2"}, "SLURM 5 process 2"),
        ({"JOB_ID": "8", "SGE_TASK_ID": "undefined"}, "SGE 8"),
        ({"JOB_ID": "8", "SGE_TASK_ID": "3"}, "SGE 8.3"),
        ({"JOB_ID": "8"}, ""),
        ({"LSB_JOBID": "9", "LSB_JOBINDEX": "0"}, "LSF 9"),
        ({"LSB_JOBID": "9", "LSB_JOBINDEX": "4"}, "LSF 9[4]"),
        ({"PBS_JOBID": "12.head"}, "PBS 12.head"),
    ],
)
def test_jobs_of_batch_systems_are_named(environment: dict[str, str], job: str) -> None:
    assert job_of(environment) == job
