"""Pictures of each ending are what the ending says, and known for ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsi_nucssl.errors import UsageError
from wsi_nucssl.pictures import ENCODERS, encoder_of, is_ours

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}


@pytest.mark.parametrize("ending", ENCODERS)
def test_a_picture_is_what_its_ending_says(ending: str, tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 90).astype(np.uint8)
    image = np.broadcast_to(smooth[None, :, None], (40, 90, 3)).copy()
    path = tmp_path / f"picture{ending.upper()}"
    path.write_bytes(encoder_of(path)(image))
    with Image.open(path) as opened:
        assert opened.format == FORMATS[ending]
        read = np.asarray(opened.convert("RGB"))
    assert read.shape == image.shape
    assert np.abs(read.astype(int) - image).max() <= (6 if "jp" in ending else 0)
    assert is_ours(path)


@pytest.mark.parametrize("name", ["a.gif", "a", "a.geojson", "png"])
def test_another_ending_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no picture ends in"):
        encoder_of(Path(name))
