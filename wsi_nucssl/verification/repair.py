"""Make again what is lost, and nothing else: from a whole output of the same run, else from the slide.

What is made is taken only if its bytes are those that were lost: by the hash that the run wrote down, or by the
checksum of the place.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.engines.base import Engine
from wsi_nucssl.engines.registry import ENGINES, VIEWS
from wsi_nucssl.errors import (
    InputError,
    MissingMpp,
    OutputError,
    Stopped,
    UsageError,
    WeightsError,
    WsiNucsslError,
)
from wsi_nucssl.export.base import export
from wsi_nucssl.export.registry import EXPORTERS, format_of
from wsi_nucssl.export.selection import Selection
from wsi_nucssl.export.stored import ENDINGS, read_stored
from wsi_nucssl.files import remove_tree, sha256_tree, write_atomic
from wsi_nucssl.files import replace as put
from wsi_nucssl.models.info import bundled_models
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.runs import MANIFEST
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import Steps, segment_slide
from wsi_nucssl.segment.summary import RUN
from wsi_nucssl.slide import Canvas, open_slide
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE, TISSUES
from wsi_nucssl.tiles.store import TileStore
from wsi_nucssl.verification.claims import Claims, SlideAtHand
from wsi_nucssl.verification.fault import Fault, Verdict
from wsi_nucssl.verification.outputs import look_at_output
from wsi_nucssl.verification.records import RunRecord
from wsi_nucssl.verification.runs import look_at_run
from wsi_nucssl.verification.stores import look_at_store
from wsi_nucssl.verification.targets import Target

_MARK: Final = {"wsi_nucssl_run": 1}
_NOT_OF_THE_RUN: Final = ("slide_name", "mpp_source", "hematoxylin_mpp", "origin_l0", "scale_l0")
"""What an output's header says beyond its run's manifest."""
_OF_ANOTHER: Final = frozenset({"other-slide", "other-weights", "other-run", "at-work"})
"""Faults of what is whole but does not belong here: nothing is lost, so nothing is made again."""


@dataclass(frozen=True, slots=True)
class Repair:
    """Mends what can be mended.

    Parameters
    ----------
    model : Model, optional
        Weights besides those that are bundled.
    steps : Steps, optional
        What a run does at each step.
    """

    model: Model | None = None
    steps: Steps | None = None

    def __call__(self, target: Target, verdict: Verdict) -> Verdict:
        """Mend a target, and look at it again; what could not be mended stays a fault, with the reason."""
        verdict = target.examined()  # another target's repair may have mended it
        if not verdict.faults or any(fault.kind in _OF_ANOTHER for fault in verdict.faults):
            return verdict
        ways: Mapping[Any, Callable[[Path, Claims], str]] = {
            look_at_output: self._output,
            look_at_store: _store,
            look_at_run: self._run,
        }
        way = ways.get(target.look)
        if way is None:
            return verdict
        try:
            done = way(target.path, target.claims)
        except WsiNucsslError as error:
            why = f"it cannot be repaired: {error.what}"
            fault = Fault(str(target.path), "not-repaired", why, error.remedy or "Make it again")
            return replace(verdict, faults=(*verdict.faults, fault))
        return target.examined().mended(done)

    def _output(self, path: Path, claims: Claims) -> str:
        if not claims.sha256:
            raise OutputError("nobody knows which bytes it had", remedy="Segment again with ⟨overwrite⟩")
        if self._exported(path, claims):
            return "exported again"
        self._segmented(path, claims)
        return "segmented again"

    def _exported(self, path: Path, claims: Claims) -> bool:
        """Whether it could be written again from another output of its run."""
        record = RunRecord.read(claims.run) if claims.run else None
        for source, sha256 in (record.outputs if record else {}).items():
            whole = source != path and source.name.endswith(ENDINGS) and source.exists()
            if whole and sha256_tree(source) == sha256:
                with _workshop(path) as scratch, contextlib.suppress(InputError, UsageError):
                    context, tables = read_stored(source)
                    context = replace(context, slide=_local_slide(claims))
                    export({scratch / path.name: EXPORTERS.get(format_of(path) or "")}, tables, context)
                    if _take(scratch / path.name, path, claims.sha256):
                        return True
        return False

    def _segmented(self, path: Path, claims: Claims) -> None:
        """Segment the slide again, beside the run, with its settings, into the outputs of it that are lost."""
        record = RunRecord.read(claims.run) if claims.run else None
        wanted = {**(record.outputs if record else {}), path: claims.sha256}
        lost = {each: sha for each, sha in wanted.items() if not each.exists() or sha256_tree(each) != sha}
        slide = _slide_of(claims)
        with _workshop(path) as scratch:
            self._segment(claims.manifest, slide, [scratch / each.name for each in lost])
            taken = [_take(scratch / each.name, each, sha256) for each, sha256 in lost.items()]
        if not all(taken):
            raise OutputError(
                "the same settings gave other bytes here than they gave there",
                remedy="Repair it on a machine of the kind that made it, or segment again with ⟨overwrite⟩",
            )

    def _segment(self, manifest: Mapping[str, Any], slide: SlideAtHand, outputs: list[Path]) -> None:
        """Run with the settings of a manifest, which another version or engine refuses by name."""
        model = self._model(manifest)
        steps = self.steps or Steps()
        first = next(path for name in EXPORTERS.names for path in outputs if format_of(path) == name)
        run = first.with_name(f"{first.name}{RUN}")
        if not (run / MANIFEST).exists():
            _write_manifest(run / MANIFEST, manifest)
        options = _options(manifest, slide)
        engine = _engine(manifest, model, steps)
        segment_slide(slide.location, outputs, model, options, resume=True, engine=engine, steps=steps)

    def _model(self, manifest: Mapping[str, Any]) -> Model:
        sha256 = manifest.get("model_sha256")
        models = [self.model] if self.model else []
        for model in (*models, *(load_model(name) for name in bundled_models())):
            if model.sha256 == sha256:
                return model
        name = manifest.get("model", "the model")
        raise WeightsError(f"the weights {name} are not at hand", remedy="Give them with ⟨model⟩")

    def _run(self, path: Path, claims: Claims) -> str:
        record = RunRecord.read(path)
        if record.manifest is None:
            return _manifest_from_output(path, record)
        if record.summary is not None or (path / "summary.json").exists():
            raise OutputError("its record is damaged, not its work", remedy="Segment again with ⟨overwrite⟩")
        self._segment(record.manifest, _slide_of(claims), [record.named_output])
        return "gone on with, to its end"


@contextlib.contextmanager
def _workshop(path: Path) -> Iterator[Path]:
    """A folder beside an output where it is made again; one that was stopped stays, and is gone on with."""
    scratch = path.with_name(f".{path.name}.repair")
    try:
        yield scratch
    except Stopped:
        raise
    except WsiNucsslError:
        remove_tree(scratch)
        raise
    remove_tree(scratch)


def _take(made: Path, path: Path, sha256: str) -> bool:
    """Put what was made in the place of what was lost, if it is the same."""
    if sha256_tree(made) != sha256:
        return False
    if path.is_dir() != made.is_dir() and path.exists():
        raise OutputError("something else has its name", path=path, remedy="Move it away")
    put(made, path)
    return True


def _local_slide(claims: Claims) -> Path | None:
    """The file of the slide that a run is of, for formats that refer to it; None where it is not at hand."""
    slide = claims.slide_of(claims.manifest.get("slide"))
    return slide.location if slide and isinstance(slide.location, Path) else None


def _slide_of(claims: Claims) -> SlideAtHand:
    if "slide" not in claims.manifest:
        raise OutputError("its settings are lost with its run", remedy="Segment again with ⟨overwrite⟩")
    slide = claims.slide_of(claims.manifest["slide"])
    if slide is None:
        raise OutputError("its slide is not at hand", remedy="Give it with ⟨slide⟩")
    return slide


def _options(manifest: Mapping[str, Any], slide: SlideAtHand) -> SegmentOptions:
    """The choices that a manifest records."""
    tissue = manifest.get("tissue", DEFAULT_TISSUE)
    if tissue not in TISSUES:
        raise UsageError(
            "its tissue was annotated in a file", remedy="Segment again, with ⟨tissue⟩ and ⟨overwrite⟩"
        )
    if "roi" in manifest:
        raise UsageError(
            "its regions were drawn in a file", remedy="Segment again, with ⟨roi⟩ and ⟨overwrite⟩"
        )
    forced = bool(manifest.get("force_mpp"))
    with open_slide(slide.location, reader=str(manifest["reader"])) as opened:
        silent = opened.mpp is None
    mpp = manifest["slide_mpp"]
    if (silent or forced) and mpp[0] != mpp[1]:
        raise MissingMpp(
            "its px are no squares, which no option says", remedy="Segment again with ⟨overwrite⟩"
        )
    return SegmentOptions(
        mpp=float(mpp[0]) if silent or forced else None,
        force_mpp=forced,
        reader=str(manifest["reader"]),
        batch_size=int(manifest["batch_size"]),
        origin=manifest["origin"],
        selection=Selection(
            *(float(manifest.get(each, 0.0)) for each in ("min_area_um2", "min_probability"))
        ),
        tissue=tissue,
    )


def _engine(manifest: Mapping[str, Any], model: Model, steps: Steps) -> Engine:
    """The engine that a manifest names."""
    wanted = str(manifest["engine"])
    views = next((each for each in VIEWS if each > 1 and wanted.endswith(f"-{each}-views")), 1)
    device = "cuda" if "-cuda" in wanted else "cpu"
    for name in sorted(ENGINES.names, key=lambda name: name not in wanted):
        try:
            engine = steps.open_engine(model, device, name, views)
        except WsiNucsslError:
            continue
        if engine.name == wanted:
            return engine
    raise UsageError(
        f"the engine {wanted} is not here", remedy="Repair it where it was made, or segment again"
    )


def _write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    write_atomic(path, json.dumps({**manifest, **_MARK}, indent=2, sort_keys=True))


def _manifest_from_output(path: Path, record: RunRecord) -> str:
    """Write a lost manifest again as the header of a whole output has it."""
    for output, sha256 in record.outputs.items():
        if output.name.endswith(ENDINGS) and output.exists() and sha256_tree(output) == sha256:
            context, _ = read_stored(output)
            kept = {key: value for key, value in context.header.items() if key not in _NOT_OF_THE_RUN}
            _write_manifest(path / MANIFEST, kept)
            return f"manifest taken from {output.name}"
    raise OutputError("no whole output of it is there", remedy="Segment again with ⟨overwrite⟩")


def _store(path: Path, claims: Claims) -> str:
    """Read lost tiles of a store from the slide again."""
    store = TileStore.open(path, unfinished=True)
    slide = claims.slide_of(store.metadata.provenance.get("slide"))
    if slide is None:
        raise OutputError("its slide is not at hand", remedy="Give it with ⟨slide⟩")
    lost = [tile for tile in store if store.fault(tile)]
    with open_slide(slide.location, reader=str(store.metadata.provenance["reader"])) as opened:
        canvas = Canvas(opened, store.metadata.mpp)
        refused = [tile for tile in lost if not store.restore(tile, canvas.read(tile.core))]
    if refused:
        raise OutputError(
            f"the slide gives other px here for {len(refused)} of its tiles",
            remedy="Make the store again with wsi-nucssl tile ⟨overwrite⟩",
        )
    return f"{len(lost)} tiles read again"
