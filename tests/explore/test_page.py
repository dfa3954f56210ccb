import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from conftest import WriteKaggle, make_recipe
from lesionwise.errors import DataError, RecipeError, RunError
from lesionwise.explore.explore import Exploration, explore_folder
from lesionwise.explore.page import write_exploration
from lesionwise.labels import CODES

NEEDS_MASKS = "abcd"


def test_every_figure_has_a_png_and_a_csv(page: Path, explored: Exploration) -> None:
    names = {path.stem for path in (page.parent / "figures").glob("*.png")}
    assert names == {path.stem for path in (page.parent / "figures").glob("*.csv")}
    assert {"diagnoses", "dx_type", "localization", "ages", "age-diagnosis", "sex-diagnosis", "samples",
            "sizes", "photographs", "missing", "site-diagnosis", "colors", "mean-images", "abcd",
            "map"} == names  # fmt: skip
    points = pd.read_csv(page.parent / "figures" / "map.csv")
    assert len(points) == len(explored.dataset.table)


def test_the_page_needs_no_other_file_and_every_link_of_it_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="https?://', text)
    anchors = re.findall(r'href="#([\w-]+)"', text)
    ids = set(re.findall(r' id="([\w-]+)"', text))
    assert anchors
    assert set(anchors) <= ids
    for link in re.findall(r'href="(figures/[^"]+)"', text):
        assert (page.parent / link).is_file()


def test_every_picture_and_figure_says_what_it_is(page: Path) -> None:
    class Pictures(HTMLParser):
        found = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            named = dict(attrs)
            if tag == "img":
                assert named.get("alt")
                self.found += 1
            if tag == "svg" and "aria-hidden" not in named:
                assert named.get("role") == "img"
                assert named.get("aria-label")
                self.found += 1

    pictures = Pictures()
    pictures.feed(page.read_text(encoding="utf-8"))
    assert pictures.found > 20


def test_all_images_with_a_mask_were_measured(explored: Exploration) -> None:
    assert explored.masked == len(explored.dataset.table)
    assert explored.look.measures.notna().all(axis=None)
    assert {code for code in CODES if (explored.dx == code).any()} == set(CODES)


def test_the_map_of_the_page_has_a_place_on_the_sheet_for_each_point(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    points = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="5"', text)
    assert len(points) > len(CODES)
    assert all(0 <= float(x) <= 1000 and 0 <= float(y) <= 700 for x, y in points)


def test_a_folder_without_masks_says_so(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    found = explore_folder(write_kaggle(tmp_path / "data", lesions=2))
    text = write_exploration(found, tmp_path / "out").read_text(encoding="utf-8")
    assert "there are no masks in this folder" in text
    assert not (tmp_path / "out" / "figures" / f"{NEEDS_MASKS}.png").exists()


def test_a_recipe_with_fresh_weights_makes_no_map(masked_folder: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(RecipeError, match="starts from trained weights but small has"):
        explore_folder(masked_folder, recipe=make_recipe())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of timm's own imports
def test_a_recipe_with_weights_places_the_images_by_its_network(masked_folder: Path, tmp_path: Path) -> None:
    timm, safetensors = pytest.importorskip("timm"), pytest.importorskip("safetensors.torch")
    body = timm.create_model("mobilenetv2_035", num_classes=0)
    weights = tmp_path / "w.safetensors"
    safetensors.save_file(body.state_dict(), weights, {"mean": "0.5,0.5,0.5", "std": "0.5,0.5,0.5"})
    recipe = make_recipe(model="timm:mobilenetv2_035", weights=str(weights))
    found = explore_folder(masked_folder, recipe=recipe)
    assert "frozen features of timm:mobilenetv2_035" in found.features
    assert any("By the network's features alone" in remark for remark in found.remarks)


def test_the_command_needs_no_torch(masked_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(
        "raise ModuleNotFoundError('torch is not to be imported', name='torch')"
    )
    command = [
        sys.executable,
        "-m",
        "lesionwise",
        "data",
        "explore",
        str(masked_folder),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        [*command, "--quiet"],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "What stands out:" in done.stdout
    assert (tmp_path / "out" / "explore.html").is_file()


def test_a_folder_of_other_data_is_written_over_only_when_told_to(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    one = explore_folder(write_kaggle(tmp_path / "data", lesions=2))
    other = replace(one, cache=replace(one.cache, fingerprint="0" * 64))
    out = tmp_path / "out"
    write_exploration(one, out)
    page = write_exploration(one, out).read_bytes()
    with pytest.raises(DataError, match=r"holds the exploration of other data\. Pass another --out"):
        write_exploration(other, out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(RunError, match="is not empty and holds no exploration"):
        write_exploration(one, tmp_path / "mine")
    assert (out / "explore.html").read_bytes() == page
    write_exploration(other, out, force=True)
