"""Names cost nothing, and opening a slide imports what that slide needs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from wsi_nucssl import slide
from wsi_nucssl.slide import RGB, canvas, description, fingerprint, opening

CHECK = "import sys; {}; loaded = {{{}}} & {{*sys.modules}}; assert not loaded, loaded"


def in_a_process(code: str, *without: str) -> None:
    subprocess.run([sys.executable, "-c", CHECK.format(code, ", ".join(map(repr, without)))], check=True)


def test_the_registry_is_light() -> None:
    in_a_process("import wsi_nucssl.slide.registry", "numpy", "fsspec", "tifffile", "cv2")


def test_a_plain_image_needs_no_slide_library(tmp_path: Path, pattern: Callable[[int, int], RGB]) -> None:
    Image.fromarray(pattern(60, 50)).save(tmp_path / "a.png")
    code = f"from wsi_nucssl.slide import open_slide; open_slide({str(tmp_path / 'a.png')!r})"
    in_a_process(code, "openslide", "tiffslide", "fsspec", "torch", "cv2")


def test_a_tiled_tiff_needs_the_fast_reader_alone(pyramid: Path) -> None:
    code = f"from wsi_nucssl.slide import open_slide; open_slide({str(pyramid)!r}).close()"
    in_a_process(code, "openslide", "tiffslide", "fsspec", "PIL", "torch", "cv2")


def test_every_name_is_there_and_none_is_a_module_of_that_name() -> None:
    assert all(
        map(inspect.ismodule, (canvas, description, fingerprint, opening))
    )  # now attributes of the package
    assert dir(slide) == sorted(slide.__all__)
    for name in slide.__all__:
        assert not inspect.ismodule(getattr(slide, name))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = slide.nonsense


def test_type_checkers_see_the_same_names() -> None:
    shown = re.findall(r"^    from [\w.]+ import (\w+) as \1$", inspect.getsource(slide), re.M)
    assert sorted(shown) == sorted(slide.__all__)
