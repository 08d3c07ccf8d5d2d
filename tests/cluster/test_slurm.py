"""A real SLURM of one node, which the tests start: `pytest -m slow tests/cluster/test_slurm.py`.

Debian has it: `apt install slurm-wlm munge`.
"""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cluster.outer import ROOT, Outer, end, until
from tests.cluster.test_outer_cluster import HEAD, begun
from wsi_nucssl.files import sha256_file

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel")
CONFIG = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, NEEDED)) or os.geteuid() != 0, reason="needs SLURM, and to be root"
    ),
]


@dataclass(frozen=True)
class Slurm:
    """A batch system that is running."""

    env: dict[str, str]

    def run(self, *words: object) -> str:
        """What one of its commands prints."""
        done = subprocess.run([*map(str, words)], env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def jobs(self) -> list[str]:
        """Those that are waiting or running."""
        return self.run("squeue", "--noheader", "--array", "--format=%i").split()


@pytest.fixture
def slurm(outer: Outer) -> Iterator[Slurm]:
    """A controller and a node, with keys, ports and folders of their own; whoever runs in `outer` finds them."""
    with TemporaryDirectory(prefix="slurm-") as short:  # the path of a socket is short
        folder, ports = Path(short), [_free_port(), _free_port()]
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        node = {"host": socket.gethostname(), "user": "root", "cores": os.cpu_count()}
        (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, ports=ports, **node))
        slurm = Slurm({**outer.env, "SLURM_CONF": str(folder / "slurm.conf")})
        outer.env.update(SLURM_CONF=slurm.env["SLURM_CONF"])
        places = {"key": key, "socket": folder / "munge.socket", "seed": folder / "munge.seed"}
        files = [f"--{name}-file={place}" for name, place in places.items() if name != "socket"]
        log = [f"--log-file={folder}/munge.log", f"--pid-file={folder}/munge.pid"]
        started = [
            subprocess.Popen(words, env=slurm.env, stderr=subprocess.DEVNULL, start_new_session=True)
            for words in (
                ["munged", "--foreground", "--force", *files, f"--socket={places['socket']}", *log],
                ["slurmctld", "-D", "-L", f"{folder}/slurmctld.log"],
                ["slurmd", "-D", "-L", f"{folder}/slurmd.log"],
            )
        ]
        try:
            until(lambda: _answer(slurm, "sinfo", "--noheader", "--format=%T") in ("idle", "mixed"))
            yield slurm
        finally:
            _answer(slurm, "scancel", "--user=root")
            until(lambda: not _answer(slurm, "squeue", "--noheader"))
            for process in reversed(started):
                end(process)


def _answer(slurm: Slurm, *words: str) -> str:
    return subprocess.run(words, env=slurm.env, capture_output=True, text=True, check=False).stdout.strip()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_jobs_that_are_killed_are_submitted_again(
    slurm: Slurm, outer: Outer, slide: Path, plain: str, troubles: Path, tmp_path: Path
) -> None:
    (troubles / "slow").write_text("0.5")
    output, described = tmp_path / "a.geojson", tmp_path / "jobqueue.yaml"
    smaller = {"cores: 4": "cores: 1", "processes: 4": "processes: 1", "memory: 8GB": "memory: 1GB"}
    logs = {"queue: null": f"queue: null\n    log-directory: {tmp_path}"}
    described.write_text(_with("jobqueue.yaml", smaller | logs))
    head = outer.head(*HEAD, slide, "-o", output, "--cluster", "slurm:2", DASK_CONFIG=str(described))
    until(begun(output), 90)
    first = slurm.jobs()
    assert len(first) == 2
    slurm.run("scancel", "--signal=KILL", "--full", *first)
    assert head.wait(180) == 0, outer.said("head")
    assert sha256_file(output) == plain
    until(lambda: not slurm.jobs())
    last = int(slurm.run("sbatch", "--parsable", "--wrap=true", f"--output={tmp_path}/last"))
    assert last > int(max(first, key=int)) + 2


def test_a_job_of_an_array_that_is_requeued_goes_on(slurm: Slurm, tmp_path: Path) -> None:
    """Its batch system begins it again under its number, and nobody has to be asked about its lock."""
    slides, results = tmp_path / "slides", tmp_path / "results"
    slides.mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(ROOT / "sample_slides" / "sample.svs", slides / f"{name}.svs")
    script = tmp_path / "array.sh"
    smaller = {"--array=1-8": "--array=1-2", "--cpus-per-task=4": "--cpus-per-task=1", "--mem=6G": "--mem=2G"}
    script.write_text(_with("slurm_array.sh", smaller))
    slurm.env["PATH"] = f"{Path(sys.executable).parent}:{slurm.env['PATH']}"
    logs = tmp_path / "job-%a.log"
    array = slurm.run(
        "sbatch", "--parsable", "--requeue", "--open-mode=append", f"--output={logs}", script, slides, results
    )
    until(lambda: _ledger(results).count("running"), 90)
    slurm.run("scontrol", "requeue", f"{array}_1")
    until(lambda: _is_over(slurm, f"{array}_1"), 180)
    said = "".join(each.read_text() for each in sorted(tmp_path.glob("job-*.log")))
    assert _ledger(results) == ["done"] * 3, said
    assert "DUE TO JOB REQUEUE" in said
    assert "another process" not in said
    assert {each.name for each in results.glob("*.geojson")} == {"a.geojson", "b.geojson", "c.geojson"}


def _with(name: str, changes: dict[str, str]) -> str:
    """A file of docs/cluster with some words changed, each of which it has once."""
    text = (ROOT / "docs" / "cluster" / name).read_text()
    for what, instead in changes.items():
        assert text.count(what) == 1, what
        text = text.replace(what, instead)
    return text


def _ledger(results: Path) -> list[str]:
    """The states of its slides."""
    table = results / "batch.csv"
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return [row["state"] for row in csv.DictReader(file)]


def _is_over(slurm: Slurm, requeued: str) -> bool:
    """Whether no job is left; SLURM would have one that was requeued wait for two minutes."""
    time.sleep(0.5)
    _answer(slurm, "scontrol", "update", f"JobId={requeued}", "StartTime=now")
    return not slurm.jobs()
