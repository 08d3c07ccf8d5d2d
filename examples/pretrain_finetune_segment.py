"""The whole chain: an encoder from slides without labels, a network from a few labelled tiles, nuclei from a slide.

The numbers are those of a toy that runs in a minute; leave `recipe`, `steps` and `epochs` out for real work. Labels
here are those that the sample slide was drawn from; yours are folders as in docs/datasets.md.

    python examples/pretrain_finetune_segment.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import imagecodecs
import numpy as np

import wsi_nucssl as wn

SLIDE = "sample_slides/sample.svs"
output = Path(sys.argv[1] if len(sys.argv) > 1 else "chain")

# labelled tiles: images/*.png and labels/*.png of the same names
truth = wn.read_nuclei("sample_slides/sample_truth.geojson.gz", slide=SLIDE)
with wn.open_slide(SLIDE) as slide:
    labels = np.zeros(slide.dimensions.shape_rc, np.uint16)
    labels[truth.frame.labels.rc] = truth.labels
    for number, (x, y) in enumerate([(600, 500), (1200, 900), (1600, 1300)]):
        for folder, pixels in (
            ("images", slide.read((x, y, 256, 256))),
            ("labels", labels[y : y + 256, x : x + 256]),
        ):
            (output / "tiles" / folder).mkdir(parents=True, exist_ok=True)
            path = output / "tiles" / folder / f"tile_{number}.png"
            path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))

encoder = wn.pretrain(
    SLIDE,
    output / "ssl",
    arch="efficientnet-lite0",
    steps=2,
    batch_size=2,
    recipe={"tile_px": 200, "views": {"view_px": 64}, "log_every": 1, "checkpoint_every": 2},
    overwrite=True,
)
print("encoder:", encoder.weights)

run = wn.finetune(
    output / "tiles",
    output / "model",
    encoder=encoder.folder,
    mpp=0.25,
    epochs=1,
    recipe={"crops_per_image": 2, "batch_size": 2, "crop_px": 128},
    overwrite=True,
)
print("model:", run.weights, "\n", run.table)

summary = wn.segment_slide(SLIDE, output / "nuclei.geojson", model=run.folder, overwrite=True)
print("nuclei:", summary.nuclei)
