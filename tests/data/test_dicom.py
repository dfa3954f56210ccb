import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lesionwise.data import dicom
from lesionwise.data.images import image_sides, read_image
from lesionwise.errors import DamagedImageError, ImageError, MissingExtraError

needs_pydicom = pytest.mark.skipif(find_spec("pydicom") is None, reason="pydicom is not installed")
SIZE = (45, 60)
NAME = "Mustermann^Erika"
JPEG, JPEG_2000, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
PLAIN, LOSSLESS_JPEG, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.1.99"

Draw = Callable[..., bytes]


@pytest.fixture
def pixels() -> np.ndarray:
    """A picture that no mirroring nor turn leaves as it is, in smooth colours."""
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    return np.stack([rows * 4, columns * 3, 200 - rows * 2 - columns], axis=-1).astype(np.uint8)


def draw(
    pixels: np.ndarray, colours: str = "RGB", syntax: str = PLAIN, frame: bytes = b"", **facts: object
) -> bytes:
    """Return a DICOM file that names a patient and holds these pixels, or this compressed frame."""
    from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: PLC0415
    from pydicom.encaps import encapsulate  # noqa: PLC0415
    from pydicom.uid import UID, generate_uid  # noqa: PLC0415

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.77.1.4")  # VL Photographic Image
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = UID(syntax)
    file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.PatientName, file.PatientID, file.Modality = NAME, "MRN-4711", "XC"
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    if pixels.ndim == 3:
        file.PlanarConfiguration = 0
    file.PhotometricInterpretation = colours
    file.BitsAllocated = file.BitsStored = 8 * pixels.dtype.itemsize
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, 0
    file.PixelData = encapsulate([frame]) if frame else pixels.tobytes()
    file["PixelData"].VR = "OB" if frame or pixels.dtype == np.uint8 else "OW"
    for keyword, value in facts.items():
        setattr(file, keyword, value)
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def compress(pixels: np.ndarray, format_: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format_, **options)
    return stream.getvalue()


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).max())


@needs_pydicom
def test_rgb_comes_out_as_it_went_in(pixels: np.ndarray) -> None:
    assert (read_image(draw(pixels), SIZE) == pixels).all()
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    by_plane = draw(pixels, PlanarConfiguration=1, PixelData=planes.tobytes())
    assert (read_image(by_plane, SIZE) == pixels).all()


@needs_pydicom
def test_ybr_becomes_rgb(pixels: np.ndarray) -> None:
    from pydicom.pixels import convert_color_space  # noqa: PLC0415

    full = convert_color_space(pixels, "RGB", "YBR_FULL")
    assert difference(read_image(draw(full, "YBR_FULL"), SIZE), pixels) <= 2
    halved = np.stack(  # Y1 Y2 Cb Cr of each two pixels of a row (PS3.3, C.7.6.3.1.2)
        [full[:, ::2, 0], full[:, 1::2, 0], full[:, ::2, 1], full[:, ::2, 2]], axis=-1
    )
    found = read_image(draw(full, "YBR_FULL_422", PixelData=halved.tobytes()), SIZE)
    assert difference(found, pixels) <= 8


@needs_pydicom
def test_grey_is_shown_the_right_way_round(pixels: np.ndarray) -> None:
    grey = pixels[..., 0]
    shown = np.repeat(grey[..., None], 3, axis=2)
    assert (read_image(draw(grey, "MONOCHROME2"), SIZE) == shown).all()
    assert (read_image(draw(grey, "MONOCHROME1"), SIZE) == 255 - shown).all()


@needs_pydicom
def test_twelve_stored_bits_become_eight_and_what_is_drawn_beyond_them_is_left_out(
    pixels: np.ndarray,
) -> None:
    deep = pixels[..., 0].astype(np.uint16) * 16 + 15
    found = read_image(draw(deep | 0x8000, "MONOCHROME2", BitsStored=12, HighBit=11), SIZE)
    assert difference(found[..., 0], pixels[..., 0]) <= 1


@needs_pydicom
def test_palettes_are_looked_up(pixels: np.ndarray) -> None:
    index = (pixels[..., 0] // 64).astype(np.uint8)
    table = np.array([[10, 20, 30], [90, 80, 70], [5, 150, 250], [255, 0, 128]], np.uint8)
    palette: dict[str, Any] = {}
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 8]
        palette[f"{colour}PaletteColorLookupTableData"] = table[:, channel].tobytes()
    found = read_image(draw(index, "PALETTE COLOR", **palette), SIZE)
    assert (found == table[index]).all()


@needs_pydicom
@pytest.mark.parametrize("sampling", [0, 1])
def test_a_jpeg_inside_has_the_colours_of_the_jpeg_alone(pixels: np.ndarray, sampling: int) -> None:
    frame = compress(pixels, "JPEG", quality=95, subsampling=sampling)
    colours = "YBR_FULL_422" if sampling else "YBR_FULL"
    found = read_image(draw(pixels, colours, JPEG, frame), SIZE)
    assert difference(found, np.asarray(Image.open(io.BytesIO(frame)))) <= 4


@needs_pydicom
def test_another_decoder_that_is_installed_changes_no_pixel(
    pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pylibjpeg is installed, pydicom prefers it, and its pixels differ by up to 3 levels."""
    import pydicom  # noqa: PLC0415
    from pydicom.pixels.decoders import JPEGBaseline8BitDecoder  # noqa: PLC0415

    file = draw(pixels, "YBR_FULL_422", JPEG, compress(pixels, "JPEG", quality=95))
    before = read_image(file, SIZE)
    plugins = {
        "preferred": lambda _frame, _runner: bytearray(pixels.nbytes),
        **JPEGBaseline8BitDecoder._available,  # noqa: SLF001 (nothing public holds their order)
    }
    monkeypatch.setattr(JPEGBaseline8BitDecoder, "_available", plugins)
    assert not pydicom.dcmread(io.BytesIO(file)).pixel_array[..., 0].any()  # the preferred one draws black
    assert (read_image(file, SIZE) == before).all()


@needs_pydicom
def test_jpeg_2000_and_run_lengths_are_read(pixels: np.ndarray) -> None:
    lossless = compress(pixels, "JPEG2000", no_jp2=True, irreversible=False)
    assert (read_image(draw(pixels, "YBR_RCT", JPEG_2000, lossless), SIZE) == pixels).all()
    import pydicom  # noqa: PLC0415

    packed = pydicom.dcmread(io.BytesIO(draw(pixels)))
    packed.compress(RLE)
    stream = io.BytesIO()
    packed.save_as(stream)
    assert (read_image(stream.getvalue(), SIZE) == pixels).all()


@needs_pydicom
def test_exif_data_of_a_jpeg_inside_turn_nothing(pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    frame = compress(pixels, "JPEG", quality=95, subsampling=0, exif=exif)
    content = draw(pixels, "YBR_FULL", JPEG, frame)
    assert image_sides(content) == (60, 45)
    assert difference(read_image(content, SIZE), pixels) <= 12


@needs_pydicom
@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"NumberOfFrames": 7}, "with 7 frames; save the frame"),
        ({"PixelRepresentation": 1}, "whose pixels are signed"),
        ({"PhotometricInterpretation": "HSV"}, "whose colours are not"),
        ({"PixelAspectRatio": [2, 1]}, "not square"),
        ({"Rows": 60_000, "Columns": 60_000}, "60000x60000 pixels; at most 64 megapixels"),
        ({"Rows": 2, "Columns": 2}, "at least 8"),
        ({"syntax": LOSSLESS_JPEG, "frame": b"\xff\xd8"}, "compressed as JPEG Lossless"),
        ({"syntax": "1.2.3.4", "frame": b"x"}, "unknown transfer syntax"),
        ({"syntax": JPEG, "frame": b"no JPEG!"}, "pixels are damaged"),
        ({"PixelData": b"\0" * 90}, "pixels are damaged"),
    ],
)
def test_what_is_no_single_photograph_is_refused_with_the_reason(
    facts: dict[str, Any], message: str, pixels: np.ndarray
) -> None:
    content = draw(pixels, **facts)
    with pytest.raises(ImageError, match=message) as refused:
        read_image(content, SIZE)
    assert NAME not in str(refused.value)


@needs_pydicom
def test_a_frame_of_other_sides_than_the_file_says_is_refused_before_it_is_decoded(
    pixels: np.ndarray,
) -> None:
    bomb = compress(np.zeros((4000, 4000, 3), np.uint8), "JPEG")
    with pytest.raises(ImageError, match="does not have the size that its header states"):
        read_image(draw(pixels, "YBR_FULL_422", JPEG, bomb), SIZE)


@needs_pydicom
@pytest.mark.parametrize(("syntax", "kind"), [(JPEG, "JPEG"), (JPEG_2000, "JPEG2000")])
def test_a_compressed_frame_with_a_hole_is_damaged_and_not_repaired(syntax: str, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (180, 240, 3)).astype(np.uint8)
    frame = compress(noise, kind)
    colours = "YBR_FULL_422" if kind == "JPEG" else "YBR_RCT"
    assert read_image(draw(noise, colours, syntax, frame), SIZE).shape == (*SIZE, 3)
    hole = frame[:9000] + bytes(4096) + frame[9000 + 4096 :]
    with pytest.raises(DamagedImageError, match="is damaged"):
        read_image(draw(noise, colours, syntax, hole), SIZE)


@needs_pydicom
def test_a_deflated_file_is_refused_before_it_unpacks(pixels: np.ndarray) -> None:
    with pytest.raises(ImageError, match="deflated"):
        read_image(draw(pixels, syntax=DEFLATED), SIZE)


@needs_pydicom
def test_no_cut_nor_flipped_bit_of_a_file_says_whom_it_shows(
    pixels: np.ndarray, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    content = draw(pixels, PatientBirthDate="19660401", PatientComments=NAME * 9)
    rng = np.random.default_rng(0)
    told = []
    for _ in range(300):
        changed = bytearray(content[: rng.integers(132, len(content))] if rng.random() < 0.3 else content)
        for place in rng.integers(0, min(len(changed), 900), 6):
            changed[place] = rng.integers(0, 256)
        with warnings.catch_warnings(record=True) as heard:
            told.append(refusal(bytes(changed)))
        told += [str(warning.message) for warning in heard]
    assert sum(map(bool, told)) > 50
    everything = " ".join([*told, *capfd.readouterr(), caplog.text])
    assert not any(word in everything for word in ("Muster", "4711", "1966"))


def refusal(content: bytes) -> str:
    """Return why a file is refused; nothing if it is not."""
    try:
        read_image(content, SIZE)
    except ImageError as error:
        return str(error)
    return ""


def test_without_pydicom_the_install_line_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing() -> None:
        raise MissingExtraError("dicom", "pydicom")

    monkeypatch.setattr(dicom, "_import_pydicom", missing)
    (tmp_path / "x.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 80)
    with pytest.raises(MissingExtraError, match=r'pip install "lesionwise\[dicom\]"'):
        read_image(tmp_path / "x.dcm", SIZE)
