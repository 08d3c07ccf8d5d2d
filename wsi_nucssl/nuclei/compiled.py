"""The one way this project compiles a loop: numba, without the interpreter lock, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(loop: Loop) -> Loop:
    """Compile `loop` on first call; it releases the GIL, so threads run it side by side."""
    return cast(Loop, numba.njit(loop, cache=True, nogil=True))
