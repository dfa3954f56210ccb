import csv
import json
from pathlib import Path
from shutil import copy

import pytest

from conftest import Lesionwise
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.findings import Finding
from lesionwise.gallery.gallery import Gallery, load_gallery
from lesionwise.predict.similar import SIMILAR_COLUMNS


@pytest.fixture
def path(gallery: Gallery, tmp_path: Path) -> Path:
    return Path(copy(gallery.path, tmp_path / "g.safetensors"))


def test_a_folder_becomes_a_gallery_that_can_grow(
    lesionwise: Lesionwise, model: Path, drawn_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "g.safetensors"
    options = ("gallery", drawn_folder, "--model", model, "--out", out)
    done = lesionwise(*options, "--licence", "CC0-1.0", "--json", "--quiet")
    made = json.loads(done.out)
    assert done.code == 0
    assert (made["pictures"], made["licence"], made["left_out"]) == (False, "CC0-1.0", [])
    assert made["images"] == len(read_dataset(drawn_folder).table)
    assert "is there already. Pass --append, --force" in lesionwise(*options).err
    assert "CC0-1.0" in lesionwise(*options, "--append").out
    assert len(load_gallery(out)) == made["images"]
    again = lesionwise(*options, "--force", "--pictures")
    assert "with pictures; licence: not stated" in again.out
    assert "--licence" in again.out
    assert load_gallery(out).pictures


def test_a_gallery_has_one_suffix(lesionwise: Lesionwise, drawn_folder: Path) -> None:
    done = lesionwise("gallery", drawn_folder, "--out", "gallery")
    assert (done.code, "as gallery.safetensors" in done.err) == (2, True)


def test_a_gallery_on_ray_takes_no_number_of_threads(lesionwise: Lesionwise, drawn_folder: Path) -> None:
    done = lesionwise("gallery", drawn_folder, "--out", "g.safetensors", "--engine", "ray", "--workers", 2)
    assert (done.code, "--workers is for --engine local" in done.err) == (2, True)


def test_similar_prints_the_lesions_and_what_they_are(
    lesionwise: Lesionwise, model: Path, path: Path, drawn: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    options = ("similar", drawn.paths[3], "--gallery", path, "--model", model, "--count", 4)
    done = lesionwise(*options)
    assert done.code == 0
    assert "most similar: " in done.out
    assert "50, female, back" in done.out
    assert "licence: CC0-1.0" in done.out
    assert "not a medical device" in done.err
    bad = lesionwise(*options, tmp_path / "bad.jpg", "--json")
    found = json.loads(bad.out)
    assert bad.code == 1
    assert list(found["left_out"]) == [str(tmp_path / "bad.jpg")]
    (result,) = found["results"]
    own = drawn.table["lesion_id"][3]
    assert [one["lesion_id"] == own for one in result["similar"]] == [False] * 4
    lesion = result["similar"][0]["lesion_id"]
    less = json.loads(lesionwise(*options, "--json", "--lesion", lesion).out)
    assert result["similar"][1:] == less["results"][0]["similar"][:3]


def test_predict_names_similar_lesions_in_its_table(
    lesionwise: Lesionwise, model: Path, path: Path, drawn: Dataset, tmp_path: Path
) -> None:
    places = drawn.paths[:20]
    out = tmp_path / "p.csv"
    options = ("predict", *places, "--model", model, "--gallery", path, "--out", out, "--quiet")
    assert lesionwise(*options, "--similar", 3).code == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert list(rows[0])[-3:] == list(SIMILAR_COLUMNS)
    assert [len(row["similar_dx"].split(";")) for row in rows] == [3] * 20
    dx = dict(zip(drawn.table["image_id"], drawn.table["dx"], strict=True))
    for row in rows:
        images = row["similar_images"].split(";")
        assert row["similar_dx"].split(";") == [dx[image] for image in images]
        assert row["image_id"] not in images
        nearest = [float(part) for part in row["similar_percentiles"].split(";")]
        assert nearest == sorted(nearest)
    changed = lesionwise(*options, "--similar", 4, "--resume")
    assert "--similar was 3, now 4" in changed.err
    without = lesionwise(*options[:-5], "--out", out, "--quiet", "--resume")
    assert without.code == 2


def test_predict_prints_similar_lesions(
    lesionwise: Lesionwise, model: Path, path: Path, drawn: Dataset
) -> None:
    options = ("--model", model, "--gallery", path)
    assert "most similar: " in lesionwise("predict", drawn.paths[0], *options).out
    assert "; similar: " in lesionwise("predict", *drawn.paths[:2], *options).out
    found = json.loads(lesionwise("predict", *drawn.paths[:2], *options, "--json").out)
    assert [len(one["similar"]) for one in found["results"]] == [5, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--similar", 3], "--similar needs --gallery"),
        (["--gallery", "g.safetensors", "--format", "isic", "--out", "p.csv"], "--gallery is not for"),
        (["--gallery", "g.safetensors", "--engine", "ray", "--out", "p.csv"], "is for --engine local"),
        (["--gallery", "missing"], "missing: expected a file"),
        (["--gallery", "g.safetensors"], "was made with drawn"),
    ],
)
@pytest.mark.usefixtures("path")
def test_options_that_do_not_go_together_are_refused(
    lesionwise: Lesionwise, drawn: Dataset, options: list[object], message: str
) -> None:
    done = lesionwise("predict", drawn.paths[0], *options)
    assert done.code == 2
    assert message in done.err


def test_the_audit_names_images_among_lesions_of_other_diagnoses(
    lesionwise: Lesionwise, path: Path, drawn_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "audit"
    done = lesionwise("data", "audit", drawn_folder, "--gallery", path, "--out", out, "--fail-on", "never")
    assert done.code == 0
    assert (out / "audit.html").is_file()
    codes = [finding["code"] for finding in json.loads((out / "audit.json").read_text())["findings"]]
    assert codes == sorted(codes)


def test_the_audit_shows_the_diagnoses_of_an_image_in_doubt_and_of_its_neighbours(
    lesionwise: Lesionwise,
    path: Path,
    drawn: Dataset,
    drawn_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = drawn.table["image_id"][:2].tolist()
    detail = {"pair": pair, "dx": ["mel", "nv"], "neighbours": {"nv": 7, "bkl": 3}}
    finding = Finding("D021", "warning", "some", "Look at them.", ids=(pair[0],), details=(detail,))
    monkeypatch.setattr("lesionwise.gallery.labels_in_doubt.doubt_findings", lambda *_: [finding])
    lesionwise(
        "data", "audit", drawn_folder, "--gallery", path, "--out", tmp_path / "a", "--fail-on", "never"
    )
    page = (tmp_path / "a" / "audit.html").read_text(encoding="utf-8")
    assert "mel and nv; the nearest: 7 nv, 3 bkl" in page


def test_explore_links_a_point_with_its_neighbours(
    lesionwise: Lesionwise, path: Path, drawn_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "explore"
    assert lesionwise("data", "explore", drawn_folder, "--gallery", path, "--out", out).code == 0
    page = (out / "explore.html").read_text(encoding="utf-8")
    assert "that drawn finds most alike" in page
    assert page.count("data-near=") == page.count("data-id=") > 80
