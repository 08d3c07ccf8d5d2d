"""Files of nuclei: there, the bytes that their run wrote, valid, and of the slide and weights that they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.export.registry import format_of
from wsi_nucssl.files import sha256_tree
from wsi_nucssl.verification.belonging import other_slide, other_weights
from wsi_nucssl.verification.claims import Claims
from wsi_nucssl.verification.fault import Fault, Tally, Verdict
from wsi_nucssl.verification.geojson import Content, look_at_geojson
from wsi_nucssl.verification.labels import look_at_labels
from wsi_nucssl.verification.stored import look_at_stored
from wsi_nucssl.verification.tables import look_at_csv, look_at_parquet

Look = Callable[[Path, Claims, Tally], Content]

_LOOKS: Final[Mapping[str, Look]] = {
    "geojson": look_at_geojson,
    "geojson.gz": look_at_geojson,
    "csv": look_at_csv,
    "parquet": look_at_parquet,
    "zarr": look_at_labels,
    "h5ad": look_at_stored,
    "spatialdata.zarr": look_at_stored,
    "ann.dcm": look_at_stored,
}
"""By format; of one that another package adds, only the hash is known."""
_AGAIN: Final = "Verify with ⟨repair⟩ and ⟨slide⟩, or segment again with ⟨overwrite⟩"
_EXPORT: Final = "Have it written again by segment or export"
_MANY_KEYS: Final = 4


def look_at_output(path: Path, claims: Claims) -> Verdict:
    """All that can be said of one output."""
    again = _AGAIN if claims.run or claims.sha256 else _EXPORT
    if not path.exists():
        return Verdict(path, "output", "", (Fault(str(path), "absent", "it is not there", again),))
    tally = Tally()
    look = _LOOKS.get(format_of(path) or "")
    content = look(path, claims, tally) if look else Content()
    faults = [Fault(str(path), kind, what, again) for kind, what in tally]
    faults += _changed(
        path, claims, content, damaged=any(kind == "damaged" for kind, _ in tally), again=again
    )
    faults += _of_another(path, claims, content.header)
    return Verdict(path, "output", _said(content, claims, known=look is not None), tuple(faults))


def _said(content: Content, claims: Claims, *, known: bool) -> str:
    name = content.header.get("slide_name")
    parts = [f"{content.nuclei} nuclei" + (f" of {name}" if name else "")] if known else []
    parts.append("the bytes that its run wrote" if claims.sha256 else "no run at hand that wrote it")
    return ", ".join(parts)


def _changed(path: Path, claims: Claims, content: Content, *, damaged: bool, again: str) -> Iterator[Fault]:
    if claims.sha256 and sha256_tree(path) != claims.sha256:
        yield Fault(str(path), "changed", "its bytes are not those that its run wrote", again)
    if claims.nuclei is not None and content.nuclei and content.nuclei != claims.nuclei and not damaged:
        what = f"it holds {content.nuclei} nuclei, and its run wrote {claims.nuclei}"
        yield Fault(str(path), "count", what, again)


def _of_another(path: Path, claims: Claims, header: Mapping[str, Any]) -> Iterator[Fault]:
    """Whether it belongs to its run, its slide and its weights."""
    said = {**claims.manifest, **header}
    other = [key for key, value in claims.manifest.items() if header and header.get(key) != value]
    if other:
        names = ", ".join(other[:_MANY_KEYS]) + (", …" if len(other) > _MANY_KEYS else "")
        what = f"it is of another run than {claims.run}, with another {names}"
        yield Fault(
            str(path), "other-run", what, "Put the right file back, or segment again with ⟨overwrite⟩"
        )
    yield from other_slide(path, claims, said.get("slide"), said.get("slide_name"))
    yield from other_weights(path, claims, said.get("model_sha256"), said.get("model"))
