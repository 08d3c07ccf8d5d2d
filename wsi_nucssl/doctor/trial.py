"""A slide with a known answer, from file to GeoJSON, by the default model and the engine that work here would take.

The slide is drawn (`picture`); the network was taught nothing like it. By OpenVINO in INT8, bf16 and float32, on
several instruction sets, and by PyTorch in bf16 it finds 117 to 120 of the 121 nuclei and one to three others; their
areas lie within 1 % of `AREA_UM2`. `NUCLEI_OFF` and `AREA_OFF` leave room for that, and for processors that round
otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.doctor.finding import Check, Finding, doubtful, faulty, fine
from wsi_nucssl.doctor.picture import write_picture
from wsi_nucssl.export.columns import COLUMNS
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import segment_slide

AREA_UM2: Final = 4630.0
"""Of all nuclei together, by the default model: midway between the engines."""
AREA_OFF: Final = 0.06
NUCLEI_OFF: Final = 10
"""Nuclei that may be missed, and as many that may be too many."""
_NEAR_PX: Final = 6.0
_SLOW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out.

    Attributes
    ----------
    drawn : int
        Nuclei in the picture.
    found : int
        Nuclei in the result.
    matched : int
        Drawn nuclei with one of the result where they were drawn.
    area_um2 : float
        Of all in the result.
    sha256 : str
        Of the result's polygons, to compare machines by; processors of one kind give the same.
    engine : str
        What ran.
    seconds : float
        The whole run.
    """

    drawn: int
    found: int
    matched: int
    area_um2: float
    sha256: str
    engine: str
    seconds: float


def trial() -> Trial:
    """Draw, segment, read and compare."""
    begun = perf_counter()
    with TemporaryDirectory() as folder:
        slide, output = Path(folder, "picture.tif"), Path(folder, "nuclei.geojson")
        centres = write_picture(slide)
        segment_slide(slide, output, load_model(), SegmentOptions(workers=1), resume=False, overwrite=False)
        nuclei = NucleiFile(output)
        features = [nucleus.feature for nucleus in nuclei]
    return _compared(centres, features, str(nuclei.header["engine"]), perf_counter() - begun)


def _compared(
    centres: NDArray[np.int64], features: list[Mapping[str, Any]], engine: str, seconds: float
) -> Trial:
    rings = [np.array(each["geometry"]["coordinates"][0])[:-1] for each in features]
    found = np.array([ring.mean(axis=0) for ring in rings]).reshape(-1, 2)
    apart = np.linalg.norm(centres[:, None] - found[None], axis=2)
    area = sum(each["properties"]["measurements"][COLUMNS[0].qupath] for each in features)
    polygons = orjson.dumps([each["geometry"] for each in features])
    return Trial(
        drawn=len(centres),
        found=len(found),
        matched=int((apart.min(axis=1, initial=np.inf) < _NEAR_PX).sum()),
        area_um2=float(area),
        sha256=hashlib.sha256(polygons).hexdigest(),
        engine=engine,
        seconds=seconds,
    )


def judge_trial(found: Trial) -> Finding:
    """The nuclei that were drawn, and no others."""
    what = (
        f"{found.matched} of {found.drawn} nuclei found where they were drawn, {found.found} in all, "
        f"{found.area_um2:.0f} µm² ({AREA_UM2:.0f} expected), polygons {found.sha256[:8]}, "
        f"by {found.engine} in {found.seconds:.1f} s"
    )
    missed, extra = found.drawn - found.matched, found.found - found.matched
    if missed > NUCLEI_OFF or extra > NUCLEI_OFF or abs(found.area_um2 / AREA_UM2 - 1) > AREA_OFF:
        return faulty(
            f"wrong result: {what}",
            "Compare with ⟨engine⟩ torch and ⟨device⟩ cpu, and report this page: results here cannot be trusted",
        )
    if found.seconds > _SLOW_SECONDS:
        return doubtful(
            f"slow: {what}", "Run it again, since the first run compiles; then see the cpu and threads above"
        )
    return fine(what)


TRIAL: Final = Check("trial", trial, judge_trial)
