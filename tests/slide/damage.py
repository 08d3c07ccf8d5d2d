"""How tests damage slides, and what they ask of them then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tifffile

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, open_slide

Writer = Callable[..., Path]
SIZE = Box(0, 0, 300, 260)


def page_of(path: Path) -> tifffile.TiffPage:
    with tifffile.TiffFile(path) as file:
        return file.pages[0].aspage()


def patch(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def read(path: Path, **how: Any) -> RGB:
    with open_slide(path, **how) as slide:
        return slide.read_level(0, SIZE)


def refused(path: Path, says: str, **how: Any) -> str:
    with pytest.raises(SlideError, match=says) as caught:
        read(path, **how)
    assert caught.value.path == str(path)
    assert caught.value.remedy
    return caught.value.message
