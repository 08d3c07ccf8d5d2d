"""A slide as a lazy array: work on all of it, chunk by chunk, without holding it in memory.

python examples/dask_array.py [SLIDE]
"""

import sys

import dask
import numpy as np

import wsi_nucssl as wn

slide_path = sys.argv[1] if len(sys.argv) > 1 else "sample_slides/sample.svs"

with wn.open_slide(slide_path) as slide:
    pixels = slide.dask(mpp=1.0)  # uint8 (row, col, 3); nothing is read yet
    print(pixels)
    darkness = 255 - pixels.mean(axis=2)
    by_channel, dark, corner = dask.compute(
        pixels.mean(axis=(0, 1)), (darkness > 60).mean(), pixels[:100, :100].max()
    )
    print("mean colour", np.round(by_channel, 1), f"· dark {dark:.1%} · brightest in the corner {corner}")
