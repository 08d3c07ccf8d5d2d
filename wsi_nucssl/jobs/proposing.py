"""`propose`: tiles of a slide that are worth annotating, with outlines to correct in QuPath, in one call."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from wsi_nucssl.checks import whole
from wsi_nucssl.errors import SlideError
from wsi_nucssl.files import atomic_path, safe_stem
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.jobs.arguments import PathArgument, one_path
from wsi_nucssl.locations import locate
from wsi_nucssl.outputs import check_output

if TYPE_CHECKING:
    from wsi_nucssl.engines.base import Engine
    from wsi_nucssl.models.devices import Device
    from wsi_nucssl.models.weights import Model
    from wsi_nucssl.nuclei.settings import Probabilities
    from wsi_nucssl.result.result import Result
    from wsi_nucssl.slide import RGB

COUNT: Final = 20
SIDE_PX: Final = 512
"""Side of a tile at the model's mpp."""
_HELD_BYTES: Final = 192 << 20
_NAMESPACE: Final = uuid.UUID("0a4f6e39-53c4-5d0c-9f0f-6f0b7f3f2f52")
_COLOUR: Final = [200, 0, 0]


def propose(
    slide: PathArgument,
    folder: PathArgument,
    count: int = COUNT,
    *,
    model: PathArgument | Model | None = None,
    side_px: int = SIDE_PX,
    seed: int = 0,
    mpp: Mpp | float | None = None,
    reader: str = "auto",
    device: Device = "auto",
    engine: str | Engine = "auto",
    overwrite: bool = False,
    on_progress: Callable[[int, int], object] = lambda _done, _all: None,
) -> Path:
    """Write tiles of a slide that a model is unsure of and that are unlike one another, each with its outlines.

    ID.png opens in QuPath, and ID.geojson on it: annotations to be corrected. The folder is a dataset for `finetune`
    (`manifest.json` says the mpp); tiles whose outlines nobody has exported again are left out there.

    Parameters
    ----------
    slide : str or Path
        A slide or image, a file or a URL.
    folder : str or Path
        Where the tiles go, whole or not at all.
    count : int
        How many, at most.
    model : str, Path or Model, optional
        Whose doubts count and whose outlines are drawn; the default model if not given.
    side_px : int
        Side of a tile at the model's mpp; of a coarser slide, as many µm.
    seed : int
        Of the tiles that are looked at, where there are more than eight times `count`.
    mpp : float or Mpp, optional
        µm per px of level 0, where the slide does not say it.
    reader, device, engine : str
        As for `segment_slide`.
    overwrite : bool
        Replace a folder that is there.
    on_progress : callable
        Is told how many tiles of how many are looked at.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    SlideError, MissingMpp
        The slide cannot be read, does not say its mpp, or has no tile of tissue.
    OutputExists
        Something is there that is not to be replaced.
    UsageError
        A number is out of range.
    """
    from wsi_nucssl.engines.opening import as_engine
    from wsi_nucssl.models.weights import as_model
    from wsi_nucssl.segment.in_memory import result_of_image
    from wsi_nucssl.segment.proposals import candidates, proposals
    from wsi_nucssl.slide import open_slide, tissue_mask
    from wsi_nucssl.slide.canvas import Canvas
    from wsi_nucssl.slide.resolution import require_mpp

    whole("count", count, 1, 10_000)
    whole("side_px", side_px, 64, 4096)
    whole("seed", seed, 0, 2**63 - 1)
    place, target = locate(slide, "slide"), one_path("folder", folder)
    check_output(target, inputs=[place], overwrite=overwrite, is_folder=True)
    loaded = as_model(model)
    opened = as_engine(engine, loaded, device, 1)
    with open_slide(place, reader=reader, mpp=None if mpp is None else Mpp.parse_side(mpp)) as source:
        known = require_mpp(source).mean
        own = max(loaded.info.mpp, known)
        canvas = Canvas(source, own)
        side = round(side_px * loaded.info.mpp / own)
        boxes = candidates(canvas, tissue_mask(source), side, count, seed)
        if not boxes:
            raise SlideError(
                f"has no tile of {side_px * loaded.info.mpp:g} µm that is half tissue",
                path=str(place),
                remedy="Give a smaller ⟨side_px⟩",
            )
        predictions = _Predictions(opened, loaded.info.mpp / own)
        looked_at = 0

        def predict(box: Box, image: RGB) -> Probabilities:
            nonlocal looked_at
            planes = predictions.of(box, image)
            looked_at += 1
            on_progress(looked_at, len(boxes))
            return planes

        chosen = proposals(canvas, boxes, predict, count)
        with atomic_path(target) as partial:
            partial.mkdir(parents=True)
            manifest = {}
            for each in chosen:
                corner = canvas.to_level0(each.box)
                name = f"{safe_stem(place)}-x{corner.x0}-y{corner.y0}"
                manifest[name] = {
                    "mpp": own,
                    "slide": place.name,
                    "region": [corner.x0, corner.y0, corner.width, corner.height],
                    "uncertainty": round(each.uncertainty, 4),
                }
                image = canvas.read(each.box)
                found = result_of_image(image, predictions.of(each.box, image), own, loaded, opened)
                _write(partial / name, image, found, loaded)
            (partial / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return target


class _Predictions:
    """What the network said of tiles, so that those that are chosen need not be predicted again.

    Tiles beyond the first 192 MiB are: of some hundred thousand, nobody could hold all.
    """

    def __init__(self, engine: Engine, scale: float) -> None:
        self._engine, self._scale = engine, scale
        self._held: dict[Box, Probabilities] = {}
        self._room = _HELD_BYTES

    def of(self, box: Box, image: RGB) -> Probabilities:
        """The planes of a tile."""
        from wsi_nucssl.segment.images import predict_image

        if box in self._held:
            return self._held[box]
        planes = predict_image(self._engine, image, scale=self._scale)
        if planes.nbytes <= self._room:
            self._held[box] = planes
            self._room -= planes.nbytes
        return planes


def _write(stem: Path, image: RGB, found: Result, model: Model) -> None:
    """A tile and its outlines, as annotations that can be edited."""
    import shapely

    from wsi_nucssl.pictures import png

    stem.with_name(f"{stem.name}.png").write_bytes(png(image))
    features = [
        {
            "type": "Feature",
            "id": str(uuid.uuid5(_NAMESPACE, f"{stem.name} {number}")),
            "geometry": json.loads(outline),
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Nucleus", "color": _COLOUR},
            },
        }
        for number, outline in enumerate(shapely.to_geojson(found.polygons).tolist())
    ]
    header = {"kind": "proposal", "model": model.info.name}
    content = {"type": "FeatureCollection", "wsi_nucssl": header, "features": features}
    stem.with_name(f"{stem.name}.geojson").write_bytes(orjson.dumps(content))
