"""DICOM files: the photograph inside, and nothing about whom it shows.

Here: from a file's content to RGB pixels. Not here: cutting and resizing them (`images`).

Only the elements that describe pixels are parsed; names, dates and numbers of patients are skipped unread,
and no message quotes the file. Rows and columns are shown as they are stored: DICOM knows no other
orientation of a photograph, and EXIF data of a JPEG inside do not count (PS3.5, 8.2.1).
"""

import io
import logging
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np
from PIL import Image

from lesionwise.arrays import Pixels
from lesionwise.data.damage import decode_jpeg, verify_no_hole
from lesionwise.errors import DamagedImageError, ImageError, import_extra

_PREAMBLE: Final = 128  # bytes that may hold anything
_PREFIX: Final = b"DICM"
_DEFLATED: Final = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1")  # unpack before a limit counts
_RLE: Final = "1.2.840.10008.1.2.5"
_DECODERS: Final = {  # one each, so that pixels do not depend on what else is installed
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG
    "1.2.840.10008.1.2.4.51": "pillow",
    "1.2.840.10008.1.2.4.90": "pillow",  # JPEG 2000
    "1.2.840.10008.1.2.4.91": "pillow",
    _RLE: "pydicom",
}
_COLOURS: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_INVERTED: Final = "MONOCHROME1"
_GREYS: Final = (_INVERTED, "MONOCHROME2")
_PALETTE: Final = "PALETTE COLOR"
_PALETTE_TAGS: Final = tuple(
    f"{kind}{colour}PaletteColorLookupTable{what}"
    for colour in ("Red", "Green", "Blue")
    for kind, what in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
)
_TAGS: Final = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PlanarConfiguration", "PixelAspectRatio", "PixelRepresentation", "BitsAllocated", "BitsStored"),
    *("HighBit", *_PALETTE_TAGS, "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)


def is_dicom(content: bytes) -> bool:
    """Return whether a file begins as DICOM files do."""
    return content[_PREAMBLE : _PREAMBLE + len(_PREFIX)] == _PREFIX


@dataclass(frozen=True)
class DicomImage:
    """A DICOM file that holds one photograph."""

    width: int
    height: int
    _dataset: Any

    def decode(self) -> Pixels:
        """Return RGB values, shape (H, W, 3)."""
        try:
            return _decode(self._dataset)
        except (ImageError, MemoryError):
            raise
        except Exception:  # noqa: BLE001 (parsers raise anything, and their words may quote the file)
            raise DamagedImageError("is a DICOM file whose pixels are damaged") from None


def open_dicom(content: bytes) -> DicomImage:
    """Read what a DICOM file says about its pixels, and none of them yet."""
    pydicom = _import_pydicom()
    try:
        _verify_transfer_syntax(pydicom, content)
        dataset = pydicom.dcmread(io.BytesIO(content), specific_tags=list(_TAGS))
        _verify_photograph(dataset)
        return DicomImage(int(dataset.Columns), int(dataset.Rows), dataset)
    except (ImageError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 (as above)
        raise DamagedImageError("is a damaged DICOM file") from None


def _verify_transfer_syntax(pydicom: ModuleType, content: bytes) -> None:
    """Refuse what cannot be decoded, before anything is unpacked."""
    source = io.BytesIO(content)
    pydicom.filereader.read_preamble(source, force=False)
    facts = pydicom.filereader.read_dataset(
        source,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag >> 16 != 2,  # noqa: PLR2004 (the group that describes the file)
        specific_tags=[pydicom.tag.Tag("TransferSyntaxUID")],
    )
    syntax = pydicom.uid.UID(facts.TransferSyntaxUID)
    if syntax in _DEFLATED:
        raise ImageError("is a deflated DICOM file; store it without that compression")
    if not syntax.is_transfer_syntax:
        raise ImageError("is a DICOM file with an unknown transfer syntax")
    if syntax.is_encapsulated and syntax not in _DECODERS:
        raise ImageError(
            f"is a DICOM file compressed as {syntax.name}, which lesionwise does not read; store it "
            "uncompressed"
        )


def _verify_photograph(dataset: Any) -> None:  # noqa: ANN401 (pydicom's)
    if "PixelData" not in dataset:
        raise ImageError("is a DICOM file without an image")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ImageError(
            f"is a DICOM file with {frames} frames; save the frame that you need as a separate image"
        )
    colours, samples = dataset.PhotometricInterpretation, int(dataset.SamplesPerPixel)
    if samples != (3 if colours in _COLOURS else 1) or colours not in (*_COLOURS, *_GREYS, _PALETTE):
        raise ImageError("is a DICOM file whose colours are not RGB, YBR, MONOCHROME or PALETTE COLOR")
    if int(dataset.BitsAllocated) not in {8, 16} or int(dataset.get("PixelRepresentation") or 0):
        raise ImageError("is a DICOM file whose pixels are signed, or have neither 8 nor 16 bits")
    ratio = [int(side) for side in dataset.get("PixelAspectRatio") or (1, 1)]
    if ratio[0] != ratio[1]:
        raise ImageError("is a DICOM file whose pixels are not square")


def _decode(dataset: Any) -> Pixels:  # noqa: ANN401 (pydicom's)
    from pydicom.pixels import apply_color_lut, pixel_array  # noqa: PLC0415 (an extra)

    _verify_frame(dataset)
    decoder = _DECODERS.get(dataset.file_meta.TransferSyntaxUID, "")
    pixels = pixel_array(dataset, index=0, decoding_plugin=decoder)  # YBR becomes RGB
    bits = int(dataset.BitsStored)
    if dataset.PhotometricInterpretation == _PALETTE:
        pixels = apply_color_lut(pixels, dataset)
        bits = 8 * pixels.dtype.itemsize
    levels = (np.arange(1 << bits) * 255 // ((1 << bits) - 1)).astype(np.uint8)
    if dataset.PhotometricInterpretation == _INVERTED:
        levels = levels[::-1]
    grey_or_rgb = levels[pixels & ((1 << bits) - 1)]  # bits beyond those stored may hold drawings
    if grey_or_rgb.ndim == 2:  # noqa: PLR2004 (grey)
        return np.repeat(grey_or_rgb[..., None], 3, axis=2)
    return np.ascontiguousarray(grey_or_rgb)


def _verify_frame(dataset: Any) -> None:  # noqa: ANN401 (pydicom's)
    """Refuse a compressed frame that would unpack to something else than the file says."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
    from pydicom.encaps import get_frame  # noqa: PLC0415 (an extra)

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax == _RLE:
        whole = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
        if len(frame) > 2 * whole + 64:  # with its header; what cannot be packed grows by a hundredth
            raise DamagedImageError("is a DICOM file whose pixels are damaged")
        return
    with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as image:
        if image.size != (dataset.Columns, dataset.Rows):
            raise DamagedImageError(
                "is a DICOM file whose image does not have the size that its header states"
            )
        colours = "GRAY" if image.mode == "L" else "RGB"
    if image.format == "JPEG":
        decode_jpeg(frame, colours=colours)
    else:
        verify_no_hole(frame)


def _import_pydicom() -> ModuleType:
    pydicom = import_extra("pydicom")
    import_extra("pydicom.pixels")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what it warns of may quote the file
    warnings.filterwarnings("ignore", module=r"pydicom\..*")
    return pydicom
