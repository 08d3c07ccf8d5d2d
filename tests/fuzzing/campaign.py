"""Mutation k of seed s is always the same; each is read in a process that may hang, crash or swell."""

from __future__ import annotations

import json
import random
import selectors
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Self

from tests.fuzzing.bases import BASES, sample_pixels
from tests.fuzzing.mutations import mutate

HANG_SECONDS: Final = 10
MOST_MIB: Final = 256
OUTCOMES: Final = (
    "right", "refused", "other legal value", "pixel data changed", "silently wrong", "unnamed", "traceback", "hang",
    "abort", "memory",
)  # fmt: skip
FAULTS: Final = OUTCOMES[4:]


class ReaderProcess:
    """A process that reads one slide after another, begun anew when it ends or is ended."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def read(self, path: Path, base: Path) -> dict[str, Any]:
        """The verdict on `path`."""
        child = self._running()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{path}\t{base}\n")
        child.stdin.flush()
        with selectors.DefaultSelector() as ready:
            ready.register(child.stdout, selectors.EVENT_READ)
            if not ready.select(HANG_SECONDS + 15):  # the guard of OpenSlide has ten seconds of its own
                self._end()
                return {"outcome": "hang", "detail": "", "mib": 0}
        line = child.stdout.readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        code = child.wait()
        self._end()
        return {"outcome": "abort", "detail": f"exit code {code}", "mib": 0}

    def _running(self) -> subprocess.Popen[str]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzzing.reader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def run(folder: Path, seed: int, numbers: Iterable[int]) -> Iterator[dict[str, Any]]:
    """One row of the ledger a mutation: its number, base, kind, place, outcome and detail."""
    bases = _write_bases(folder)
    with ReaderProcess() as reader:
        for number in numbers:
            rng = random.Random(f"{seed}/{number}")
            base = list(bases)[number % len(bases)]
            mutation = mutate(bases[base].read_bytes(), rng)
            path = folder / "mutated"
            path.write_bytes(mutation.data)
            found = reader.read(path, bases[base])
            found["outcome"] = _judged(found, mutation.meaning)
            yield {"number": number, "base": base, "kind": mutation.kind, "place": mutation.place, **found}


def _judged(found: dict[str, Any], meaning: str) -> str:
    outcome = str(found["outcome"])
    if outcome in ("right", "refused", "wrong") and found["mib"] > MOST_MIB:
        return "memory"
    if outcome == "wrong":
        return {"raw": "pixel data changed", "other": "other legal value"}.get(meaning, "silently wrong")
    return outcome


def _write_bases(folder: Path) -> dict[str, Path]:
    pixels = sample_pixels()
    paths = {name: folder / f"base_{name}" for name in BASES}
    for name, path in paths.items():
        path.write_bytes(BASES[name](pixels))
    return paths


def table(rows: Iterable[dict[str, Any]], by: str) -> str:
    """Outcomes by "kind" of mutation or by "base", as a table in Markdown."""
    counts = Counter((row[by], row["outcome"]) for row in rows)
    names = sorted({name for name, _ in counts})
    lines = [f"| {by} | n | " + " | ".join(OUTCOMES) + " |", "|---" * (len(OUTCOMES) + 2) + "|"]
    for name in [*names, "all"]:
        cells = [
            sum(n for (of, out), n in counts.items() if out == o and name in (of, "all")) for o in OUTCOMES
        ]
        lines.append(f"| {name} | {sum(cells)} | " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)
