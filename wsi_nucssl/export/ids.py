"""What a nucleus is called, in every format: a uuid5 of its slide and of its place."""

from __future__ import annotations

import hashlib
import uuid

import numpy as np
from numpy.typing import NDArray


def nucleus_ids(identity: str, seed_xy: NDArray[np.int64]) -> NDArray[np.uint8]:
    """`uuid.uuid5(slide, "x,y")` of each seed, as uint8 (n, 16), where slide is the uuid5 of its identity.

    Parameters
    ----------
    identity : str
        What tells the slide from others.
    seed_xy : int64 (n, 2)
        `Nuclei.seed_xy`.
    """
    base = hashlib.sha1(uuid.uuid5(uuid.NAMESPACE_URL, identity).bytes, usedforsecurity=False)
    digests = bytearray()
    for x, y in seed_xy.tolist():
        one = base.copy()
        one.update(b"%d,%d" % (x, y))
        digests += one.digest()
    ids = np.frombuffer(digests, np.uint8).reshape(-1, 20)[:, :16].copy()
    ids[:, 6] = ids[:, 6] & 0x0F | 0x50
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    return ids


def spelled_ids(ids: NDArray[np.uint8]) -> list[str]:
    """Ids (n, 16) as people write them, such as "886313e1-3b8a-5372-9b90-0c9aee199e5d"."""
    return [str(uuid.UUID(bytes=one.tobytes())) for one in ids]


def id_letters(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Ids (n, 16) as `spelled_ids` spells them, in ASCII, uint8 (n, 36)."""
    letters = np.frombuffer(b"0123456789abcdef", np.uint8)
    digits = letters[np.stack([ids >> 4, ids & 15], axis=2)].reshape(-1, 32)
    spelled = np.full((len(ids), 36), ord("-"), np.uint8)
    for first, last, shift in ((0, 8, 0), (8, 12, 1), (12, 16, 2), (16, 20, 3), (20, 32, 4)):
        spelled[:, first + shift : last + shift] = digits[:, first:last]
    return spelled
