"""One change to a slide's bytes, made where a format keeps its structure."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import tifffile

ALTERNATIVES: Final = {
    254,
    255,
    256,
    257,
    258,
    259,
    262,
    266,
    274,
    277,
    284,
    317,
    320,
    338,
    339,
    529,
    530,
    531,
    532,
}
"""Fields that make another sound TIFF of the same bytes when another legal value is put in: size, colours, samples."""

_WIDTHS: Final = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}
_JPEG_SOF: Final = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")


@dataclass(frozen=True, slots=True)
class Mutation:
    """What was changed: the bytes, the kind of change, and what else the changed bytes may rightly mean.

    `meaning` is "raw" where pixel data were changed in a way that its codec cannot notice, "other" where a field got
    another legal value, else "".
    """

    data: bytes
    kind: str
    meaning: str
    place: str


def mutate(data: bytes, rng: random.Random) -> Mutation:
    """One mutation, drawn from those that the format allows."""
    is_tiff = data[:2] in (b"II", b"MM")
    makers = _TIFF_KINDS if is_tiff else _PLAIN_KINDS
    while True:
        kind = rng.choice(list(makers))
        made = makers[kind](bytearray(data), rng)
        if made is not None and made[0] != data:
            return Mutation(bytes(made[0]), kind, made[1], made[2])


Made = tuple[bytearray, str, str] | None


def _tags(data: bytes) -> list[tuple[tifffile.TiffPage, tifffile.TiffTag]]:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        pages = [page.aspage() for page in tiff.pages]
        pages += [sub.aspage() for page in pages for sub in (page.pages or ())]
        return [(page, tag) for page in pages for tag in page.tags]


def _pick(data: bytes, rng: random.Random) -> tuple[tifffile.TiffPage, tifffile.TiffTag, str, str]:
    """A page, one of its fields, the byte order and the format of the field's count."""
    page, tag = rng.choice(_tags(data))
    return page, tag, page.parent.byteorder, "Q" if page.parent.is_bigtiff else "I"


def _meaning(tag: tifffile.TiffTag) -> str:
    return "other" if tag.code in ALTERNATIVES else ""


def _flip_in_field(data: bytearray, rng: random.Random) -> Made:
    _, tag, _, count = _pick(bytes(data), rng)
    length = 12 if count == "I" else 20
    data[tag.offset + rng.randrange(length)] ^= 1 << rng.randrange(8)
    return data, _meaning(tag), f"field {tag.code}"


def _set_value(data: bytearray, rng: random.Random) -> Made:
    _, tag, order, _ = _pick(bytes(data), rng)
    code = _WIDTHS.get(int(tag.dtype))
    if code is None:
        return None
    size = struct.calcsize(code)
    at = tag.valueoffset + size * rng.randrange(max(1, min(tag.count, 64)))
    (old,) = struct.unpack_from(order + code, data, at)
    most = (1 << 8 * size) - 1
    new = rng.choice(
        [0, 1, 2, 3, old + 1, old - 1, old * 2, old // 2, most, most >> 1, 1 << 16, 1 << 24, 65500]
    )
    struct.pack_into(order + code, data, at, min(max(new, 0), most))
    return data, _meaning(tag), f"field {tag.code}: {old} → {new}"


def _set_type(data: bytearray, rng: random.Random) -> Made:
    _, tag, order, _ = _pick(bytes(data), rng)
    struct.pack_into(order + "H", data, tag.offset + 2, rng.choice([0, *range(1, 19), 255]))
    return data, _meaning(tag), f"field {tag.code}: type"


def _set_count(data: bytearray, rng: random.Random) -> Made:
    _, tag, order, count = _pick(bytes(data), rng)
    new = rng.choice(
        [0, 1, 2, tag.count - 1, tag.count + 1, tag.count * 2, 1 << 20, (1 << 31) - 1, (1 << 32) - 1]
    )
    struct.pack_into(order + count, data, tag.offset + 4, max(0, new))
    return data, _meaning(tag), f"field {tag.code}: count {new}"


def _delete(data: bytearray, rng: random.Random) -> Made:
    _, tag, order, _ = _pick(bytes(data), rng)
    struct.pack_into(order + "H", data, tag.offset, 60_000 + rng.randrange(5000))
    return data, _meaning(tag), f"field {tag.code} is gone"


def _table(data: bytearray, rng: random.Random) -> Made:
    """One number in the table of offsets or of byte counts."""
    tables = [(page, tag) for page, tag in _tags(bytes(data)) if tag.code in (273, 279, 324, 325)]
    page, tag = rng.choice(tables)
    code, order = _WIDTHS[int(tag.dtype)], page.parent.byteorder
    size, index = struct.calcsize(code), rng.randrange(tag.count)
    values = struct.unpack_from(order + f"{tag.count}{code}", data, tag.valueoffset)
    old, most = values[index], (1 << 8 * size) - 1
    new = rng.choice(
        [
            0,
            1,
            7,
            old + 1,
            old - 1,
            old // 2,
            old * 2,
            old ^ (1 << rng.randrange(16)),
            most,
            len(data),
            rng.choice(values),
        ]
    )
    struct.pack_into(order + code, data, tag.valueoffset + size * index, min(max(new, 0), most))
    return data, "", f"table {tag.code}[{index}]: {old} → {new}"


def _next_directory(data: bytearray, rng: random.Random) -> Made:
    page = rng.choice(_tags(bytes(data)))[0]
    big, order = page.parent.is_bigtiff, page.parent.byteorder
    (fields,) = struct.unpack_from(order + ("Q" if big else "H"), data, page.offset)
    at = page.offset + (8 if big else 2) + fields * (20 if big else 12)
    new = rng.choice(
        [
            page.offset,
            page.parent.pages.first.offset,
            len(data) - 3,
            len(data) + 9,
            2,
            rng.randrange(len(data)),
        ]
    )
    struct.pack_into(order + ("Q" if big else "I"), data, at, new)
    return data, "", f"next directory: {new}"


def _header(data: bytearray, rng: random.Random) -> Made:
    at = rng.randrange(16 if bytes(data[2:4]) in (b"+\0", b"\0+") else 8)
    data[at] ^= 1 << rng.randrange(8)
    return data, "", f"byte {at}"


def _cut(data: bytearray, rng: random.Random) -> Made:
    keep = rng.randrange(1, len(data))
    return data[:keep], "", f"{keep} bytes are left"


def _zero_tail(data: bytearray, rng: random.Random) -> Made:
    """The end never arrived: as many bytes, all of them zero."""
    keep = rng.randrange(len(data) // 4, len(data))
    data[keep:] = bytes(len(data) - keep)
    return data, _noticed(bytes(data), keep), f"zeros from byte {keep}"


def _noticed(data: bytes, _at: int) -> str:
    return "raw" if _codec(data) in ("lzw", "none", "zstd", "webp", "jpeg2000") else ""


def _codec(data: bytes) -> str:
    try:
        compression = int(_tags(data)[0][0].compression)
    except (tifffile.TiffFileError, ValueError, KeyError, IndexError, struct.error, TypeError):
        return "none"
    return {7: "jpeg", 8: "deflate", 5: "lzw", 50000: "zstd", 50001: "webp", 34712: "jpeg2000"}.get(
        compression, "none"
    )


def _segment(data: bytes, rng: random.Random) -> tuple[int, int]:
    page = rng.choice(_tags(data))[0]
    index = rng.randrange(len(page.dataoffsets))
    return page.dataoffsets[index], page.databytecounts[index]


def _stream(data: bytearray, rng: random.Random) -> tuple[int, int]:
    """A plain image as a whole, a TIFF's tile: where a JPEG stream may be."""
    return _segment(bytes(data), rng) if bytes(data[:2]) in (b"II", b"MM") else (0, len(data))


def _zero_in_tile(data: bytearray, rng: random.Random) -> Made:
    at, count = _segment(bytes(data), rng)
    begin = at + rng.randrange(count)
    end = min(at + count, begin + rng.choice([64, 512, count]))
    data[begin:end] = bytes(end - begin)
    codec = _codec(bytes(data))
    return (
        data,
        "" if codec == "deflate" or (codec == "jpeg" and end - begin > 63) else "raw",
        f"zeros {begin}–{end}",
    )


def _flip_in_tile(data: bytearray, rng: random.Random) -> Made:
    at, count = _segment(bytes(data), rng)
    place = at + rng.randrange(count)
    data[place] ^= 1 << rng.randrange(8)
    return data, "" if _codec(bytes(data)) == "deflate" else "raw", f"byte {place}"


def _jpeg_frame(data: bytearray, rng: random.Random) -> Made:
    """Another size, precision or number of components in a JPEG tile's frame header."""
    at, count = _stream(data, rng)
    if data[at : at + 2] != b"\xff\xd8":
        return None
    frames = [data.find(marker, at, at + count) for marker in _JPEG_SOF]
    found = [place for place in frames if place >= 0]
    if not found:
        return None
    place = min(found) + 4
    if rng.random() < 0.3:
        data[place + rng.choice([0, 5])] = rng.choice([1, 4, 8, 12, 16])
    else:
        struct.pack_into(">H", data, place + rng.choice([1, 3]), rng.choice([0, 1, 64, 127, 129, 256, 65500]))
    return data, "other" if at == 0 else "", f"frame at {place}"


def _marker(data: bytearray, rng: random.Random) -> Made:
    """An end marker in the middle of a JPEG stream, or none at its end."""
    at, count = _stream(data, rng)
    if data[at : at + 2] != b"\xff\xd8":
        return None
    place = at + count - 2 if rng.random() < 0.3 else at + rng.randrange(count * 2 // 3, count - 4)
    data[place : place + 2] = b"\xff\xd9" if place < at + count - 2 else b"\0\0"
    return data, "", f"end marker at {place}"


def _flip_anywhere(data: bytearray, rng: random.Random) -> Made:
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    return data, "" if data[:4] == b"\x89PNG" else "raw", f"byte {at}"


def _zeros_anywhere(data: bytearray, rng: random.Random) -> Made:
    at = rng.randrange(len(data))
    end = min(len(data), at + rng.choice([64, 512]))
    data[at:end] = bytes(end - at)
    return data, "raw" if data[:2] == b"\xff\xd8" else "", f"zeros {at}–{end}"


_TIFF_KINDS: Final[dict[str, Callable[[bytearray, random.Random], Made]]] = {
    "bit of a field": _flip_in_field,
    "value of a field": _set_value,
    "type of a field": _set_type,
    "count of a field": _set_count,
    "field left out": _delete,
    "table of tiles": _table,
    "next directory": _next_directory,
    "header": _header,
    "cut": _cut,
    "end is zeros": _zero_tail,
    "zeros in a tile": _zero_in_tile,
    "bit in a tile": _flip_in_tile,
    "JPEG frame": _jpeg_frame,
    "JPEG end": _marker,
}
_PLAIN_KINDS: Final[dict[str, Callable[[bytearray, random.Random], Made]]] = {
    "cut": _cut,
    "bit of the file": _flip_anywhere,
    "zeros in the file": _zeros_anywhere,
    "JPEG frame": _jpeg_frame,
    "JPEG end": _marker,
}
