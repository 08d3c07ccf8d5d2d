"""A process that has everything imported and forks a command line for each request: cheap enough to be killed often.

Reads a JSON object a line: `argv` of the command, `log` for what it prints, `seconds` that the engine double takes
for each batch, `largest_file` in bytes, beyond which the disk counts as full, and variables of its `environment`.
Answers with the child's process id, then its exit status (negative: the signal that ended it), and waits for a line
that says thanks.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from tests.segment.fakes import DarkIsNucleus
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.segment.plan import Plan, make_plan
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.slide import Canvas, TissueMask, open_slide, tissue_mask
from wsi_nucssl_cli import app

CORE, BLOCK = 192, 256
"""Small windows and blocks, so that there are many places to die at."""


def _run(request: dict[str, Any]) -> None:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    if "largest_file" in request:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], -1))
    os.environ.update(request.get("environment", {}))
    engine = DarkIsNucleus(request.get("seconds", 0.0))
    sys.argv = ["wsi-nucssl", *request["argv"]]
    app.main(Steps(open_engine=lambda *_: engine, make_plan=_small_plan))


def _small_plan(canvas: Canvas, tissue: TissueMask, **how: Any) -> Plan:
    return make_plan(canvas, tissue, **{**how, "core": CORE, "block_px": BLOCK})


def _fork(request: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _run(request)
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else bool(end.code))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _warm_up(slide: Path) -> None:
    """Have all compiled code loaded, without starting a thread: threads do not survive a fork."""
    with open_slide(slide) as opened:
        tissue_mask(opened)
    extract_nuclei(np.zeros((3, 64, 64), np.uint8), InstanceConfig())
    assert threading.active_count() == 1, threading.enumerate()


def main() -> None:
    _warm_up(Path(sys.argv[1]))
    for line in sys.stdin:
        child = _fork(json.loads(line))
        print(child, flush=True)
        end = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert end is not None
        print(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status, flush=True)
        sys.stdin.readline()  # until the asker has the answer, the child's process id must stay its own
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
