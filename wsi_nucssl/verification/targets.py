"""What there is to look at: paths as people give them, taken apart into outputs, runs, stores, weights and batches."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.errors import WsiNucsslError
from wsi_nucssl.export.labels import LABELS
from wsi_nucssl.export.registry import format_of
from wsi_nucssl.ledger import TABLE, Row
from wsi_nucssl.locations import Location, Url, locate
from wsi_nucssl.verification.batches import look_at_ledger
from wsi_nucssl.verification.claims import Claims, SlideAtHand
from wsi_nucssl.verification.fault import Fault, Verdict
from wsi_nucssl.verification.outputs import look_at_output
from wsi_nucssl.verification.records import RunRecord, is_run, runs_in
from wsi_nucssl.verification.runs import look_at_run
from wsi_nucssl.verification.stored import is_annotated_by_us
from wsi_nucssl.verification.stores import look_at_store
from wsi_nucssl.verification.tables import is_table_of_nuclei
from wsi_nucssl.verification.weights import look_at_weights

Look = Callable[[Path, Claims], Verdict]

_WEIGHTS: Final = (".safetensors",)
_RIGHTS: Final = "Check the rights of the file and of its folder"


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to look at, here or in another process.

    Attributes
    ----------
    path : Path
        The file or folder.
    look : callable
        Looks at it.
    claims : Claims
        What it should be.
    """

    path: Path
    look: Look
    claims: Claims = field(default_factory=Claims)

    def examined(self) -> Verdict:
        """What there is to say of it; an error of ours is a fault of the file, and the others go on."""
        if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
            return _unreadable(self.path, "it is neither a file nor a folder", "Remove it")
        try:
            return self.look(self.path, self.claims)
        except WsiNucsslError as error:
            return _unreadable(self.path, error.what, error.remedy or "See what the message says")
        except OSError as error:
            where = Path(os.fsdecode(error.filename)) if error.filename else self.path
            return _unreadable(where, f"it cannot be read: {error.strerror}", _RIGHTS)
        except RecursionError:
            return _unreadable(self.path, "it is nested too deeply", "Make it again")


def _unreadable(path: Path, what: str, remedy: str) -> Verdict:
    return Verdict(path, "file", "", (Fault(str(path), "unreadable", what, remedy),))


@dataclass
class Shelf:
    """The slides that are at hand: those that were given, and those that ledgers name. Each is opened once.

    Parameters
    ----------
    given : tuple of SlideAtHand
        Slides, of which each output's is found by its content.
    """

    given: tuple[SlideAtHand, ...] = ()
    _named: dict[Location, tuple[SlideAtHand, ...]] = field(default_factory=dict)

    def slides(self, row: Row | None = None) -> tuple[SlideAtHand, ...]:
        """Those that an output may be of."""
        place = locate(row.path) if row else None
        if place is None or isinstance(place, Url) or not place.is_file():
            return self.given
        if place not in self._named:
            try:
                self._named[place] = (SlideAtHand.at(place),)
            except WsiNucsslError:  # it is not at hand, whatever the reason
                self._named[place] = ()
        return self.given + self._named[place]


@dataclass(frozen=True, slots=True)
class Finder:
    """Takes paths apart.

    Parameters
    ----------
    shelf : Shelf
        The slides at hand.
    model_sha256 : str
        Of the weights that all is to be of; "" for any.
    """

    shelf: Shelf
    model_sha256: str = ""

    def targets(self, path: Path) -> Iterator[Target]:
        """What there is to look at in what a person named."""
        if path.name == TABLE and (path.is_file() or path.parent.is_dir()):
            path = path.parent
        if is_run(path):
            yield from self._run(path)
        elif path.name.endswith(_WEIGHTS):
            yield Target(path, look_at_weights, Claims(model_sha256=self.model_sha256))
        elif path.is_dir() and not format_of(path):
            found = [*self._folder(path)]
            yield from found or [Target(path, _look_at_nothing)]
        elif format_of(path):
            yield from self._output(path)
        else:
            yield Target(path, _look_at_unknown)

    def _output(self, path: Path) -> Iterator[Target]:
        record = runs_in(path.parent).get(path)
        yield self._one(path, record)
        if record:
            yield Target(record.path, look_at_run, self._claims(record, None))

    def _one(self, path: Path, record: RunRecord | None, row: Row | None = None) -> Target:
        """An output, or a tile store, which has the same ending."""
        if record is None and path.is_dir() and not _is_of_nuclei(path):
            return Target(path, look_at_store, Claims(slides=self.shelf.slides()))
        claims = self._claims(record, row)
        if record is not None and path in record.outputs:
            nuclei = claims.summary.get("nuclei")
            return Target(path, look_at_output, replace(claims, sha256=record.outputs[path], nuclei=nuclei))
        if row is not None and Path(row.output).name == path.name:  # the run is lost, or its summary
            return Target(path, look_at_output, replace(claims, sha256=row.sha256, nuclei=row.nuclei))
        return Target(path, look_at_output, claims)

    def _claims(self, record: RunRecord | None, row: Row | None) -> Claims:
        """What is said of all that a run made."""
        return Claims(
            run=record.path if record else None,
            manifest=(record.manifest if record else None) or {},
            summary=(record.summary if record else None) or {},
            slides=self.shelf.slides(row),
            model_sha256=self.model_sha256,
        )

    def _run(self, path: Path) -> Iterator[Target]:
        record = RunRecord.read(path)
        for output in record.outputs or _there(record):
            yield self._one(output, record)
        yield Target(path, look_at_run, self._claims(record, None))
        for name in ("model.safetensors", "encoder.safetensors"):
            if (path / name).is_file():
                yield Target(path / name, look_at_weights, Claims(model_sha256=self.model_sha256))

    def _folder(self, folder: Path) -> Iterator[Target]:
        """All that is ours in a folder and below, and what ledgers say should be."""
        rows: dict[Path, Row] = {}
        if (folder / TABLE).is_file():
            verdict, rows = look_at_ledger(folder)
            yield Target(folder / TABLE, _Known(verdict))
        claimed: dict[Path, RunRecord] = {}
        for each in dict.fromkeys((folder, *(path.parent for path in rows))):
            claimed |= runs_in(each)
        wanted = {path: None for path in (*claimed, *rows) if path.exists() or _is_due(path, claimed, rows)}
        for path in sorted(folder.iterdir()):
            if path.is_file() and path not in wanted and _is_ours(path):
                wanted[path] = None
            elif path.is_dir() and path.suffix == ".zarr" and _is_our_zarr(path):
                wanted.setdefault(path)
        by_run = {claimed[path].path: row for path, row in rows.items() if path in claimed}
        runs = {record.path: record for record in claimed.values()}
        for path in sorted(wanted):
            record = claimed.get(path)
            yield self._one(path, record, by_run.get(record.path) if record else rows.get(path))
            if path in rows and path not in claimed and not _is_tile_store(path, rows[path]):
                yield Target(path, _look_at_lost_run)
        for run in sorted(runs):
            yield Target(run, look_at_run, self._claims(runs[run], by_run.get(run)))
        yield from self._below(folder, {*wanted, *runs})

    def _below(self, folder: Path, seen: set[Path]) -> Iterator[Target]:
        for path in sorted(folder.iterdir()):
            if path in seen or path.is_symlink():
                continue
            if path.name.endswith(_WEIGHTS):
                yield Target(path, look_at_weights, Claims(model_sha256=self.model_sha256))
            elif path.name.startswith(".") and path.name.endswith(".zarr.partial"):
                yield Target(path, _look_at_workshop)
            elif path.is_dir() and (is_run(path) or not path.name.startswith(".")):
                yield from self._run(path) if is_run(path) else self._folder(path)


@dataclass(frozen=True, slots=True)
class _Known:
    """A look that was taken already."""

    verdict: Verdict

    def __call__(self, _path: Path, _claims: Claims) -> Verdict:
        return self.verdict


def _there(record: RunRecord) -> Sequence[Path]:
    """The output that a run is called after, if there is one."""
    path = record.named_output
    return (path,) if path != record.path and path.exists() else ()


def _is_tile_store(path: Path, row: Row) -> bool:
    """True of a row of `tile`, whose stores need no run once they are whole."""
    return path.suffix == ".zarr" and row.nuclei is None and not _is_of_nuclei(path)


def _is_due(path: Path, claimed: dict[Path, RunRecord], rows: dict[Path, Row]) -> bool:
    """True of an output that should be there: its run is finished, or its row says so."""
    return path in rows or (path in claimed and path in claimed[path].outputs)


def _is_ours(path: Path) -> bool:
    """True of files of nuclei; of tables, only where they are of nuclei."""
    kind = format_of(path)
    if kind == "csv":
        return path.name != TABLE and is_table_of_nuclei(path)
    return bool(kind) and (kind != "h5ad" or is_annotated_by_us(path))


def _is_our_zarr(path: Path) -> bool:
    """True of tile stores, label images and SpatialData of ours, also where their metadata is lost."""
    if path.name.startswith("."):
        return False
    attributes = _attributes(path)
    if attributes is None:
        return {"0", "tissue"} <= {each.name for each in path.iterdir()} or _is_of_nuclei(path)
    return "wsi_nucssl" in attributes


def _attributes(zarr: Path) -> dict[str, Any] | None:
    """What a zarr says of itself; None where that is lost or damaged."""
    try:
        found = json.loads((zarr / "zarr.json").read_bytes())["attributes"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_of_nuclei(path: Path) -> bool:
    """True of a label image and of SpatialData, or what is left of them."""
    return any((path / part).is_dir() for part in (LABELS, "ids")) or format_of(path) == "spatialdata.zarr"


def _look_at_lost_run(path: Path, _claims: Claims) -> Verdict:
    run = path.with_name(f"{path.name}.run")
    what = "the run that made the output is not there, so that nobody can go on with it"
    fault = Fault(str(run), "manifest", what, "Segment again with ⟨overwrite⟩, or put the folder back")
    return Verdict(run, "run", "", (fault,))


def _look_at_workshop(path: Path, _claims: Claims) -> Verdict:
    what = f"the tile store {path.name.removeprefix('.').removesuffix('.partial')} is not finished"
    fault = Fault(str(path), "unfinished", what, "Run the same wsi-nucssl tile command again")
    return Verdict(path, "tile store", "", (fault,))


def _look_at_nothing(path: Path, _claims: Claims) -> Verdict:
    fault = Fault(str(path), "unknown", "nothing of this package is in the folder", "Check the path")
    return Verdict(path, "folder", "", (fault,))


def _look_at_unknown(path: Path, _claims: Claims) -> Verdict:
    if path.exists():
        what, remedy = (
            "nothing of this package is known",
            "Give outputs, runs, tile stores, weights or folders",
        )
        fault = Fault(str(path), "unknown", what, remedy)
    else:
        fault = Fault(str(path), "absent", "it is not there", "Check the path")
    return Verdict(path, "file", "", (fault,))
