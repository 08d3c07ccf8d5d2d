"""Whether something is of the slide and of the weights that are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wsi_nucssl.verification.claims import Claims
from wsi_nucssl.verification.fault import Fault

_DIGITS = 12


def other_slide(path: Path, claims: Claims, stated: object, name: object = None) -> Iterator[Fault]:
    """A fault if slides are at hand and it is of none of them.

    Parameters
    ----------
    stated : object
        The slide's identity, as `path` or its run says it; None where nobody does.
    name : object
        The slide's name, likewise.
    """
    if stated is None or not claims.slides or claims.slide_of(stated) is not None:
        return
    given = ", ".join(each.location.name for each in claims.slides[:3])
    what = f"it is of another slide ({name or str(stated)[:_DIGITS]}) than {given}"
    yield Fault(
        str(path), "other-slide", what, "Give the slide that it was made of, or make it again of this one"
    )


def other_weights(path: Path, claims: Claims, stated: object, name: object = None) -> Iterator[Fault]:
    """A fault if weights are named and it is of others; `stated` is their SHA-256, `name` the model's."""
    if stated is None or not claims.model_sha256 or stated == claims.model_sha256:
        return
    what = (
        f"it is of other weights ({name or 'a model'}, SHA-256 {str(stated)[:_DIGITS]}…) than those given "
        f"({claims.model_sha256[:_DIGITS]}…)"
    )
    yield Fault(str(path), "other-weights", what, "Give the ⟨model⟩ that it was made with, or segment again")
