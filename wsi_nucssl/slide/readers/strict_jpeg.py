"""JPEG tiles, decoded so that damage is an error.

libjpeg takes most damage for a warning, fills what is missing with grey and goes on. Here every warning is an error
(`simplejpeg`, libjpeg-turbo through its TurboJPEG interface, `strict`), and the frame header is held against the page
before memory is taken. The markers are those of ITU-T T.81, Annex B: https://www.w3.org/Graphics/JPEG/itu-t81.pdf
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

_EOI, _SOS, _APP0, _APP15 = 0xD9, 0xDA, 0xE0, 0xEF
_FRAMES: Final = {0xC0, 0xC1, 0xC2}
"""Baseline, extended and progressive Huffman: what the decoder decodes."""

_OTHER_FRAMES: Final = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_YCCK: Final = 2
_ADOBE_UNTRANSFORMED: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
_PROGRESSIVE, _DHT = 0xC2, 0xC4
_ZEROS: Final = bytes(40)
_END_OF_BLOCK: Final = 0
_SPACES: Final = {1: "GRAY", 3: "RGB", 4: "CMYK"}


class JpegDamage(ValueError):
    """A JPEG stream is damaged, or is not what its page says."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What the frame header states, and where the scan's own marker lies."""

    width: int
    height: int
    precision: int
    components: int
    applications: tuple[tuple[int, int], ...]
    scan_at: int


def read_header(data: bytes) -> JpegHeader:
    """Walk the markers from SOI to the first scan.

    Raises
    ------
    JpegDamage
        There is no way from one marker to the next, or no frame before the scan.
    """
    if data[:2] != b"\xff\xd8":
        raise JpegDamage("its JPEG stream does not begin with a start marker")
    at, frame, applications = 2, None, []
    while True:
        marker, begin, end = _next_segment(data, at)
        if marker in _FRAMES:
            if frame is not None or end - begin < 10:
                raise JpegDamage("its JPEG stream has no single, whole frame header")
            frame = data[begin + 4 : begin + 10]
        elif marker in _OTHER_FRAMES:
            raise JpegDamage(f"its JPEG stream is of a process (SOF{marker - 0xC0}) that is not decoded")
        elif _APP0 <= marker <= _APP15:
            applications.append((begin, end))
        elif marker == _SOS:
            break
        at = end
    if frame is None:
        raise JpegDamage("its JPEG stream has no frame header")
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    return JpegHeader(width, height, frame[0], frame[5], tuple(applications), begin)


def _next_segment(data: bytes, at: int) -> tuple[int, int, int]:
    """(marker, first byte, byte after the last) of the segment at `at`, fill bytes skipped."""
    while data[at : at + 2] == b"\xff\xff":
        at += 1
    if len(data) < at + 4 or data[at] != 0xFF:
        raise JpegDamage(f"its JPEG stream has no marker at byte {at}")
    marker, end = data[at + 1], at + 2 + (data[at + 2] << 8 | data[at + 3])
    if marker < 0xC0 or 0xD0 <= marker <= _EOI:
        raise JpegDamage(f"its JPEG stream holds the marker {marker:#x} before its scan")
    if not at + 4 <= end <= len(data):
        raise JpegDamage("its JPEG stream ends inside a header")
    return marker, at, end


def decode(
    data: bytes,
    tables: bytes | None,
    shapes_rc: Sequence[tuple[int, int]],
    components: int,
    *,
    stored_as_is: bool,
) -> NDArray[np.uint8]:
    """A whole 8-bit JPEG tile.

    Parameters
    ----------
    data : bytes
        From SOI to EOI.
    tables : bytes or None
        The page's JPEGTables, for a stream without tables of its own.
    shapes_rc : sequence of tuple of int
        (rows, cols) that the page gives the tile; several where a last strip may be stored in full.
    components : int
        Samples a pixel of the page: 1, 3 or 4.
    stored_as_is : bool
        The samples are the page's own (RGB, as Aperio stores it); else three of them become RGB as the stream's
        markers say, YCbCr where they say nothing.

    Returns
    -------
    ndarray of uint8
        (rows, cols, components).

    Raises
    ------
    JpegDamage
        The stream ends early, is corrupt, or has another size, precision or number of components.
    """
    header = read_header(data)
    _check(header, shapes_rc, components)
    if components == len("CMYK"):
        _check_inks(data, header)
    stream = _assembled(data, tables, header, stored_as_is or components == 4)
    _check_zeros(stream, data, header.scan_at)
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(stream, _SPACES[components], strict=True)
    except ValueError as error:
        raise JpegDamage(f"its JPEG stream is damaged: {error}") from error
    return pixels.reshape(header.height, header.width, components)


def _check(header: JpegHeader, shapes_rc: Sequence[tuple[int, int]], components: int) -> None:
    if (header.height, header.width) not in shapes_rc:
        rows, cols = shapes_rc[0]
        raise JpegDamage(
            f"its JPEG stream holds {header.width} × {header.height} px instead of {cols} × {rows}"
        )
    if header.precision != 8:
        raise JpegDamage(f"its JPEG stream holds {header.precision} bits a sample instead of 8")
    if header.components != components or components not in _SPACES:
        raise JpegDamage(f"its JPEG stream holds {header.components} samples a pixel instead of {components}")


def _check_zeros(stream: bytes, data: bytes, scan_at: int) -> None:
    """Refuse a scan with a run of zero bytes, where no picture can be coded so.

    Zero bits are the first code of a Huffman table. Where that is no end of block but a coefficient, as in the usual
    table of brightness, a run of zeros is a block of which all coefficients are −1, and so on: data that never arrived.
    libjpeg decodes it without a warning where as many blocks come out as it takes.
    """
    at = data.find(_ZEROS, scan_at)
    if at >= 0 and _first_ac_symbols(stream) - {_END_OF_BLOCK}:
        raise JpegDamage(f"its JPEG stream holds nothing but zeros from byte {at} on")


def _first_ac_symbols(stream: bytes) -> set[int]:
    """What zero bits mean in each table of AC coefficients; none of a progressive stream."""
    found: set[int] = set()
    at = 2
    while at + 4 <= len(stream):
        marker, begin, end = _next_segment(stream, at)
        at = end
        if marker in (_SOS, _PROGRESSIVE):
            return found if marker == _SOS else set()
        if marker != _DHT:
            continue
        table = begin + 4
        while table + 17 <= end:
            symbols = sum(stream[table + 1 : table + 17])
            if stream[table] >> 4 == 1 and symbols and table + 17 < end:
                found.add(stream[table + 17])
            table += 17 + symbols
    return found


def _check_inks(data: bytes, header: JpegHeader) -> None:
    """Four samples are the page's own, unless Adobe's marker says that the first three are YCC."""
    for begin, end in header.applications:
        if data[begin + 1] == 0xEE and data[begin + 4 : begin + 9] == b"Adobe" and data[end - 1] == _YCCK:
            raise JpegDamage("its JPEG stream holds YCCK, which is not read")


def _assembled(data: bytes, tables: bytes | None, header: JpegHeader, as_is: bool) -> bytes:
    """One stream of the page's tables and the tile's; `as_is` replaces what it says of colours by "untransformed"."""
    common = b"" if tables is None else tables[2 : tables.rindex(b"\xff\xd9")]
    if not as_is:
        return b"".join((data[:2], common, data[2:]))
    kept, at = [], 2
    for begin, end in header.applications:
        kept.append(data[at:begin])
        at = end
    return b"".join((data[:2], _ADOBE_UNTRANSFORMED, common, *kept, data[at:]))


def check_whole(data: bytes) -> JpegHeader:
    """A JPEG file, whatever its colours: its header, if every scan of it decodes without a warning.

    It is decoded at an eighth of its size, which takes all of the stream but a fraction of the time.

    Raises
    ------
    JpegDamage
        It is damaged.
    """
    header = read_header(data)
    _check_zeros(data, data, header.scan_at)
    try:
        space = _SPACES[4 if header.components == 4 else 1 if header.components == 1 else 3]
        simplejpeg.decode_jpeg(data, space, min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:
        raise JpegDamage(f"its JPEG stream is damaged: {error}") from error
    return header
