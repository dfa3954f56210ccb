#!/bin/sh
# wsidicom and OpenSlide: read_region((x, y), level, size) of one file gives two different pictures.
#
# guess     wsidicom has the call of OpenSlide: the place in pixels of the full picture, the level as an index into the levels.
# versions  wsidicom 0.36.1, openslide-python 1.4.7 with openslide-bin 4.0.1.2, pydicom 3.0.2, pillow 13.0.0, numpy 2.4.6, Python 3.11
# behaviour A slide in DICOM with two levels, the second four times smaller. At level 0 both give the same pixels. read_region((128, 64),
#           1, (64, 64)) gives another place at another scale: in wsidicom the level is the power of two (1 is half size, which it
#           computes on the spot; the stored one is 2), and the place counts in pixels of that level. No error, no warning.
#           OpenSlide's (512, 256) at level 1 is wsidicom's (128, 64) at level 2.
# exit      0 as described; 1 if the same call gives the same picture
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    wsidicom==0.36.1 openslide-python==1.4.7 openslide-bin==4.0.1.2 pydicom==3.0.2 pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import openslide
from PIL import Image, ImageCms
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from wsidicom import WsiDicom

SIDE, TILE = 1024, 128
STUDY, SERIES, FRAME, SPECIMEN = (generate_uid() for _ in range(4))


def item(**attributes) -> Dataset:
    found = Dataset()
    for name, value in attributes.items():
        setattr(found, name, value)
    return found


def code(value: str, meaning: str) -> Sequence:
    return Sequence([item(CodeValue=value, CodingSchemeDesignator="DCM", CodeMeaning=meaning)])


def level(picture: np.ndarray, number: int, shrunk: int) -> FileDataset:
    side = SIDE // shrunk
    tiles = [(row, column) for row in range(0, side, TILE) for column in range(0, side, TILE)]
    uid = generate_uid()
    kind = ["DERIVED" if number else "ORIGINAL", "PRIMARY", "VOLUME", "RESAMPLED" if number else "NONE"]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.6", uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    file.update(item(
        SOPClassUID=meta.MediaStorageSOPClassUID, SOPInstanceUID=uid, Modality="SM", ImageType=kind,
        PatientName="", PatientID="", PatientBirthDate="", PatientSex="", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES,
        StudyDate="", StudyTime="", AccessionNumber="", ReferringPhysicianName="", StudyID="1", SeriesNumber=1,
        InstanceNumber=number + 1, FrameOfReferenceUID=FRAME, PositionReferenceIndicator="SLIDE_CORNER",
        Manufacturer="a", ManufacturerModelName="a", DeviceSerialNumber="1", SoftwareVersions="1",
        AcquisitionDateTime="20260101000000", ContentDate="20260101", ContentTime="000000", AcquisitionContextSequence=Sequence([]),
        ContainerIdentifier="a", IssuerOfTheContainerIdentifierSequence=Sequence([]), ContainerTypeCodeSequence=Sequence([]),
        SpecimenDescriptionSequence=Sequence([item(
            SpecimenIdentifier="a", SpecimenUID=SPECIMEN, IssuerOfTheSpecimenIdentifierSequence=Sequence([]),
            SpecimenPreparationSequence=Sequence([]),
        )]),
        OpticalPathSequence=Sequence([item(
            OpticalPathIdentifier="1", ICCProfile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
            IlluminationTypeCodeSequence=code("111744", "Brightfield illumination"),
            IlluminationColorCodeSequence=code("11744", "Full Spectrum"),
        )]),
        NumberOfOpticalPaths=1, ImagedVolumeWidth=0.256, ImagedVolumeHeight=0.256, ImagedVolumeDepth=0.001,
        SpecimenLabelInImage="NO", FocusMethod="AUTO", ExtendedDepthOfField="NO", VolumetricProperties="VOLUME",
        BurnedInAnnotation="NO", LossyImageCompression="00", DimensionOrganizationType="TILED_FULL",
        DimensionOrganizationSequence=Sequence([item(DimensionOrganizationUID=generate_uid())]),
        TotalPixelMatrixOriginSequence=Sequence([item(XOffsetInSlideCoordinateSystem=0, YOffsetInSlideCoordinateSystem=0)]),
        ImageOrientationSlide=[0, -1, 0, -1, 0, 0], TotalPixelMatrixColumns=side, TotalPixelMatrixRows=side,
        TotalPixelMatrixFocalPlanes=1, Rows=TILE, Columns=TILE, SamplesPerPixel=3, PhotometricInterpretation="RGB",
        PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0, NumberOfFrames=len(tiles),
        SharedFunctionalGroupsSequence=Sequence([item(
            PixelMeasuresSequence=Sequence([item(
                PixelSpacing=[0.00025 * shrunk] * 2, SliceThickness=0.001, SpacingBetweenSlices=0.001
            )]),
            WholeSlideMicroscopyImageFrameTypeSequence=Sequence([item(FrameType=kind)]),
        )]),
    ))
    file.PixelData = b"".join(picture[row : row + TILE, column : column + TILE].tobytes() for row, column in tiles)
    file["PixelData"].VR = "OB"
    return file


rows, columns = np.mgrid[0:SIDE, 0:SIDE]
picture = np.stack([columns // 4, rows // 4, (columns // 128 * 40 + rows // 128 * 20) % 256], axis=-1).astype(np.uint8)
small = np.asarray(Image.fromarray(picture).resize((SIDE // 4, SIDE // 4), Image.Resampling.BOX))
level(picture, 0, 1).save_as("0.dcm", enforce_file_format=True)
level(small, 1, 4).save_as("1.dcm", enforce_file_format=True)
slide, wsi = openslide.OpenSlide("0.dcm"), WsiDicom.open(".")
print(f"OpenSlide: levels {slide.level_dimensions}; wsidicom: levels {[(one.level, one.size.width) for one in wsi.pyramid.levels]}")


def apart(place: tuple[int, int], number: int, other_place: tuple[int, int], other_number: int) -> int:
    """Return by how much OpenSlide's region differs from wsidicom's."""
    ours = np.asarray(slide.read_region(place, number, (64, 64)).convert("RGB")).astype(int)
    return int(np.abs(ours - np.asarray(wsi.read_region(other_place, other_number, (64, 64))).astype(int)).max())


full = apart((512, 256), 0, (512, 256), 0)
same_call = apart((128, 64), 1, (128, 64), 1)
same_place = apart((512, 256), 1, (128, 64), 2)
print(f"read_region((512, 256), 0, (64, 64)) of both: pixels differ by up to {full}")
print(f"read_region((128, 64), 1, (64, 64)) of both: pixels differ by up to {same_call}")
print(f"(512, 256) at level 1 in OpenSlide, (128, 64) at level 2 in wsidicom: pixels differ by up to {same_place}")
sys.exit(0 if full == 0 and same_call > 20 and same_place == 0 else 1)
PYTHON
