"""The one builder of networks."""

from __future__ import annotations

from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.spec import architecture
from wsi_nucssl.schema import UNTYPED, OutputSchema


def build(arch: str, schema: OutputSchema = UNTYPED) -> ResUNet:
    """A randomly initialised network of that architecture's name.

    Parameters
    ----------
    arch : str
        See `spec.architecture`.
    schema : OutputSchema
        What it answers; background, body and boundary by default.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    numbers = architecture(arch)
    return ResUNet(
        build_encoder(numbers.encoder),
        numbers.widths,
        numbers.output_stage,
        upscale=numbers.upscale,
        schema=schema,
    )
