#!/bin/sh
# pydicom: decompress(as_rgb=False) of an ordinary colour JPEG leaves a dataset that pydicom cannot read.
#
# guess     A dataset that decompress() returned has consistent attributes: its own pixel_array gives an image.
# versions  pydicom 3.0.2, pillow 13.0.0, numpy 2.4.6, Python 3.11
# behaviour The frame of a JPEG with halved colours becomes full YBR, three bytes a pixel. Photometric Interpretation stays
#           YBR_FULL_422, which is two bytes a pixel, so pixel_array raises a ValueError about the length. With as_rgb=True
#           (the default) the dataset becomes RGB and is read. Set to YBR_FULL by hand, it is read too.
# exit      0 as described; 1 if the dataset can be read
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pydicom==3.0.2 pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, generate_uid

rows, columns = np.mgrid[0:48, 0:64]
pixels = np.stack([rows * 4, columns * 3, 200 - rows * 2 - columns], axis=-1).astype(np.uint8)
frame = io.BytesIO()
Image.fromarray(pixels).save(frame, "JPEG", quality=95, subsampling=1)


def photograph() -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4"  # VL Photographic Image Storage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns, file.SamplesPerPixel, file.PlanarConfiguration = 48, 64, 3, 0
    file.PhotometricInterpretation = "YBR_FULL_422"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.PixelData = encapsulate([frame.getvalue()])
    file["PixelData"].VR = "OB"
    return file


def error(file: FileDataset) -> int:
    """Return by how much its pixels differ from the picture that was compressed."""
    return int(np.abs(file.pixel_array.astype(int) - pixels).max())


usual = photograph()
usual.decompress()
print(f"decompress(): {usual.PhotometricInterpretation}, {len(usual.PixelData)} bytes, pixels differ by up to {error(usual)}")
kept = photograph()
kept.decompress(as_rgb=False)
print(f"decompress(as_rgb=False): {kept.PhotometricInterpretation}, {len(kept.PixelData)} bytes")
try:
    kept.pixel_array
    refused = False
except ValueError as problem:
    refused = "Photometric Interpretation" in str(problem)
    print(f"  pixel_array: ValueError: {str(problem)[:110]}...")
kept.PhotometricInterpretation = "YBR_FULL"
print(f"  the same called YBR_FULL: shape {kept.pixel_array.shape}")
fits = kept.pixel_array.shape == pixels.shape
sys.exit(0 if refused and fits and error(usual) <= 8 else 1)
PYTHON
