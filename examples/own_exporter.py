"""A format of one's own: an `Exporter` opens a path, is given tables of nuclei, and closes it.

In a package, one line of pyproject.toml makes it known, and `segment -o nuclei.wkt` writes it:

    [project.entry-points."wsi_nucssl.exporters"]
    wkt = "my_package.wkt:WKT"

    python examples/own_exporter.py [SLIDE] [OUTPUT_FOLDER]
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import wsi_nucssl as wn
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei, export
from wsi_nucssl.export.ids import spelled_ids
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.segment.images import predict_image


@contextmanager
def open_wkt(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    """One nucleus a line: its id, and its outline in level-0 px as well-known text."""
    with path.open("w", encoding="utf-8") as file:

        def write(nuclei: wn.Nuclei) -> None:
            for index, name in enumerate(spelled_ids(context.ids(nuclei))):
                rings = [context.transform.level0(ring) for ring in nuclei.rings(index)]
                texts = [", ".join(f"{x:.2f} {y:.2f}" for x, y in ring) for ring in rings]
                file.write(f"{name} POLYGON ({', '.join(f'({text})' for text in texts)})\n")

        yield write


WKT = Exporter(open_wkt)

if __name__ == "__main__":
    slide_path = sys.argv[1] if len(sys.argv) > 1 else "sample_slides/sample.svs"
    output = Path(sys.argv[2] if len(sys.argv) > 2 else ".") / "nuclei.wkt"
    model = wn.load_model("liteunet0x2-nuclei")
    with wn.open_slide(slide_path) as slide:
        image = slide.read((600, 500, 400, 400), mpp=model.info.mpp)
    nuclei = extract_nuclei(predict_image(wn.open_engine(model), image), model.info.instances)
    context = ExportContext(
        CanvasTransform(1.0, 1.0), wn.Mpp.square(model.info.mpp), identity="example", header={}
    )
    print(export({output: WKT}, [nuclei], context), "nuclei in", output)
