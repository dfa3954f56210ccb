"""Pictures that are no lesion image, by kind, and lesion images as another camera has them.

Photographs lie in the wheel of scikit-image; the rest is drawn, or made from
given lesion images. Every picture goes through `read_image`, as in serving. A picture is (source, pixels):
intervals resample sources, since crops of one photograph are not independent.
"""

import importlib.util
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from lesionwise.data.images import read_image

Picture = tuple[str, np.ndarray]
PHOTOGRAPHS = {
    "skimage/data": ["astronaut.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png",
                     "motorcycle_left.png", "rocket.jpg"],
}  # fmt: skip
"""None of the three from scikit-learn and matplotlib: those are what a rejection is learnt from."""
TEXTURES = {"skimage/data": ["brick.png", "grass.png", "gravel.png", "coins.png"]}
SCIENCE = {"skimage/data": ["cell.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "retina.jpg"]}
SCANS = {"skimage/data": ["page.png", "text.png"]}
SKINS = [(236, 200, 180), (224, 172, 150), (205, 150, 130), (180, 125, 100), (140, 90, 70), (225, 150, 150)]
COARSE = 10  # pixels of a mask that are looked at as one
PEN = [(20, 20, 20), (30, 60, 160), (150, 30, 30), (20, 110, 60)]


def through_jpeg(image: Image.Image, size: tuple[int, int], quality: int = 85) -> np.ndarray:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return read_image(buffer.getvalue(), size)


def shipped(files: dict[str, list[str]]) -> Iterator[tuple[str, Image.Image]]:
    for folder, names in files.items():
        package, _, inside = folder.partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(f"{package} is needed for its pictures: pip install scikit-image")
        for name in names:
            with Image.open(Path(spec.submodule_search_locations[0]) / inside / name) as image:
                yield name, image.convert("RGB")


def crops(image: Image.Image, count: int, rng: np.random.Generator) -> Iterator[Image.Image]:
    """Yield the whole picture, then boxes of 4:3 that show a third to nearly all of it."""
    yield image
    for _ in range(count - 1):
        width = min(image.width, image.height * 4 / 3) * rng.uniform(0.33, 1)
        left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - width * 0.75)
        yield image.crop((int(left), int(top), int(left + width), int(top + width * 0.75)))


def tint(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Paint a picture in shades of skin."""
    skin = SKINS[rng.integers(len(SKINS))]
    return ImageOps.colorize(ImageOps.autocontrast(image.convert("L")), tuple(c // 3 for c in skin), skin)


def photographs(
    files: dict, size: tuple[int, int], count: int, seed: int, *, tinted: bool = False
) -> Iterator[Picture]:
    for name, image in shipped(files):
        rng = np.random.default_rng([seed, *name.encode()])
        for crop in crops(image, count, rng):
            yield name, through_jpeg(tint(crop, rng) if tinted else crop, size)


def faces(size: tuple[int, int], seed: int) -> Iterator[Picture]:
    """Faces of 25x25 pixels from Labeled Faces in the Wild, enlarged and painted in shades of skin."""
    spec = importlib.util.find_spec("skimage")
    found = np.load(Path(spec.submodule_search_locations[0]) / "data/lfw_subset.npy")[:100]
    for index, face in enumerate(found):
        rng = np.random.default_rng([seed, index])
        grey = Image.fromarray(np.uint8(255 * (face - face.min()) / np.ptp(face)))
        yield (
            f"face {index}",
            through_jpeg(tint(grey.resize((600, 450), Image.Resampling.BICUBIC), rng), size),
        )


def text(draw: ImageDraw.ImageDraw, box: tuple, rng: np.random.Generator, colour: tuple, points: int) -> None:
    font = ImageFont.load_default(points)
    left, top, right, bottom = box
    for y in range(top, bottom - points, int(points * 1.5)):
        words = ("".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(2, 10))) for _ in range(40))
        line = " ".join(words)[: max(1, int((right - left) / points * 1.7 * rng.uniform(0.5, 1)))]
        draw.text((left, y), line, fill=colour, font=font)


def page(rng: np.random.Generator) -> Image.Image:
    paper = tuple(int(c) for c in rng.integers(225, 256, 3))
    image = Image.new("RGB", (800, 600), paper)
    draw = ImageDraw.Draw(image)
    margin = int(rng.integers(20, 120))
    text(draw, (margin, margin, 800 - margin, 600), rng, PEN[rng.integers(4)], int(rng.integers(9, 30)))
    return image.rotate(rng.uniform(-4, 4), fillcolor=paper, resample=Image.Resampling.BICUBIC)


def table(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(image)
    rows, columns = rng.integers(6, 24), rng.integers(3, 9)
    shade = tuple(int(c) for c in rng.integers(190, 255, 3))
    font = ImageFont.load_default(int(rng.integers(9, 16)))
    for row in range(rows):
        top = 600 * row // rows
        if row % 2 or row == 0:
            draw.rectangle((0, top, 800, 600 * (row + 1) // rows), fill=shade)
        for column in range(columns):
            draw.text(
                (800 * column // columns + 6, top + 4), f"{rng.uniform(0, 1e4):.2f}", fill="black", font=font
            )
    for column in range(columns):
        draw.line((800 * column // columns, 0, 800 * column // columns, 600), fill="grey")
    return image


def window(rng: np.random.Generator) -> Image.Image:
    dark = bool(rng.integers(2))
    ground, ink = ((30, 32, 40), (220, 220, 220)) if dark else ((246, 246, 248), (30, 30, 30))
    accent = tuple(int(c) for c in rng.integers(20, 235, 3))
    image = Image.new("RGB", (800, 600), ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 800, 40), fill=accent)
    draw.rectangle((0, 40, rng.integers(90, 240), 600), fill=tuple(min(255, c + 18) for c in ground))
    for _ in range(rng.integers(4, 14)):
        x, y = rng.integers(100, 640), rng.integers(60, 540)
        w, h = rng.integers(60, 220), rng.integers(20, 120)
        colour = accent if rng.integers(2) else None
        draw.rounded_rectangle((x, y, x + w, y + h), 8, fill=colour, outline=ink)
        text(draw, (int(x) + 8, int(y) + 4, int(x + w), int(y + h)), rng, ink, 13)
    return image


def chart(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(image)
    colours = [tuple(int(c) for c in rng.integers(20, 230, 3)) for _ in range(4)]
    kind = rng.integers(3)
    if kind == 0:
        for bar, height in enumerate(rng.integers(30, 480, 12)):
            draw.rectangle((80 + 55 * bar, 540 - height, 120 + 55 * bar, 540), fill=colours[bar % 4])
    elif kind == 1:
        for colour in colours:
            y = 300 + np.cumsum(rng.normal(0, 14, 60))
            draw.line([(80 + 11 * i, float(v)) for i, v in enumerate(y)], fill=colour, width=3)
    else:
        ends = np.r_[0, np.sort(rng.uniform(0, 360, 4)), 360]
        for start, end, colour in zip(ends[:-1], ends[1:], [*colours, (90, 90, 90)], strict=True):
            draw.pieslice((200, 80, 620, 500), start, end, fill=colour)
    draw.line((70, 40, 70, 545, 760, 545), fill="black", width=2)
    text(draw, (300, 560, 600, 590), rng, (20, 20, 20), 16)
    return image


def documents(size: tuple[int, int], count: int, seed: int) -> Iterator[Picture]:
    for index in range(count):
        draw = (page, table, window, chart)[index % 4]
        yield f"{draw.__name__} {index}", through_jpeg(draw(np.random.default_rng([seed, index])), size)


def noise(size: tuple[int, int], count: int, seed: int) -> Iterator[Picture]:
    """White, pink and no noise about any colour or that of skin."""
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        mean = np.array(SKINS[rng.integers(len(SKINS))]) if index % 2 else rng.uniform(0, 255, 3)
        frequency = np.hypot(np.fft.fftfreq(450)[:, None], np.fft.fftfreq(600)[None])
        pink = np.fft.ifft2(np.fft.fft2(rng.normal(size=(450, 600))) / np.maximum(frequency, 1 / 600)).real
        grain = {
            "white": rng.normal(0, rng.uniform(20, 80), (450, 600, 3)),
            "pink": rng.uniform(15, 50) * (pink / pink.std())[..., None] * np.ones(3),
            "constant": np.zeros((450, 600, 3)),
        }
        name = list(grain)[index // 2 % 3]
        yield (
            f"{name} {index}",
            through_jpeg(Image.fromarray(np.uint8(np.clip(mean + grain[name], 0, 255))), size),
        )


def healthy_skin(files: dict[str, tuple[str, Path]], masks: Path, size: tuple[int, int]) -> Iterator[Picture]:
    """Cut the largest 4:3 box without lesion from each image, at least a third of its width."""
    with zipfile.ZipFile(masks) as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        for image_id, (lesion, path) in files.items():
            mask = Image.open(io.BytesIO(archive.read(names[f"{image_id}_segmentation.png"]))).convert("L")
            near = mask.reduce(COARSE).point(lambda share: 255 * (share > 0)).filter(ImageFilter.MaxFilter(3))
            box = free_box(np.asarray(near) > 0)
            if box:
                with Image.open(path) as image:
                    yield lesion, through_jpeg(image.crop(tuple(COARSE * side for side in box)), size, 95)


def free_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Return left, top, right, bottom of the largest 4:3 box outside a mask, off the dark corners."""
    height, width = mask.shape
    total = np.pad(mask.astype(int).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    for w in range(width * 9 // 10, width // 3 - 1, -4):
        h = w * 3 // 4
        inside = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
        inside[: height // 20] = inside[:, : width // 20] = 1
        inside[-height // 20 :] = inside[:, -width // 20 :] = 1
        if (inside == 0).any():
            top, left = np.argwhere(inside == 0)[0]
            return int(left), int(top), int(left + w), int(top + h)
    return None


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "inverted": ImageOps.invert,
    "grey": lambda image: image.convert("L").convert("RGB"),
    "channels swapped": lambda image: Image.merge("RGB", image.split()[::-1]),
    "heavy blur": lambda image: image.filter(ImageFilter.GaussianBlur(image.width / 30)),
}
"""What turns a lesion image into none that should be answered. Blur: 20 of 600 pixels."""


def gain(red: float, green: float, blue: float) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        return Image.fromarray(np.uint8(np.clip(np.asarray(image, float) * (red, green, blue), 0, 255)))

    return change


def zoom(factor: float) -> Callable[[Image.Image], Image.Image]:
    """Show the middle alone, or more than the whole by mirroring at the edges."""

    def change(image: Image.Image) -> Image.Image:
        across, down = (round(abs(side / factor - side) / 2) for side in image.size)
        if factor >= 1:
            box = (across, down, image.width - across, image.height - down)
            return image.crop(box).resize(image.size)
        padded = np.pad(np.asarray(image), ((down, down), (across, across), (0, 0)), "reflect")
        return Image.fromarray(padded).resize(image.size)

    return change


MILD: dict[str, Callable[[Image.Image], Image.Image]] = {
    "brightness 0.8": gain(0.8, 0.8, 0.8),
    "brightness 1.2": gain(1.2, 1.2, 1.2),
    "warmer": gain(1.08, 1.0, 0.88),
    "cooler": gain(0.9, 1.0, 1.1),
    "greener": gain(0.95, 1.06, 0.97),
    "zoom 1.4": zoom(1.4),
    "zoom 0.75": zoom(0.75),
    "blur of 2 px": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "contrast 1.3": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "contrast 0.75": lambda image: ImageEnhance.Contrast(image).enhance(0.75),
    "each channel stretched to its full range": lambda image: ImageOps.autocontrast(image, cutoff=2),
    "half the saturation": lambda image: Image.blend(image.convert("L").convert("RGB"), image, 0.5),
}
"""What another camera may do to a lesion image; these should pass. For JPEG see `changed`."""


def changed(
    files: dict[str, tuple[str, Path]],
    change: Callable[[Image.Image], Image.Image],
    size: tuple[int, int],
    *,
    quality: int = 95,
) -> Iterator[Picture]:
    """Yield lesion images after a change; `files` gives lesion and path by image id."""
    for lesion, path in files.values():
        with Image.open(path) as image:
            yield lesion, through_jpeg(change(image.convert("RGB")), size, quality)
