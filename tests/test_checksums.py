"""A log of checksums by place: read back, the last one counts, and what a crash cut off costs one record."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.checksums import ChecksumLog

_records = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**32 - 1)), max_size=9)


def _written(path: Path, records: list[tuple[int, int, int]]) -> ChecksumLog:
    path.unlink(missing_ok=True)
    log = ChecksumLog(path)
    for record in records:
        log.add(*record)
    return log


@given(records=_records, cut=st.integers(0, 15), more=_records)
def test_a_log_is_read_back_and_goes_on_after_a_crash(
    tmp_path_factory: object, records: list[tuple[int, int, int]], cut: int, more: list[tuple[int, int, int]]
) -> None:
    log = _written(tmp_path_factory.mktemp("log") / "checksums.bin", records)  # type: ignore[attr-defined]
    assert log.read() == {(row, col): crc for row, col, crc in records}
    if records:
        log.path.write_bytes(log.path.read_bytes()[: -cut or None])
        records = records[:-1] if cut else records
        assert log.read() == {(row, col): crc for row, col, crc in records}
    for record in more:
        log.add(*record)
    assert log.read() == {(row, col): crc for row, col, crc in (*records, *more)}


def test_a_flipped_record_is_left_out(tmp_path: Path) -> None:
    log = _written(tmp_path / "checksums.bin", [(1, 2, 3), (4, 5, 6)])
    whole = bytearray(log.path.read_bytes())
    whole[9] ^= 1
    log.path.write_bytes(whole)
    assert log.read() == {(4, 5): 6}
