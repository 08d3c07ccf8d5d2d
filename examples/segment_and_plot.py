"""Segment a region of a slide, look at it, and write GeoJSON for QuPath.

python examples/segment_and_plot.py [SLIDE] [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import wsi_nucssl as wn

slide_path = sys.argv[1] if len(sys.argv) > 1 else "sample_slides/sample.svs"
output = Path(sys.argv[2] if len(sys.argv) > 2 else ".")

with wn.open_slide(slide_path) as slide:
    print(slide)
    print("thumbnail of shape", slide.thumbnail(256).shape)

result = wn.segment(slide_path, region=(600, 500, 600, 400))  # x, y, width, height in level-0 px
print(result)

axes = result.plot(color_by="area_um2")
axes.figure.savefig(output / "nuclei.png", dpi=150)
result.to_geojson(output / "nuclei.geojson", overwrite=True)
print("written:", output / "nuclei.png", output / "nuclei.geojson")
