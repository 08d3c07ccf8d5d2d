"""Run directories: the manifest, the summary, and of a run that was stopped each window and block that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from wsi_nucssl.checksums import ChecksumLog
from wsi_nucssl.errors import InputError
from wsi_nucssl.locks import LOCK
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.runs import MANIFEST
from wsi_nucssl.segment.summary import BLOCKS, KEPT, SUMMARY, WINDOWS
from wsi_nucssl.tiles.codecs import checksum_of
from wsi_nucssl.verification.belonging import other_slide, other_weights
from wsi_nucssl.verification.claims import Claims
from wsi_nucssl.verification.fault import Fault, Verdict
from wsi_nucssl.verification.pages import look_at_report
from wsi_nucssl.verification.records import RunRecord

_RESUME: Final = "Run the same command again with ⟨resume⟩, or verify with ⟨repair⟩ and ⟨slide⟩"


def look_at_run(path: Path, claims: Claims) -> Verdict:
    """All that can be said of a run directory, without its outputs."""
    record = RunRecord.read(path)
    if record.manifest is None:
        return Verdict(path, "run", "", (_no_manifest(path),))
    if record.manifest.get("kind") != "segment":
        return Verdict(path, "run", f"a run of {record.manifest.get('kind') or 'another kind'}", ())
    manifest = record.manifest
    faults = [
        *other_slide(path, claims, manifest.get("slide")),
        *other_weights(path, claims, manifest.get("model_sha256"), manifest.get("model")),
        *_kept(path),
    ]
    if record.summary is not None:
        if record.named_output not in record.outputs:
            faults.append(_exchanged(path))
        said = f"finished, {record.summary.get('nuclei')} nuclei"
        faults += look_at_report(path, record.summary)
    else:
        faults += _unfinished(path, manifest)
        said = "not finished"
    return Verdict(path, "run", said, tuple(faults))


def _no_manifest(path: Path) -> Fault:
    state = "is damaged, or not of this package" if (path / MANIFEST).exists() else "is lost"
    return Fault(
        str(path / MANIFEST),
        "manifest",
        f"the run's manifest {state}",
        "Verify with ⟨repair⟩, which takes it from the output, or segment again with ⟨overwrite⟩",
    )


def _exchanged(path: Path) -> Fault:
    what = "its summary tells of another output than the run is called after: the folder was moved or renamed"
    return Fault(str(path), "exchanged", what, "Put it back beside its output under its own name")


def _kept(path: Path) -> Iterator[Fault]:
    """Chunks of probabilities that were kept, each by its own checksum."""
    for chunk in sorted((path / KEPT / "c").rglob("*")):
        if chunk.is_file() and checksum_of(chunk.read_bytes()) is None:
            yield Fault(
                str(chunk),
                "chunk",
                "a chunk of the kept probabilities is damaged",
                "Segment again with ⟨overwrite⟩",
            )


def _unfinished(path: Path, manifest: Mapping[str, Any]) -> Iterator[Fault]:
    if is_held(path):
        yield Fault(str(path), "at-work", "another process is writing here", "Wait for it, and verify again")
        return
    if (path / SUMMARY).exists():
        yield Fault(str(path / SUMMARY), "summary", "the run's summary is damaged", _RESUME)
    windows = _windows(path / WINDOWS)
    for (row, col), fault in windows.items():
        if fault:
            chunk = _chunk(path / WINDOWS, row, col)
            yield Fault(str(chunk), "window", f"window ({row}, {col}) {fault}", _RESUME)
    blocks = _blocks(path / BLOCKS, _blocks_of(windows, manifest))
    for (row, col), fault in blocks.items():
        if fault:
            table = path / BLOCKS / f"{row:05d}-{col:05d}.npz"
            yield Fault(str(table), "block", f"block ({row}, {col}) {fault}", _RESUME)
    whole = [sum(not fault for fault in each.values()) for each in (windows, blocks)]
    what = f"the run is not finished: {whole[0]} windows and {whole[1]} blocks are there and whole"
    yield Fault(str(path), "unfinished", what, _RESUME)


def is_held(path: Path) -> bool:
    """True if a process is at work in a run directory."""
    if not (path / LOCK).exists():
        return False
    try:
        with FileLock(path / LOCK, timeout=0):
            return False
    except (Timeout, PermissionError):
        return True


def _windows(store: Path) -> dict[tuple[int, int], str]:
    """Each window that was ever written, and what is wrong with it; "" where nothing is."""
    known = ChecksumLog(store / "checksums.bin").read(mend=False)
    places = {crc: place for place, crc in known.items()}
    found = {}
    for (row, col), crc in sorted(known.items()):
        chunk = _chunk(store, row, col)
        has = checksum_of(chunk.read_bytes()) if chunk.is_file() else None
        if has == crc:
            found[row, col] = ""
        elif has in places:
            found[row, col] = f"holds what belongs to window {places[has]}"
        else:
            found[row, col] = "is damaged" if chunk.is_file() else "is lost"
    for chunk in sorted((store / "c").glob("*/*/0/0/0")):
        place = chunk.parts[-5:-3]
        if all(map(str.isdigit, place)):
            found.setdefault((int(place[0]), int(place[1])), "is there, but nothing says which bytes it had")
    return found


def _chunk(store: Path, row: int, col: int) -> Path:
    return store / "c" / str(row) / str(col) / "0" / "0" / "0"


def _blocks_of(windows: Mapping[tuple[int, int], str], manifest: Mapping[str, Any]) -> set[tuple[int, int]]:
    """The blocks that the windows that are there lie in; with regions nobody knows which of them are asked for."""
    if "roi" in manifest:
        return set()
    try:
        margin = int(manifest["margin_px"])
        cores = [int(side) - 2 * margin for side in manifest["window_px"]]
        sides = [int(side) for side in manifest["block_px"]]
        return {
            (first_row, first_col)
            for row, col in windows
            for first_row in range(row * cores[0] // sides[0], ((row + 1) * cores[0] - 1) // sides[0] + 1)
            for first_col in range(col * cores[1] // sides[1], ((col + 1) * cores[1] - 1) // sides[1] + 1)
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return set()


def _blocks(folder: Path, places: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Each block that has windows, or a table, and what is wrong with it."""
    tables = {path: _place(path) for path in folder.glob("*.npz")}
    places = places | {place for place in tables.values() if place}
    last = max(filter(None, tables.values()), default=(-1, -1))
    found = {}
    for row, col in sorted(places):
        path = folder / f"{row:05d}-{col:05d}.npz"
        if not path.exists():
            if (row, col) < last:  # else its turn had not come
                found[row, col] = "is not there, although a later one is"
            continue
        try:
            Nuclei.load(path, (row, col))
            found[row, col] = ""
        except InputError as error:
            found[row, col] = f"is {error.what}"
    return found


def _place(path: Path) -> tuple[int, int] | None:
    row, _, col = path.stem.partition("-")
    return (int(row), int(col)) if row.isdigit() and col.isdigit() else None
