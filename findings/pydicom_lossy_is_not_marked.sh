#!/bin/sh
# pydicom: compress() with loss gives the dataset a new instance UID and does not mark it as lossy.
#
# guess     A dataset that was compressed with loss says so: (0028,2110) Lossy Image Compression is "01", with ratio and method,
#           as the standard requires for lossy pixels (PS3.3, C.7.6.1.1.5).
# versions  pydicom 3.0.2, pylibjpeg 2.1.0, pylibjpeg-openjpeg 2.6.0, pyjpegls 1.5.1, numpy 2.4.6, Python 3.11
# behaviour JPEG 2000 and near-lossless JPEG-LS change pixels by up to tens of levels. The UID is new, but none of the three
#           attributes is there. Written, read and compressed again without loss, the file shows no trace of the loss.
# exit      0 as described; 1 if pydicom marks the dataset
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    pydicom==3.0.2 pylibjpeg==2.1.0 pylibjpeg-openjpeg==2.6.0 pyjpegls==1.5.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian, JPEG2000, JPEG2000Lossless, JPEGLSNearLossless, generate_uid,
)

MARKS = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
rows, columns = np.mgrid[0:48, 0:64]
pixels = np.stack([rows * 4, columns * 3, 200 - rows * 2 - columns], axis=-1).astype(np.uint8)


def photograph() -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4"  # VL Photographic Image Storage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns, file.SamplesPerPixel, file.PlanarConfiguration = 48, 64, 3, 0
    file.PhotometricInterpretation = "RGB"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.PixelData = pixels.tobytes()
    file["PixelData"].VR = "OB"
    return file


as_described = True
for syntax, options in ((JPEG2000, {"j2k_psnr": [30]}), (JPEGLSNearLossless, {"jls_error": 3})):
    file = photograph()
    uid = file.SOPInstanceUID
    file.compress(syntax, **options)
    lost = int(np.abs(file.pixel_array.astype(int) - pixels).max())
    marks = [name for name in MARKS if name in file]
    print(f"{syntax.name}: pixels differ by up to {lost}; new UID {file.SOPInstanceUID != uid}; marks of loss {marks}")
    as_described &= lost > 0 and file.SOPInstanceUID != uid and not marks
    file.decompress()
    file.compress(JPEG2000Lossless)
    marks = [name for name in MARKS if name in file]
    print(f"  compressed again as {file.file_meta.TransferSyntaxUID.name}: marks of loss {marks}")
    as_described &= not marks
sys.exit(0 if as_described else 1)
PYTHON
