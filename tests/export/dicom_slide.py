"""A small whole slide image as DICOM scanners write it: levels in files of one series, tiles of JPEG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

_ROOT = "1.2.826.0.1.3680043.8.498.77"
STUDY, SERIES, FRAME = (f"{_ROOT}.{number}" for number in (1, 2, 3))
_JPEG = "1.2.840.10008.1.2.4.50"
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_TILE = 256


def write_dicom_slide(folder: Path, image: NDArray[np.uint8], mpp: float, levels: int = 2) -> Path:
    """Write `image`, uint8 (row, col, 3), and levels of half its px each. Returns the file of the coarsest one."""
    folder.mkdir(parents=True, exist_ok=True)
    for level in range(levels):
        path = folder / f"level{level}.dcm"
        step = 2**level
        _write(path, np.ascontiguousarray(image[::step, ::step]), mpp * step, level)
    return path


def instance_uid(level: int) -> str:
    """Of a level's file."""
    return f"{_ROOT}.4.{level + 1}"


def _write(path: Path, image: NDArray[np.uint8], mpp: float, level: int) -> None:
    import pydicom
    from pydicom.encaps import encapsulate

    rows, cols = image.shape[:2]
    across, down = -(-cols // _TILE), -(-rows // _TILE)
    padded = np.pad(image, ((0, down * _TILE - rows), (0, across * _TILE - cols), (0, 0)), mode="edge")
    frames = [
        bytes(
            imagecodecs.jpeg8_encode(
                np.ascontiguousarray(padded[y : y + _TILE, x : x + _TILE]), level=95, outcolorspace="ycbcr"
            )
        )
        for y in range(0, len(padded), _TILE)
        for x in range(0, padded.shape[1], _TILE)
    ]
    slide: Any = pydicom.Dataset()
    slide.file_meta = pydicom.dataset.FileMetaDataset()
    slide.file_meta.TransferSyntaxUID = _JPEG
    slide.file_meta.MediaStorageSOPClassUID = slide.SOPClassUID = _WHOLE_SLIDE
    slide.file_meta.MediaStorageSOPInstanceUID = slide.SOPInstanceUID = instance_uid(level)
    slide.StudyInstanceUID, slide.SeriesInstanceUID, slide.FrameOfReferenceUID = STUDY, SERIES, FRAME
    slide.PatientID, slide.PatientName, slide.PatientBirthDate, slide.PatientSex = "p1", "Made^Up", "", "O"
    slide.StudyDate, slide.StudyTime, slide.StudyID, slide.AccessionNumber = "20200102", "030405", "s1", "a1"
    slide.ContentDate, slide.ContentTime, slide.AcquisitionDateTime = "20200102", "030405", "20200102030405"
    slide.Modality, slide.Manufacturer, slide.SeriesNumber, slide.InstanceNumber = "SM", "made", 1, level + 1
    slide.ImageType = [
        "ORIGINAL" if level == 0 else "DERIVED",
        "PRIMARY",
        "VOLUME",
        "RESAMPLED" if level else "NONE",
    ]
    slide.ContainerIdentifier, slide.DimensionOrganizationType = "c1", "TILED_FULL"
    slide.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    slide.ImagedVolumeWidth, slide.ImagedVolumeHeight, slide.ImagedVolumeDepth = (
        cols * mpp / 1000,
        rows * mpp / 1000,
        0.001,
    )
    slide.TotalPixelMatrixColumns, slide.TotalPixelMatrixRows = cols, rows
    slide.TotalPixelMatrixFocalPlanes = 1
    slide.Rows = slide.Columns = _TILE
    slide.NumberOfFrames, slide.SamplesPerPixel, slide.PlanarConfiguration = len(frames), 3, 0
    slide.PhotometricInterpretation = "YBR_FULL_422"
    slide.BitsAllocated = slide.BitsStored = 8
    slide.HighBit, slide.PixelRepresentation = 7, 0
    slide.LossyImageCompression, slide.BurnedInAnnotation = "01", "NO"
    slide.SpecimenDescriptionSequence = [_specimen()]
    slide.OpticalPathSequence = [_optical_path()]
    slide.SharedFunctionalGroupsSequence = [_shared(mpp)]
    slide.PixelData = encapsulate(frames)
    slide["PixelData"].is_undefined_length = True
    slide.save_as(path, enforce_file_format=True)


def _specimen() -> Any:
    import pydicom

    specimen = pydicom.Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = "s1", f"{_ROOT}.5"
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenPreparationSequence = []
    return specimen


def _optical_path() -> Any:
    import pydicom

    path = pydicom.Dataset()
    path.OpticalPathIdentifier = "1"
    return path


def _shared(mpp: float) -> Any:
    import pydicom

    shared, measures = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mpp / 1000, mpp / 1000], 0.001
    shared.PixelMeasuresSequence = [measures]
    return shared
