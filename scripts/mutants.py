"""Mutation testing of a room: change one thing in its code, and see whether its tests notice.

    python -m scripts.mutants nuclei --sample 60 --seed 0 -o mutants/nuclei

draws 60 of all mutants that Cosmic Ray (https://cosmic-ray.readthedocs.io) knows for `wsi_nucssl/nuclei`, runs the
tests named in `ROOMS` on each, in a clone of the last commit, and writes `session.sqlite` (interrupted, it goes on from
there) and `mutants.md`: how many were noticed, and the survivors as diffs. Only the tests that run the changed line are
asked, which one run under coverage.py tells; all of the room where it knows none (code that Numba compiles, or that
runs in other processes) or cannot know them (what a module does on import). So the count errs on the side of survivors.
Mutants of annotations are left out, since nobody runs them, and so are removed decorators: most of ours compile, cache
or freeze, and change no result.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

ROOMS: Final = {
    "nuclei": "tests/nuclei tests/train/test_targets_and_losses.py tests/export/test_geojson.py",
    "metrics": "tests/metrics",
    "segment": "tests/segment tests/export/test_geojson.py tests/cli/test_overlay_and_pack.py "
    "tests/jobs/test_proposing.py",
    "train": "tests/train tests/typed/test_typed_training.py",
}
"""Each room, and the tests that hold it."""

COVERAGE: Final = "coverage.sqlite"
"""File of a session: which test ran which line."""

_SECONDS: Final = 900.0


def main() -> None:
    """Draw, run and report."""
    if sys.argv[1:2] == ["--test"]:
        raise SystemExit(_test(sys.argv[2], Path(sys.argv[3])))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--sample", type=int, default=60, help="how many mutants to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder of the session and the report"
    )
    given = parser.parse_args()
    output = given.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    session, config = output / "session.sqlite", output / "session.toml"
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        _run("git", "clone", "--quiet", "--local", str(Path.cwd()), str(clone))
        config.write_text(_config(given.room, output))
        if not session.exists():
            _run(*_cosmic_ray("init", config, session), cwd=clone)
            _keep_a_sample(session, clone, given.sample, given.seed)
        if not (output / COVERAGE).exists():  # the tests must pass on what is not changed
            _watch(given.room, output / COVERAGE, clone)
        _run(*_cosmic_ray("exec", config, session), cwd=clone)
    report = "\n".join(_report(session, given.room))
    (output / "mutants.md").write_text(report + "\n")
    sys.stdout.write(report + "\n")


def _config(room: str, output: Path) -> str:
    test = f"{sys.executable} {Path(__file__).resolve()} --test {room} {output / COVERAGE}"
    return (
        f'[cosmic-ray]\nmodule-path = "wsi_nucssl/{room}"\ntimeout = {_SECONDS}\nexcluded-modules = []\n'
        f'test-command = "{test}"\n\n[cosmic-ray.distributor]\nname = "local"\n'
    )


def _watch(room: str, coverage: Path, clone: Path) -> None:
    """Run the tests of a room as they are, and keep which of them ran which line."""
    options = f"--cov=wsi_nucssl/{room} --cov-context=test --cov-report="
    _run(
        *_pytest(*options.split(), *ROOMS[room].split()),
        cwd=clone,
        more={"COVERAGE_FILE": str(coverage)},
    )


def _test(room: str, coverage: Path) -> int:
    """Whether those tests of a room that run the changed line pass in this folder; all of them where none does."""
    tests = sorted(_runners(coverage)) or ROOMS[room].split()
    return subprocess.run(_pytest(*tests), env=_environment(Path.cwd()), check=False).returncode


def _runners(coverage: Path) -> Iterator[str]:
    """The tests, by pytest's names, that run a line of a function which differs from the last commit."""
    from coverage import CoverageData

    data = CoverageData(str(coverage))
    data.read()
    measured = {Path(file).parts: file for file in data.measured_files()}
    for file, lines in _changed():
        bodies = {line for body in _bodies(ast.parse(file.read_text())) for line in body}
        known = [name for parts, name in measured.items() if parts[-len(file.parts) :] == file.parts]
        for line, contexts in (data.contexts_by_lineno(known[0]) if known else {}).items():
            if line in lines and line in bodies:
                yield from (context.partition("|")[0] for context in contexts if context)


def _bodies(tree: ast.AST) -> Iterator[range]:
    """The lines of each function, but for its head."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)


def _changed() -> Iterator[tuple[Path, range]]:
    """Files of this folder that differ from the last commit, with the lines of it that do."""
    difference = subprocess.run(
        ["git", "diff", "-U0"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    file = Path()
    for line in difference:
        if line.startswith("--- a/"):
            file = Path(line.removeprefix("--- a/"))
        elif hunk := re.match(r"@@ -(\d+)(?:,(\d+))? ", line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            yield file, range(first, first + max(count, 1))


def _pytest(*words: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words]


def _cosmic_ray(command: str, *paths: Path) -> list[str]:
    return [sys.executable, "-m", "cosmic_ray.cli", command, *map(str, paths)]


def _run(*words: str, cwd: Path | None = None, more: Mapping[str, str] | None = None) -> None:
    environment = _environment(cwd or Path.cwd()) | dict(more or {})
    subprocess.run(words, cwd=cwd, check=True, env=environment)


def _environment(checkout: Path) -> dict[str, str]:
    """That of the tests, and of the processes that they start anywhere: they import the checkout that they lie in."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(checkout), str(checkout / "cli")))}


def _keep_a_sample(session: Path, clone: Path, count: int, seed: int) -> None:
    """Mark all mutants but a sample as skipped."""
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    with use_db(str(session), WorkDB.Mode.open) as database:
        items = sorted(database.work_items, key=lambda item: _place(item.mutations[0]))
        runs = [item for item in items if _is_run(item.mutations[0], clone)]
        kept = {item.job_id for item in random.Random(seed).sample(runs, min(count, len(runs)))}
        skipped = [item.job_id for item in items if item.job_id not in kept]
        database.set_multiple_results(skipped, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def _place(mutation: Any) -> tuple[str, tuple[int, int], str, int]:
    return str(mutation.module_path), mutation.start_pos, mutation.operator_name, mutation.occurrence


def _is_run(mutation: Any, clone: Path) -> bool:
    """False for what only a type checker reads, and for decorators."""
    if mutation.operator_name.endswith("RemoveDecorator"):
        return False
    tree = ast.parse((clone / mutation.module_path).read_text())
    return not any(start <= mutation.start_pos < stop for start, stop in _annotations(tree))


def _annotations(tree: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations begin and end, as (line, column)."""
    for node in ast.walk(tree):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
            target = node.targets[0]
            alias = isinstance(target, ast.Name) and target.id.lstrip("_")[:1].isupper()
            parts.append(node.value if alias and not target.id.isupper() else None)  # type: ignore[attr-defined]
        for part in parts:
            if isinstance(part, ast.expr) and part.end_lineno is not None and part.end_col_offset is not None:
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)


def _report(session: Path, room: str) -> Iterator[str]:
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome

    with use_db(str(session), WorkDB.Mode.open) as database:
        mutations = {item.job_id: item.mutations[0] for item in database.work_items}
        results = [(mutations[job], result) for job, result in database.results]
    ended = [pair for pair in results if pair[1].worker_outcome != WorkerOutcome.SKIPPED]
    survivors = [pair for pair in ended if not pair[1].is_killed]
    noticed = len(ended) - len(survivors)
    yield f"# Mutants of {room}"
    yield ""
    yield f"{noticed} of {len(ended)} noticed: {noticed / max(len(ended), 1):.0%}."
    for mutation, result in survivors:
        place = f"{mutation.module_path}:{mutation.start_pos[0]}"
        yield from ("", f"## {place} ({mutation.operator_name.rsplit('/', 1)[-1]})", "", "```diff")
        yield from (line for line in (result.diff or "").splitlines() if _is_change(line))
        yield "```"


def _is_change(line: str) -> bool:
    return line[:1] in ("+", "-") and line[:3] not in ("+++", "---")


if __name__ == "__main__":
    main()
