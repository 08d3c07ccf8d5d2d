"""What pandas says about nuclei: sizes, densities on a grid, and a file of the large ones.

python examples/pandas_table.py [SLIDE] [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import wsi_nucssl as wn

slide_path = sys.argv[1] if len(sys.argv) > 1 else "sample_slides/sample.svs"
output = Path(sys.argv[2] if len(sys.argv) > 2 else ".")

result = wn.segment(slide_path, region=(500, 400, 800, 600))
table = result.table
print(table[["area_um2", "perimeter_um", "eccentricity", "hematoxylin_od"]].describe().round(2))

# nuclei per mm² in squares of 50 µm
square = 50
column = (table.centroid_x_um // square).astype(int)
row = (table.centroid_y_um // square).astype(int)
per_mm2 = table.groupby([row, column]).size().unstack(fill_value=0) / (square / 1000) ** 2
print(per_mm2.astype(int))

# a column of one's own, and some of the nuclei as a result of their own
table["is_large"] = table.area_um2 > table.area_um2.quantile(0.9)
large = result[table.is_large]
print(large)
large.to_geojson(output / "large.geojson", overwrite=True)
table.to_csv(output / "nuclei.csv", index=False)

# a file comes back as the same result
again = wn.read_nuclei(output / "large.geojson", slide=slide_path)
print("read again:", len(again), "nuclei, labels of shape", again.labels.shape)
