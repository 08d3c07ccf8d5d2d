"""A slide's fingerprint, for manifests: fast on gigabytes, different for any two slides in practice."""

from __future__ import annotations

import contextlib
import hashlib
import os

from wsi_nucssl.locations import Url, locate
from wsi_nucssl.slide.base import Slide
from wsi_nucssl.slide.source import Source, open_source

_HEAD = 1 << 20
_SAMPLE = 1 << 16
_SAMPLES = 16


def identity(slide: Slide | str | os.PathLike[str] | Url) -> str:
    """Hex SHA-256 over the file's size, first and last MiB, and 16 evenly spaced samples of 64 KiB.

    Files of up to 3 MiB are hashed whole; of larger ones 3 MiB are read. It does not depend on the file's name
    or dates, nor on whether it is read here or by a URL. A change of bytes between the samples goes unnoticed: it
    tells slides apart, it does not prove integrity. Of formats that spread over several files (MIRAX, VMS), only
    the main file counts.
    """
    place = slide if isinstance(slide, str | os.PathLike | Url) else slide.path
    with contextlib.closing(open_source(locate(place))) as source:
        return fingerprint(source)


def fingerprint(source: Source) -> str:
    """The `identity` of what a source reads."""
    length = source.size
    digest = hashlib.sha256(f"wsi-nucssl slide identity 1\n{length}\n".encode())
    if length <= 2 * _HEAD + _SAMPLES * _SAMPLE:
        digest.update(source.read_at(0, length))
        return digest.hexdigest()
    digest.update(source.read_at(0, _HEAD))
    for index in range(1, _SAMPLES + 1):
        digest.update(source.read_at(length * index // (_SAMPLES + 1), _SAMPLE))
    digest.update(source.read_at(length - _HEAD, _HEAD))
    return digest.hexdigest()
