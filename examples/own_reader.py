"""A reader of one's own: slides that are numpy arrays, `uint8 (row, col, 3)` in a .npy file.

In a package, one line of pyproject.toml makes it known, and `open_slide` and `segment` take such files:

    [project.entry-points."wsi_nucssl.readers"]
    npy = "my_package.npy:READER"

    python examples/own_reader.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import numpy as np

import wsi_nucssl as wn
from wsi_nucssl.mpp import NOT_GIVEN, GivenMpp
from wsi_nucssl.slide.reader import Reader, SlideMetadata
from wsi_nucssl.slide.registry import SlideReader, local_path, starts_with
from wsi_nucssl.slide.source import Source, open_source


class NpyReader(Reader):
    """The file is mapped into memory: what is read is what is asked for."""

    name = "npy"

    def __init__(self, source: Source, mpp: GivenMpp = NOT_GIVEN) -> None:
        self._pixels = np.load(local_path(source, self.name), mmap_mode="r")
        source.close()
        height, width = self._pixels.shape[:2]
        super().__init__(source.location, SlideMetadata((wn.Size(width, height),), "npy", {}, ()), mpp)

    def _decode(self, level: int, box: wn.Box) -> np.ndarray:  # noqa: ARG002 (there is one level)
        return np.array(self._pixels[box.rc])

    def _decode_associated(self, name: str) -> np.ndarray:
        raise KeyError(name)  # it names none

    def close(self) -> None:
        """The map ends with the slide."""


READER = SlideReader(recognise=starts_with(b"\x93NUMPY"), open=NpyReader, endings=(".npy",))

if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "slide.npy"
    with wn.open_slide("sample_slides/sample.svs") as slide:
        np.save(path, slide.read((600, 500, 700, 600)))
    with READER.open(open_source(path), GivenMpp(0.25)) as slide:
        print(slide, slide.thumbnail(128).shape)
        print(wn.segment(slide, region=(100, 100, 300, 300)))
