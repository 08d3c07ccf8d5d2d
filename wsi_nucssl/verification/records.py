"""What runs wrote down, read without changing anything: manifests and summaries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.runs import MANIFEST, MARK
from wsi_nucssl.segment.summary import RUN, SUMMARY

_LARGEST_BYTES: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What stands in a run directory.

    Attributes
    ----------
    path : Path
        The directory.
    manifest, summary : mapping or None
        As JSON; None where the file is absent or damaged.
    """

    path: Path
    manifest: Mapping[str, Any] | None
    summary: Mapping[str, Any] | None

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """Of a directory, whatever it is."""
        manifest, summary = _json(path / MANIFEST), _json(path / SUMMARY)
        if manifest is not None:
            manifest = (
                {key: value for key, value in manifest.items() if key != MARK} if MARK in manifest else None
            )
        return cls(path, manifest, summary if summary and isinstance(summary.get("outputs"), dict) else None)

    @property
    def outputs(self) -> Mapping[Path, str]:
        """Each output that it says it wrote, beside it, and its SHA-256."""
        named = (self.summary or {}).get("outputs", {})
        return {self.path.with_name(Path(name).name): str(sha256) for name, sha256 in named.items()}

    @property
    def named_output(self) -> Path:
        """The output that it is called after."""
        return self.path.with_name(self.path.name.removesuffix(RUN))


def is_run(path: Path) -> bool:
    """True of a folder with a manifest, or with the name of a run."""
    return path.is_dir() and (path.name.endswith(RUN) or (path / MANIFEST).exists())


def runs_in(folder: Path) -> dict[Path, RunRecord]:
    """Each output in a folder that a run beside it claims, and that run."""
    claimed: dict[Path, RunRecord] = {}
    for path in sorted(folder.glob(f"*{RUN}")):
        record = RunRecord.read(path)
        claimed.setdefault(record.named_output, record)
        claimed |= dict.fromkeys(record.outputs, record)
    return claimed


def _json(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
