"""What a benchmark has found out so far, on disk: an interrupted one goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsi_nucssl.errors import RunMismatch
from wsi_nucssl.files import disk_errors, write_atomic

Key = tuple[str, ...]


class Journal:
    """JSON values by key, one a line, each on disk as soon as it is known.

    A last line that a crash cut off is forgotten.

    Raises
    ------
    RunMismatch
        The file holds anything else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[Key, Any] = {}
        if path.exists():
            self._read(path.read_bytes())

    def keep(self, key: Key, make: Callable[[], Any]) -> None:
        """Make the value of `key` and write it down, unless it is there.

        Made now or before, it has gone through JSON: tuples have become lists.
        """
        if key in self._values:
            return
        line = json.dumps([key, make()])
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._add(line)

    def __getitem__(self, key: Key) -> Any:
        return self._values[key]

    def _read(self, data: bytes) -> None:
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            write_atomic(self.path, whole)
        try:
            for line in whole.decode().splitlines():
                self._add(line)
        except (ValueError, TypeError) as error:
            raise RunMismatch(
                f"the scores kept are damaged ({error})",
                path=self.path,
                remedy="Start again with ⟨overwrite⟩",
            ) from error

    def _add(self, line: str) -> None:
        key, value = json.loads(line)
        self._values[tuple(key)] = value
