"""Whether pretraining's memory is level: `python -m tests.benchmarks.pretrain_memory MINUTES SOURCES… -o RUN …`.

Starts `wsi-nucssl pretrain` with these arguments, stops it after so many minutes, and prints a line for each sixth of
them: the mean and the highest resident memory, and the step it had reached. Give it more steps than the minutes allow.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from time import monotonic, sleep

PARTS = 6
EVERY_S = 1.0


def resident_mib(process: int) -> float:
    """Resident memory of a process, by Linux's /proc."""
    (kib,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(kib) / 1024


def main() -> None:
    """Watch one run."""
    seconds, arguments = 60 * float(sys.argv[1]), sys.argv[2:]
    log = Path(arguments[arguments.index("-o") + 1]) / "history.csv"
    command = [sys.executable, "-m", "wsi_nucssl_cli", "pretrain", *arguments, "--quiet"]
    process = subprocess.Popen(command)
    begun = monotonic()
    for part in range(1, PARTS + 1):
        seen = []
        while monotonic() < begun + part * seconds / PARTS:
            sleep(EVERY_S)
            if process.poll() is not None:
                sys.exit("the run ended by itself: give it more steps")
            seen.append(resident_mib(process.pid))
        step = log.read_text().splitlines()[-1].split(",")[0] if log.exists() else "0"
        minute = part * seconds / PARTS / 60
        print(
            f"to minute {minute:.0f}: mean {fmean(seen):.0f} MiB, highest {max(seen):.0f} MiB, step {step}",
            flush=True,
        )
    process.send_signal(signal.SIGINT)
    process.wait()


if __name__ == "__main__":
    main()
