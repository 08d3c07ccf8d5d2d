"""Soak: hundreds of slides of mixed kinds through `segment`, with kills, full disks and vanishing files on the way.

    python -m scripts.soak -o soak --slides 500 --seed 0 --minutes 60

Slides that are whole, empty, damaged and no slides at all are made from the sample slide, and each is segmented once
in peace: that is the truth. Then batches drawn from them are segmented with `--resume` again and again. Some of these
runs are killed, interrupted, given a disk that is full, an input that vanishes, or an output folder that is removed
under them; the last one of a batch is left alone. After it each slide must have the very bytes of the peaceful run,
or must have been refused as it was there, and nothing partial may lie about.

`runs.csv` has a row for each run of the command, `slides.csv` one for each slide, `soak.md` the sums. Begun again, it
goes on with the batches that are not in `slides.csv`. It exits with 1 where anything was lost or wrong.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box, Point
from wsi_nucssl.slide import open_slide

_SAMPLE: Final = Path("sample_slides/sample.svs")
_SIZE_PX: Final = 800
_SECONDS_TO_START: Final = 1.2
_SECONDS_A_SLIDE: Final = 0.12
"""How long a run may take, for the times of disturbances; one that comes too late is counted as none."""

_DOCUMENTED: Final = {0, 3, 4, 5, 6, 130, 143, -signal.SIGKILL}
_COMMAND: Final = (sys.executable, "-m", "wsi_nucssl_cli", "segment")

Rgb = NDArray[np.uint8]


# ── slides ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tiff(path: Path, rgb: Rgb, **layout: Any) -> None:
    stated = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER", "metadata": None}
    tifffile.imwrite(path, rgb, photometric="rgb", **{**stated, **layout})


def _pyramid(path: Path, rgb: Rgb) -> None:
    common: dict[str, Any] = {"photometric": "rgb", "tile": (128, 128), "metadata": None}
    with tifffile.TiffWriter(path) as file:
        file.write(rgb, resolution=(40000, 40000), resolutionunit="CENTIMETER", **common)
        file.write(rgb[::2, ::2], subfiletype=1, **common)


def _aperio(path: Path, rgb: Rgb) -> None:
    text = f"Aperio Image Library v11.2.1\n{rgb.shape[1]}x{rgb.shape[0]} (128x128)|AppMag = 40|MPP = 0.25"
    tifffile.imwrite(
        path, rgb, photometric="rgb", tile=(128, 128), compression="jpeg", description=text, metadata=None
    )


def _cut_short(path: Path, rgb: Rgb) -> None:
    _tiff(path, rgb, tile=(128, 128), compression="deflate")
    os.truncate(path, path.stat().st_size // 2)


def _without_mpp(path: Path, rgb: Rgb) -> None:
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(128, 128))


def _text(path: Path, _rgb: Rgb) -> None:
    path.write_text("no slide\n")


Write = Callable[[Path, Rgb], None]

WHOLE: Final[dict[str, Write]] = {
    "deflate.tif": lambda path, rgb: _tiff(path, rgb, tile=(128, 128), compression="deflate"),
    "jpeg.tif": lambda path, rgb: _tiff(path, rgb, tile=(128, 128), compression="jpeg"),
    "big.tif": lambda path, rgb: _tiff(path, rgb, tile=(128, 128), bigtiff=True),
    "strips.tif": lambda path, rgb: _tiff(path, rgb, rowsperstrip=32),
    "pyramid.tif": _pyramid,
    "aperio.svs": _aperio,
}
EMPTY: Final[dict[str, Write]] = {
    "glass.tif": lambda path, rgb: _tiff(path, np.full_like(rgb, 244), tile=(128, 128)),
}
REFUSED: Final[dict[str, Write]] = {
    "cut-short.tif": _cut_short,
    "text.svs": _text,
    "nothing.tif": lambda path, _rgb: path.touch(),
    "no-mpp.tif": _without_mpp,
    "folder.svs": lambda path, _rgb: path.mkdir(),
}


def make_pool(folder: Path, crops: int) -> list[Path]:
    """Write every kind of slide, the whole ones from so many crops of the sample slide."""
    folder.mkdir(parents=True)
    made = []
    with open_slide(_SAMPLE) as slide:
        room = Point(slide.dimensions.width - _SIZE_PX, slide.dimensions.height - _SIZE_PX)
        for crop in range(crops):
            x, y = (crop * 97) % room.x, (crop * 61) % room.y
            rgb = slide.read_level(0, Box(x, y, x + _SIZE_PX, y + _SIZE_PX))
            for name, write in (WHOLE | EMPTY | REFUSED).items():
                if crop and name not in WHOLE:
                    continue
                made.append(folder / f"{crop}-{name}")
                write(made[-1], rgb)
    return made


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the command: what was done to it, when, and how it ended."""

    batch: int
    disturbance: str
    after_s: float
    seconds: float
    exit_code: int
    fault: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a slide: right, refused, lost or wrong."""

    batch: int
    slide: str
    outcome: str


Disturb = Callable[[subprocess.Popen[str], Path, Path, random.Random], None]


def _signalled(number: signal.Signals) -> Disturb:
    return lambda process, _inputs, _outputs, _rng: process.send_signal(number)


def _input_vanishes(_process: object, inputs: Path, _outputs: Path, rng: random.Random) -> None:
    chosen = rng.choice(sorted(inputs.iterdir()))
    chosen.rename(inputs.with_name(f"{inputs.name}-{chosen.name}.away"))


def _output_vanishes(_process: object, _inputs: Path, outputs: Path, _rng: random.Random) -> None:
    shutil.rmtree(outputs, ignore_errors=True)


DISTURBANCES: Final[dict[str, Disturb]] = {
    "killed": _signalled(signal.SIGKILL),
    "interrupted": _signalled(signal.SIGINT),
    "terminated": _signalled(signal.SIGTERM),
    "disk full": lambda *_: None,  # from the start: see `_little_disk`
    "input vanishes": _input_vanishes,
    "output vanishes": _output_vanishes,
}


def _little_disk(size: int) -> Callable[[], None]:
    """Files of this process stop growing at `size` bytes, as on a disk that is full."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def run_command(
    batch: int, inputs: Path, outputs: Path, disturbance: str, rng: random.Random, within_s: float = 0.0
) -> Run:
    """Segment a batch once, with one disturbance at some time `within_s`, or none ("")."""
    after_s = rng.uniform(0.1, max(0.1, within_s))
    slides = sorted(inputs.iterdir())
    before = {path.name for path in slides}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*_COMMAND, *map(str, slides), "-o", str(outputs), "--resume", "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,  # not a file: the little disk would be full for it too
        text=True,
        preexec_fn=_little_disk(rng.randrange(60_000)) if disturbance == "disk full" else None,
    )
    late = disturbance != "" and not _disturb(process, disturbance, after_s, inputs, outputs, rng)
    said = process.communicate()[1]
    seconds = time.perf_counter() - begun
    fault = _fault(process.returncode, said)
    _bring_back(inputs, before)
    done = "none" if late or not disturbance else disturbance
    return Run(batch, done, round(after_s, 2), round(seconds, 2), process.returncode, fault)


def _disturb(
    process: subprocess.Popen[str],
    disturbance: str,
    after_s: float,
    inputs: Path,
    outputs: Path,
    rng: random.Random,
) -> bool:
    """Wait, and disturb; False if the process had ended by then."""
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        DISTURBANCES[disturbance](process, inputs, outputs, rng)
        return True
    return disturbance == "disk full"


def _bring_back(inputs: Path, names: set[str]) -> None:
    for name in names - {path.name for path in inputs.iterdir()}:
        inputs.with_name(f"{inputs.name}-{name}.away").rename(inputs / name)


def _fault(exit_code: int, said: str) -> str:
    """What no run may do; empty if it did not."""
    if exit_code in (-signal.SIGINT, -signal.SIGTERM):
        return ""  # it came while Python still imported, and ended it before there was anything to keep
    last = (said.strip().splitlines() or ["not a word"])[-1]
    if "Traceback" in said:
        return f"traceback: {last}"
    return "" if exit_code in _DOCUMENTED else f"exit code {exit_code}: {last}"


# ── judgement ────────────────────────────────────────────────────────────────────────────────────────────────────────


def sha256s(folder: Path) -> dict[str, str]:
    """Each GeoJSON in a folder and the hash of its bytes."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.geojson")}


def judge(batch: int, slides: Sequence[str], outputs: Path, truth: dict[str, str]) -> Iterator[Outcome]:
    """Compare a batch with the peaceful run."""
    found = sha256s(outputs)
    for slide in slides:
        name = f"{Path(slide).stem}.geojson"
        yield Outcome(batch, slide, _outcome(truth.get(name), found.get(name)))
    for left in sorted(outputs.rglob("*.partial")):
        yield Outcome(batch, left.name, "left over")


def _outcome(wanted: str | None, found: str | None) -> str:
    if wanted is None:
        return "refused" if found is None else "wrong"
    if found is None:
        return "lost"
    return "right" if wanted == found else "wrong"


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────────


def peaceful(folder: Path, pool: Sequence[Path]) -> dict[str, str]:
    """Segment each slide of the pool once, undisturbed: the truth, which must be what its kind says."""
    run_command(-1, pool[0].parent, folder / "truth", "", random.Random(0))
    truth = sha256s(folder / "truth")
    for path in pool:
        refused = path.name.partition("-")[2] in REFUSED
        if refused == (f"{path.stem}.geojson" in truth):
            raise SystemExit(
                f"{path.name}: a slide of this kind should {'' if refused else 'not '}be refused"
            )
    return truth


def soak(
    folder: Path, slides: int, *, seed: int, batch: int = 20, crops: int = 5, minutes: float = 60
) -> None:
    """Run batches until so many slides are judged, or the time is over."""
    pool_folder, ends = folder / "pool", time.monotonic() + 60 * minutes
    if not (folder / "truth").is_dir():
        shutil.rmtree(pool_folder, ignore_errors=True)
        make_pool(pool_folder, crops)
    pool = sorted(pool_folder.iterdir())
    truth = peaceful(folder, pool)
    done = {int(row["batch"]) for row in _rows(folder / "slides.csv")}
    for number in range(-(-slides // batch)):
        if number in done or time.monotonic() > ends:
            continue
        rng = random.Random(f"{seed}-{number}")
        runs, outcomes = _one_batch(folder, number, rng.sample(pool, min(batch, len(pool))), truth, rng)
        _append(folder / "runs.csv", runs)
        _append(folder / "slides.csv", outcomes)


def _one_batch(
    folder: Path, number: int, drawn: Sequence[Path], truth: dict[str, str], rng: random.Random
) -> tuple[list[Run], list[Outcome]]:
    inputs, outputs = folder / f"in-{number}", folder / f"out-{number}"
    for old in (inputs, outputs):
        shutil.rmtree(old, ignore_errors=True)
    inputs.mkdir()
    for path in drawn:
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, inputs / path.name)
    disturbances = [*rng.choices(sorted(DISTURBANCES), k=rng.randint(3, 6)), ""]
    within_s = _SECONDS_TO_START + _SECONDS_A_SLIDE * len(drawn)
    runs = [run_command(number, inputs, outputs, each, rng, within_s) for each in disturbances]
    outcomes = list(judge(number, sorted(path.name for path in drawn), outputs, truth))
    if {each.outcome for each in outcomes} <= {"right", "refused"}:
        shutil.rmtree(inputs)
        shutil.rmtree(outputs)
    return runs, outcomes


def _append(path: Path, rows: Sequence[Run] | Sequence[Outcome]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(rows[0])])
        if fresh:
            writer.writeheader()
        writer.writerows(map(asdict, rows))


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def report(folder: Path) -> tuple[str, bool]:
    """The sums as Markdown, and whether nothing was lost or wrong."""
    slides, runs = _rows(folder / "slides.csv"), _rows(folder / "runs.csv")
    outcomes = Counter(row["outcome"] for row in slides)
    faults = [row for row in runs if row["fault"]]
    lines = ["# Soak", "", "| slides | count |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(outcomes.items())]
    lines += ["", "| runs | count | exit codes |", "|---|---|---|"]
    for name in sorted({row["disturbance"] for row in runs}):
        codes = Counter(int(row["exit_code"]) for row in runs if row["disturbance"] == name)
        listed = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
        lines.append(f"| {name} | {codes.total()} | {listed} |")
    lines += ["", f"Runs at fault: {len(faults)}.", *(f"- {row['fault']}" for row in faults)]
    return "\n".join(lines) + "\n", not faults and set(outcomes) <= {"right", "refused"}


def main() -> None:
    """Make slides, disturb, judge, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of slides, results, ledgers")
    parser.add_argument("--slides", type=int, default=500)
    parser.add_argument("--batch", type=int, default=20, help="slides a command")
    parser.add_argument("--crops", type=int, default=5, help="pictures each whole kind is made of")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="begin no batch later than this")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    soak(
        given.output,
        given.slides,
        seed=given.seed,
        batch=given.batch,
        crops=given.crops,
        minutes=given.minutes,
    )
    text, well = report(given.output)
    (given.output / "soak.md").write_text(text)
    sys.stdout.write(text)
    raise SystemExit(0 if well else 1)


if __name__ == "__main__":
    main()
