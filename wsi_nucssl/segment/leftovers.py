"""What an earlier run left under the name of a slide's outputs, and a new run does not make again.

A result is all that one run wrote under one name: a file of each format, the run's folder, the page. `overwrite`
replaces it as a whole. An old table beside new outlines would be read as if it belonged to them, so that it goes with
the run that wrote it, once the new outputs are whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from wsi_nucssl.errors import OutputExists
from wsi_nucssl.export.registry import EXPORTERS, format_of
from wsi_nucssl.files import remove_path, remove_tree, sha256_tree, write_atomic
from wsi_nucssl.locks import locked
from wsi_nucssl.runs import Manifest, read_manifest
from wsi_nucssl.segment.outputs import run_path
from wsi_nucssl.segment.reporting import result_of_page
from wsi_nucssl.segment.summary import kept_outputs

RECORD: Final = "replaces.json"
"""In the folder of a run that replaces another: what goes with the other, for whoever resumes."""


def named_alike(output: Path) -> tuple[Path, ...]:
    """Where outputs of every format of the name of `output` lie, in the order of the formats."""
    stem = output.name.removesuffix(f".{format_of(output)}")
    return tuple(output.with_name(f"{stem}.{name}") for name in EXPORTERS.names)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What goes when a run is done.

    Attributes
    ----------
    outputs : mapping of Path to str
        Files and folders, and the SHA-256 of what the earlier run wrote there.
    runs : tuple of Path
        Folders of runs whose first output had another format.
    """

    outputs: Mapping[Path, str] = field(default_factory=dict)
    runs: tuple[Path, ...] = ()

    @classmethod
    def of(cls, outputs: Sequence[Path], manifest: Manifest) -> Self:
        """What runs left that a run to `outputs` with this manifest replaces.

        That is the run of the same folder; of the others of this name, those that wrote one of the outputs, and those
        that looked at the same slide in another way.

        Raises
        ------
        OutputExists
            One of its files was changed since, and the new run would leave it beside its nuclei.
        """
        alike, written = named_alike(outputs[0]), {path.name for path in outputs}
        stale: dict[Path, str] = {}
        runs = []
        for path in alike:
            run = run_path(path)
            before, wrote = read_manifest(run), kept_outputs(run)
            if before is None or not wrote:
                continue
            if path != outputs[0]:
                if written.isdisjoint(wrote) and not _differs(before, manifest):
                    continue
                runs.append(run)
            stale |= {each: wrote[each.name] for each in alike if each.name in wrote}
        found = cls(
            {path: sha256 for path, sha256 in stale.items() if path.name not in written and path.exists()},
            tuple(runs),
        )
        found._check()
        return found

    def _check(self) -> None:
        for path, sha256 in self.outputs.items():
            if sha256_tree(path) != sha256:
                raise OutputExists(
                    "an earlier run wrote it, it was changed since, and the new run would leave it beside its nuclei",
                    path=path,
                    remedy="Move it elsewhere, or have it replaced: add its format to ⟨formats⟩",
                )

    def note(self, run: Path) -> None:
        """Have it known to whoever resumes the run."""
        content = {
            "outputs": {path.name: sha256 for path, sha256 in self.outputs.items()},
            "runs": [path.name for path in self.runs],
        }
        write_atomic(run / RECORD, json.dumps(content, indent=2))

    @classmethod
    def noted(cls, run: Path, output: Path) -> Self | None:
        """What an interrupted run noted, None where it replaces nothing."""
        try:
            content = json.loads((run / RECORD).read_text())
        except FileNotFoundError:
            return None
        alike = named_alike(output)
        return cls(
            {path: content["outputs"][path.name] for path in alike if path.name in content["outputs"]},
            tuple(run_path(path) for path in alike if run_path(path).name in content["runs"]),
        )

    def drop(self, run: Path, page: Path, hashes: Sequence[str], *, break_lock: bool) -> tuple[Path, ...]:
        """Remove it, what was changed meanwhile excepted; returns what is gone.

        Parameters
        ----------
        run : Path
            The folder of the new run.
        page : Path
            Where the page of these outputs lies; one of an earlier result goes too.
        hashes : sequence of str
            SHA-256 of the new outputs.
        break_lock : bool
            Take the locks of old runs from processes that do not live on this host.

        Raises
        ------
        OutputLocked
            Another process is at work in an old run.
        """
        gone = [
            path for path, sha256 in self.outputs.items() if path.exists() and sha256_tree(path) == sha256
        ]
        for path in gone:
            remove_path(path)
        if result_of_page(page) not in (None, *hashes):
            remove_path(page)
            gone.append(page)
        for old in self.runs:
            if old.exists():
                with locked(old, break_lock=break_lock):
                    remove_tree(old)
                gone.append(old)
        (run / RECORD).unlink(missing_ok=True)
        return tuple(gone)


def check_page(page: Path) -> None:
    """See that no page of an earlier result would be left beside new nuclei by a run that writes none.

    Raises
    ------
    OutputExists
        One would.
    """
    if result_of_page(page) is not None:
        raise OutputExists(
            "the page of an earlier result is there, and the new run writes none",
            path=page,
            remedy="Add ⟨overwrite⟩ to remove it, or choose another output",
        )


def _differs(before: Manifest, now: Manifest) -> bool:
    """True of another look at the same slide."""
    return bool(before.get("slide") == now["slide"]) and before != json.loads(json.dumps(now))
