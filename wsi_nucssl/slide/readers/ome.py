"""OME-XML: how long a pixel is, and what its channels are (https://docs.openmicroscopy.org/ome-model/latest/)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from wsi_nucssl.errors import SlideError
from wsi_nucssl.slide.readers.tiff_units import um_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_PRIMARIES: Final = {"red": "r", "green": "g", "blue": "b", "r": "r", "g": "g", "b": "b"}
_COLOURS: Final = 3
_FLUORESCENT: Final = ("EmissionWavelength", "ExcitationWavelength", "Fluor")


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One image of an OME file, which may be a scan, a scene, a label or a macro.

    Attributes
    ----------
    are_colours : bool
        Its channels, where there are three, are red, green and blue: by their names, or because they are of 8 bits and
        nothing says otherwise.
    """

    name: str
    properties: Mapping[str, str]
    channels_in_words: str
    is_fluorescence: bool
    are_colours: bool


@dataclass(frozen=True, slots=True)
class Ome:
    """The images of an OME file, in its order."""

    images: tuple[OmeImage, ...]


def parse_ome(text: str, path: str) -> Ome:
    """Read OME-XML.

    Raises
    ------
    SlideError
        It is damaged, or no OME-XML.
    """
    try:
        root = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise SlideError(f"its OME-XML is damaged: {error}", path=path, remedy="Export it again") from error
    images = tuple(_image(each) for each in root if _tag(each) == "Image")
    if not images:
        raise SlideError("its OME-XML describes no image", path=path, remedy="Export it again")
    return Ome(images)


def _image(element: Element) -> OmeImage:
    pixels = next((child for child in element if _tag(child) == "Pixels"), None)
    if pixels is None:
        return OmeImage(element.get("Name", ""), {}, "", False, False)
    channels = [child for child in pixels if _tag(child) == "Channel"]
    names = [channel.get("Name", "") for channel in channels]
    fluorescent = any(channel.get(key) for channel in channels for key in _FLUORESCENT) or any(
        "luorescence" in channel.get(key, "")
        for channel in channels
        for key in ("ContrastMethod", "AcquisitionMode")
    )
    named = [_PRIMARIES.get(name.strip().lower(), "") for name in names]
    unnamed = not any(names) and pixels.get("Type") == "uint8"
    are_three = len(channels) == _COLOURS or (not channels and pixels.get("SizeC") == str(_COLOURS))
    colours = are_three and (named == ["r", "g", "b"] or unnamed)
    words = f"channels {', '.join(name or 'without a name' for name in names)}"
    return OmeImage(element.get("Name", ""), _mpp(pixels), words, fluorescent, colours and not fluorescent)


def _mpp(pixels: Element) -> dict[str, str]:
    found = {}
    for axis in "XY":
        try:
            length = float(pixels.get(f"PhysicalSize{axis}", "0"))
        except ValueError:
            continue
        um = um_of(length, pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if um is not None:
            found[f"ome.mpp-{axis.lower()}"] = f"{um:.10g}"
    return found


def _tag(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
