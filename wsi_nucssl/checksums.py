"""Which bytes belong to which place, of what is written piece by piece: two that are swapped are noticed."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from wsi_nucssl.files import write_atomic

Checksums = dict[tuple[int, int], int]
"""CRC-32C of each piece's packed bytes, by (row, col)."""

_RECORD: Final = 16


@dataclass(frozen=True, slots=True)
class ChecksumLog:
    """A file that grows by a record for each piece that is written: row, col, CRC, and a check of these three.

    Attributes
    ----------
    path : Path
        The file; absent is empty.
    """

    path: Path

    def add(self, row: int, col: int, crc: int) -> None:
        """Note a piece that has been written. Safe from many threads and processes."""
        record = np.array([row, col, crc, row ^ col ^ crc], "<u4").tobytes()
        with self.path.open("ab", buffering=0) as file:
            if file.write(record) != _RECORD:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def read(self, *, mend: bool = True) -> Checksums:
        """The last checksum of each place; a record that a crash cut off is left out, and removed unless not `mend`."""
        if not self.path.exists():
            return {}
        data = self.path.read_bytes()
        if len(data) % _RECORD:  # what is appended from now on has to begin where a record begins
            data = data[: len(data) // _RECORD * _RECORD]
            if mend:
                write_atomic(self.path, data)
        return {
            (row, col): crc
            for row, col, crc, check in np.frombuffer(data, "<u4").reshape(-1, 4).tolist()
            if row ^ col ^ crc == check
        }
