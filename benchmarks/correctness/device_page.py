"""By how much do answers of the page in a browser differ from those of `predict` for real JPEG files?

    sh .ci/onnxruntime-web.sh
    python benchmarks/correctness/device_page.py HAM10000

Six images of each diagnosis, from `cal` of the reference split, are asked as the JPEG files that they are,
and one of each diagnosis also as a PNG of the same picture, of which both have the same pixels.
"""

import base64
import functools
import http.server
import json
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from lesionwise.bundle.engine import load_model
from lesionwise.data.images import fit_image, read_image
from lesionwise.labels import CODES
from lesionwise.serve.device_page import PACKAGE, device_page

ROOT = Path(__file__).resolve().parents[2]
EACH = 6
PATIENCE_MS = 600_000
CARDS = "article.result:not(.pending)"
ANSWERS = f"""() => Object.fromEntries([...document.querySelectorAll("{CARDS}")]
    .map(card => [card.dataset.name, answerOf(card).results[0]]))"""
PIXELS = """async number => {
    const file = document.querySelector("#files").files[number];
    const pixels = device.fit(await device.decode(file));
    return btoa(Array.from(pixels, byte => String.fromCharCode(byte)).join(""));
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def chosen(ham10000: Path) -> list[Path]:
    """Return the files of some images of each diagnosis."""
    table = pd.read_csv(ham10000 / "HAM10000_metadata.csv")
    split = pd.read_csv(ROOT / "benchmarks/reference_split.csv", comment="#")
    table = table[table["image_id"].isin(split.loc[split["part"] == "cal", "image_id"])]
    lesions = table.sample(frac=1, random_state=0).drop_duplicates("lesion_id")
    names = lesions.groupby("dx").head(EACH).sort_values("dx")["image_id"]
    return [next(ham10000.glob(f"*/{name}.jpg")) for name in names]


def as_png(path: Path, folder: Path) -> Path:
    made = folder / f"{path.stem}.png"
    with Image.open(path) as image:
        image.convert("RGB").save(made)
    return made


def ask(page: Page, files: list[Path]) -> list[dict]:
    """Return what the page answers, file by file."""
    found = []
    for file in files:
        page.reload()
        page.locator("#image").set_input_files(str(file))
        page.locator(CARDS).first.wait_for()
        found.append(page.evaluate(ANSWERS)[file.name])
    return found


def pixels_of(page: Page, files: list[Path]) -> list[np.ndarray]:
    """Return what the page makes of files before its network sees them, shape (H, W, 3) each."""
    size = load_model("best").description.input.size
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<input type=file id=files multiple hidden>')"
    )
    page.locator("#files").set_input_files(list(map(str, files)))
    found = (base64.b64decode(page.evaluate(PIXELS, k)) for k in range(len(files)))
    return [np.frombuffer(content, np.uint8).reshape(*size, 3) for content in found]


def compare(kind: str, found: list[dict], files: list[Path], pixels: list[np.ndarray]) -> None:
    engine = load_model("best")
    answers = engine.predict(files)
    theirs = np.array([[one["probabilities"][code] for code in CODES] for one in found])
    difference = np.abs(theirs - answers.probabilities).max(1)
    own = [answer.to_json() for answer in answers]
    other = {
        key: sum(one[key] != same[key] for one, same in zip(found, own, strict=True))
        for key in ("decision", "prediction_set")
    }
    other["most likely diagnosis"] = int((theirs.argmax(1) != answers.probabilities.argmax(1)).sum())
    malignant = np.abs(
        [a["malignant_probability"] - b["malignant_probability"] for a, b in zip(found, own, strict=True)]
    )
    grey = [
        np.abs(one - read_image(file, engine.description.input.size).astype(int)).mean()
        for one, file in zip(pixels, files, strict=True)
    ]
    decoded = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    full = [
        np.abs(one - fit_image(whole, engine.description.input.size).astype(int)).mean()
        for one, whole in zip(pixels, decoded, strict=True)
    ]
    print(f"{kind}: {len(files)} files")
    print(f"  grey levels from the file {np.mean(grey):.3f}, from all its pixels {np.mean(full):.6f}")
    print(f"  largest difference of a probability: {difference.mean():.5f}, at most {difference.max():.5f}")
    same = engine.answers([engine.run(one[None]) for one in pixels]).probabilities
    print(f"  the same for the very pixels of the page: at most {np.abs(theirs - same).max():.1e}")
    print(f"  malignant probability: {malignant.mean():.5f}, at most {malignant.max():.5f}")
    print(f"  other {json.dumps(other)}")


def main(ham10000: Path) -> None:
    files = chosen(ham10000)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as driver:
        folder = Path(place)
        for name, content in device_page(load_model("best").bundle, ROOT / "node_modules" / PACKAGE).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        handler = functools.partial(Quiet, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        print(browser.version)
        for kind, some in (
            ("PNG", [as_png(file, folder) for file in files[::EACH]]),
            ("JPEG", files),
        ):
            pixels = pixels_of(page, some)
            compare(kind, ask(page, some), some, pixels)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
