import csv
import os
import re
import shutil
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bundle.small_model import images
from lesionwise.arrays import Pixels
from lesionwise.bundle.description import Provenance
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.bundle.runtimes import Arrays
from lesionwise.data.images import read_image
from lesionwise.data.pictures import find_pictures
from lesionwise.errors import BundleError, BusyError, DataError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.predict.files import Output, map_ahead, predict_files
from lesionwise.predict.metadata import MetadataTable
from lesionwise.predict.views import views
from lesionwise.predict.writing import HeatmapWriter, prediction_table

COUNT = BATCH + 5


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number, pixels in enumerate(images(COUNT, (48, 64))):
        Image.fromarray(pixels).save(folder / f"m{number:03}.png")
    return folder


def predicted(engine: Engine, folder: Path, out: Path, **options: Any) -> dict[str, int]:
    own = {name: options.pop(name) for name in ("format_", "resume", "on_answers") if name in options}
    output = Output(out, out.with_suffix(".err"), **own)
    tally = predict_files(engine, find_pictures([str(folder)]), output, **options)
    return {name: count for name, count in vars(tally).items() if count and name != "decisions"}


def test_every_image_gets_the_answer_it_gets_alone(engine: Engine, folder: Path, tmp_path: Path) -> None:
    done: list[int] = []
    tally = predicted(engine, folder, tmp_path / "p.csv", on_done=done.append)
    assert tally == {"predicted": COUNT}
    assert done == [BATCH, COUNT]
    table = read_predictions(tmp_path / "p.csv")
    assert table.image_id.tolist() == [f"m{number:03}" for number in range(COUNT)]
    answers = engine.predict(folder / "m003.png")
    np.testing.assert_allclose(table.y_prob[3], answers.probabilities[0], atol=1e-6)
    with (tmp_path / "p.csv").open() as file:
        row = list(csv.DictReader(file))[3]
    assert row["decision"] == answers.decisions.decision[0]
    assert row["prediction_set"] == " ".join(answers.decisions.prediction_codes(0) or ())
    assert row["path"] == str(folder / "m003.png")
    assert not list(tmp_path.glob("*.part"))
    assert not (tmp_path / "p.err").exists()


def test_bad_files_are_listed_with_reasons_and_the_rest_goes_on(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    good, other = folder / "m000.png", folder / "m001.png"
    (tmp_path / "list.csv").write_text(f"path,image_id\nbad.jpg,\n{good},m\ngone.jpg,\n{other},m\nbad.jpg,\n")
    tally = predicted(engine, tmp_path / "list.csv", tmp_path / "p.csv")
    assert tally == {"predicted": 1, "failed": 3, "repeated": 1}
    with (tmp_path / "p.err").open() as file:
        reasons = sorted((row["image_id"], row["reason"]) for row in csv.DictReader(file))
    assert [name for name, _ in reasons] == ["bad", "gone", "m"]
    assert any("another image has this image_id" in reason for _, reason in reasons)
    assert any("is not an image of the formats" in reason for _, reason in reasons)


def test_the_challenge_format_is_read_back(engine: Engine, folder: Path, tmp_path: Path) -> None:
    predicted(engine, folder, tmp_path / "p.csv", format_="isic")
    header = (tmp_path / "p.csv").read_text().splitlines()[0]
    assert header == "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
    ours = engine.predict(folder / "m001.png").probabilities[0]
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv").y_prob[1], ours, atol=1e-6)


def test_an_interrupted_call_is_resumed_after_its_last_whole_row(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    predicted(engine, folder, tmp_path / "whole.csv")

    interrupt(engine, folder, tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()
    part = tmp_path / "p.csv.part"
    part.write_bytes(part.read_bytes()[:-20])  # the last row is cut
    tally = predicted(engine, folder, tmp_path / "p.csv", resume=True)
    assert tally == {"predicted": COUNT - BATCH + 1, "kept": BATCH - 1}
    assert sorted((tmp_path / "p.csv").read_text().splitlines()) == sorted(
        (tmp_path / "whole.csv").read_text().splitlines()
    )


def interrupt(engine: Engine, folder: Path, out: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predicted(engine, folder, out, on_done=stop)


OTHER_SETTINGS = [
    ({"tta": True}, "--tta was off, now on"),
    ({"format_": "isic"}, "--format was lesionwise, now isic"),
    ({"precision": "bf16"}, "--precision was fp32, now bf16"),
    ({"metadata": "0" * 64}, "metadata was off, now 000000000000"),
    ({"sha256": "0" * 64}, "model was [0-9a-f]{12}, now 000000000000"),
]


@pytest.mark.parametrize("left", ["part", "whole"])
@pytest.mark.parametrize(("other", "message"), OTHER_SETTINGS)
def test_no_table_is_resumed_with_other_settings(
    engine: Engine, folder: Path, tmp_path: Path, other: dict[str, Any], message: str, left: str
) -> None:
    (predicted if left == "whole" else interrupt)(engine, folder, tmp_path / "p.csv")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    changed, options = copy(engine), dict(other)
    changed.precision = options.pop("precision", engine.precision)
    changed.bundle = replace(engine.bundle, sha256=options.pop("sha256", engine.bundle.sha256))
    if "metadata" in options:
        options["metadata"] = MetadataTable(options["metadata"], "image_id", {}, {}, np.zeros((1, 1), "f4"))
    with pytest.raises(DataError, match=f"was started with other settings: {message}"):
        predicted(changed, folder, tmp_path / "p.csv", resume=True, **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    resumed = predicted(engine, folder, tmp_path / "p.csv", resume=True)
    assert resumed["kept"] == (COUNT if left == "whole" else BATCH)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.csv.settings.json"]


def test_a_table_without_its_record_is_not_resumed(engine: Engine, folder: Path, tmp_path: Path) -> None:
    predicted(engine, folder, tmp_path / "p.csv")
    (tmp_path / "p.csv.settings.json").unlink()
    with pytest.raises(DataError, match=r"expected p\.csv\.settings\.json beside it"):
        predicted(engine, folder, tmp_path / "p.csv", resume=True)


def test_a_record_never_takes_the_place_of_something_else(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    for content in ("{}", "[1]", "1"):
        (tmp_path / "p.csv.settings.json").write_text(content)
        with pytest.raises(DataError, match="expected the settings of an earlier prediction"):
            predicted(engine, folder, tmp_path / "p.csv")
        assert (tmp_path / "p.csv.settings.json").read_text() == content


def test_a_table_that_was_finished_just_before_a_kill_keeps_its_settings(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    predicted(engine, folder, tmp_path / "p.csv")
    (tmp_path / "p.csv.settings.json").rename(tmp_path / "p.csv.part.json")
    assert predicted(engine, folder, tmp_path / "p.csv", resume=True) == {"kept": COUNT}


@pytest.mark.parametrize("left", ["part", "whole"])
def test_an_image_of_the_same_name_in_another_folder_never_takes_the_answer_of_the_first(
    engine: Engine, folder: Path, tmp_path: Path, left: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(folder / "m001.png", other / "m000.png")
    shutil.copy(folder / "m002.png", other / "new.png")
    (predicted if left == "whole" else interrupt)(engine, folder, tmp_path / "p.csv")
    found = predicted(engine, other, tmp_path / "p.csv", resume=True)
    assert found == {"predicted": 1, "failed": 1}
    with (tmp_path / "p.err").open() as file:
        (fault,) = csv.DictReader(file)
    assert fault["path"] == str(other / "m000.png")
    assert "another image in the table has this image_id" in fault["reason"]
    both = Output(tmp_path / "p.csv", tmp_path / "p.err", resume=True)
    tally = predict_files(engine, find_pictures([str(folder), str(other)]), both)
    assert (tally.kept, tally.failed) == ((COUNT if left == "whole" else BATCH) + 1, 0)
    with (tmp_path / "p.csv").open() as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert len(rows) == COUNT + 2 == len({row["image_id"] for row in rows.values()})
    answers = engine.predict(other / "m000.png")
    said = float(rows[str(other / "m000.png")]["malignant_probability"])
    assert said == pytest.approx(answers.decisions.malignant_probability[0], abs=1e-6)


def test_relative_paths_are_known_by_the_folder_that_they_start_from(
    engine: Engine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "p.csv"
    for name in ("one", "two"):
        shutil.copytree(folder, tmp_path / name / "images")
    monkeypatch.chdir(tmp_path / "one")
    predicted(engine, Path("images"), out)
    monkeypatch.chdir(tmp_path / "two")
    with pytest.raises(DataError, match=r"was started in .*one, and its relative paths start there"):
        predicted(engine, Path("images"), out, resume=True)
    assert predicted(engine, tmp_path / "one" / "images", out, resume=True) == {"kept": COUNT}


def test_a_table_of_ids_keeps_what_it_has_of_each(engine: Engine, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"path,image_id\n{folder / 'm000.png'},a\n{folder / 'm000.png'},b\n")
    assert predicted(engine, tmp_path / "t.csv", tmp_path / "p.csv") == {"predicted": 2}
    assert predicted(engine, tmp_path / "t.csv", tmp_path / "p.csv", resume=True) == {"kept": 2}
    (tmp_path / "t.csv").write_text(f"path,image_id\n{folder / 'm001.png'},a\n{folder / 'm000.png'},c\n")
    found = predicted(engine, tmp_path / "t.csv", tmp_path / "p.csv", resume=True)
    assert found == {"predicted": 1, "failed": 1}


@pytest.mark.parametrize("left", [b"", b"image_id,pa"])
def test_a_table_without_a_whole_header_is_begun_anew(
    engine: Engine, folder: Path, tmp_path: Path, left: bytes
) -> None:
    (tmp_path / "p.csv.part").write_bytes(left)
    assert predicted(engine, folder, tmp_path / "p.csv", resume=True) == {"predicted": COUNT}


def test_the_header_is_on_disk_before_the_first_row_and_a_blank_row_is_no_image(tmp_path: Path) -> None:
    with prediction_table(tmp_path / "p.csv", "isic") as table:
        table.begin({}, resume=False)
        header = table.part.read_text()
    assert header.startswith("image,MEL")
    with prediction_table(tmp_path / "p.csv", "isic") as table:
        table.part.write_text(header + "\na,1\n" + "x" * 100_000)
        table.record.write_text('{"folder": "/", "settings": {}}')
        assert table.begin({}, resume=True).rows.keys() == {hash("a")}
        assert table.part.read_text() == header + "\na,1\n"


def test_images_of_one_name_are_told_apart_and_a_file_is_predicted_once(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    for name in ("p1/img.png", "p2/img.png", "p2/img.bmp"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "m000.png", tmp_path / "in" / name)
    first, second, bitmap = (
        str(tmp_path / "in" / name) for name in ("p1/img.png", "p2/img.png", "p2/img.bmp")
    )
    places = [str(tmp_path / "in" / "p*" / "img.png"), second, str(tmp_path / "in" / "**")]
    tally = predict_files(engine, find_pictures(places), Output(tmp_path / "p.csv", tmp_path / "e.csv"))
    assert (tally.predicted, tally.failed) == (3, 0)
    assert tally.repeated > 3
    with (tmp_path / "p.csv").open() as file:
        found = {row["path"]: row["image_id"] for row in csv.DictReader(file)}
    assert found == {first: "p1/img", second: "p2/img.png", bitmap: "img.bmp"}


def test_a_name_that_is_no_utf_8_is_escaped_and_resumed(engine: Engine, folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "in" / os.fsdecode(b"odd\xff\n.png")
    odd.parent.mkdir()
    shutil.copy(folder / "m000.png", odd)
    interrupt(engine, odd.parent, tmp_path / "p.csv")
    assert predicted(engine, odd.parent, tmp_path / "p.csv", resume=True) == {"kept": 1}
    with (tmp_path / "p.csv").open(encoding="utf-8") as file:
        assert [row["image_id"] for row in csv.DictReader(file)] == ["odd\\udcff\\n"]


def test_what_an_error_table_would_replace_is_left_alone_unless_it_is_one(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.err").write_text("mine")
    with pytest.raises(DataError, match="expected an earlier table of errors"):
        predicted(engine, folder, tmp_path / "p.csv")
    assert (tmp_path / "p.err").read_text() == "mine"
    (tmp_path / "p.err").write_text("image_id,path,reason\nold,old,old\n")
    predicted(engine, folder, tmp_path / "p.csv")
    assert not (tmp_path / "p.err").exists()


def test_the_mean_over_views_stays_when_the_picture_is_turned(engine: Engine, tmp_path: Path) -> None:
    pixels = images(1, (24, 32))[0]
    for name, turned in (("a", pixels), ("b", pixels[::-1, ::-1]), ("c", pixels[:, ::-1])):
        Image.fromarray(np.ascontiguousarray(turned)).save(tmp_path / f"{name}.png")
    predicted(engine, tmp_path, tmp_path / "p.csv", tta=True)
    prob = read_predictions(tmp_path / "p.csv").y_prob
    np.testing.assert_allclose(prob, np.broadcast_to(prob[0], prob.shape), atol=1e-5)
    turned = [pixels, pixels[::-1], pixels[:, ::-1], pixels[::-1, ::-1]]
    single = engine.predict([np.ascontiguousarray(view) for view in turned]).probabilities
    np.testing.assert_allclose(prob[0], single.mean(0), atol=1e-6)
    assert np.abs(prob[0] - single[0]).max() > 1e-5


def averaging(engine: Engine, count: int) -> Engine:
    """Return the engine with a description that says that its network averages some views."""
    made = Provenance(
        data_fingerprint="0" * 64,
        split_fingerprint="0" * 64,
        images=1,
        lesions=1,
        recipes=({"tta": count},),
        seeds=(0,),
        checkpoints=("0" * 64,),
    )
    other = copy(engine)
    other.bundle = replace(
        engine.bundle, description=engine.description.model_copy(update={"provenance": made})
    )
    return other


def test_mirror_images_that_the_model_averages_itself_are_not_computed_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(images(1, (24, 32))[0]).save(tmp_path / "a.png")
    seen: list[Pixels] = []
    look = Engine.look

    def noted(self: Engine, pixels: Pixels, metadata: NDArray[np.float32] | None = None) -> Arrays:
        seen.append(pixels)
        return look(self, pixels, metadata)

    monkeypatch.setattr(Engine, "look", noted)
    predicted(averaging(engine, 2), tmp_path, tmp_path / "p.csv", tta=True)
    assert len(seen) == 2
    np.testing.assert_array_equal(seen[1], seen[0][:, ::-1, ::-1])


@pytest.mark.parametrize("inside", [1, 2, 4])
@pytest.mark.parametrize("size", [(6, 6), (4, 6)])
def test_views_outside_and_inside_a_model_are_together_all_views_once(
    inside: int, size: tuple[int, int]
) -> None:
    pixels = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(1, *size, 3)
    together: list[bytes] = []
    for outer in views(pixels, inside=inside):
        mirrored = [outer, outer[:, :, ::-1], outer[:, ::-1], outer[:, ::-1, ::-1]]  # as in `models.network`
        together += [view.tobytes() for view in mirrored[:inside]]
    assert sorted(together) == sorted(view.tobytes() for view in views(pixels))
    assert len(set(together)) == len(together)


def test_views_that_the_model_averages_itself_are_refused(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    other = averaging(engine, 4)
    with pytest.raises(BundleError, match="averages 4 views of each image itself"):
        predicted(other, folder, tmp_path / "p.csv", tta=True)
    assert not list(tmp_path.glob("p*"))


@pytest.mark.parametrize(("size", "count"), [((6, 8), 4), ((8, 8), 8)])
def test_views_are_all_different_and_keep_their_shape(size: tuple[int, int], count: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    seen = {view.tobytes() for view in views(pixels) if view.shape == pixels.shape}
    assert len(seen) == count


def test_the_pipeline_keeps_order_and_reads_only_a_little_ahead() -> None:
    taken: list[int] = []
    gate = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(3) as pool:
        results = map_ahead(pool, lambda x: gate.wait(0.01 * (x % 3)) or x, numbers(), 4)
        assert next(results) == 0
        assert len(taken) <= 6
        assert list(results) == list(range(1, 50))


def test_heatmaps_lie_in_their_folder_and_on_the_part_that_is_looked_at(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "maps"
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(folder / "m000.png", "../../m000.png")
        archive.write(folder / "m002.png", "\\\\m.2.png")
        archive.write(folder / "m001.png", "deep/m001.png")
    predicted(engine, tmp_path / "z.zip", tmp_path / "p.csv", on_answers=HeatmapWriter(engine, out))
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png")) == [
        Path("maps/m.2.png"),
        Path("maps/m000.png"),
        Path("maps/m001.png"),
    ]
    rule = engine.description.input
    drawn = np.asarray(Image.open(out / "m000.png")).astype(int)
    given = read_image(folder / "m000.png", rule.size).astype(int)
    assert rule.zoom == 1.5
    np.testing.assert_array_less(np.abs(drawn[0] - given[0] * 0.55), 1.01)  # the rim is only darker
    assert np.abs(drawn[12, 8:24] - given[12, 8:24]).max() > 5  # the middle carries colour
    with pytest.raises(BundleError, match="--heatmaps needs a single network"):
        HeatmapWriter(without_maps(engine), out)


def without_maps(engine: Engine) -> Engine:
    other = copy(engine)
    said = engine.description.model_copy(update={"outputs": ("probabilities", "logits")})
    other.bundle = replace(engine.bundle, description=said)
    return other


def test_two_calls_do_not_write_one_table(engine: Engine, folder: Path, tmp_path: Path) -> None:
    refused: list[bool] = []

    def call_again(_: int) -> None:
        if not refused:
            with pytest.raises(BusyError, match=r"p\.csv: another process is writing it"):
                predicted(engine, folder, tmp_path / "p.csv", resume=True)
            refused.append(True)

    assert predicted(engine, folder, tmp_path / "p.csv", on_done=call_again) == {"predicted": COUNT}
    assert refused
    rows = (tmp_path / "p.csv").read_text().splitlines()
    assert len(rows) == len(set(rows)) == COUNT + 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.csv.settings.json"]


def test_a_finished_table_has_nothing_left_to_do_but_images_that_came_since(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(folder, tmp_path / "images"))
    predicted(engine, own, tmp_path / "p.csv")
    finished = (tmp_path / "p.csv").read_bytes()
    assert predicted(engine, own, tmp_path / "p.csv", resume=True) == {"kept": COUNT}
    assert (tmp_path / "p.csv").read_bytes() == finished
    shutil.copy(next(own.glob("*.png")), own / "new.png")
    assert predicted(engine, own, tmp_path / "p.csv", resume=True) == {"predicted": 1, "kept": COUNT}
    assert (tmp_path / "p.csv").read_bytes().startswith(finished)


def test_a_table_from_python_is_the_table_of_the_command(
    engine: Engine, folder: Path, tmp_path: Path
) -> None:
    shutil.copy(folder / "m000.png", tmp_path / "=1+1.png")
    (tmp_path / "t.csv").write_text(f"path,image_id\n{folder / 'm001.png'},a\n=1+1.png,\n")
    predicted(engine, tmp_path / "t.csv", tmp_path / "p.csv")
    engine.predict(tmp_path / "t.csv").to_frame().to_csv(tmp_path / "q.csv", index=False)
    texts = ("image_id", "path", "decision", "top", "prediction_set", "model", "model_sha256")
    with (tmp_path / "p.csv").open() as theirs, (tmp_path / "q.csv").open() as ours:
        for command, python in zip(csv.DictReader(theirs), csv.DictReader(ours), strict=True):
            assert list(command) == list(python)
            assert [command[name] for name in texts] == [python[name] for name in texts]
            for name in set(command) - set(texts):
                assert float(command[name]) == pytest.approx(float(python[name]), rel=1e-4, abs=1e-6)
    assert read_predictions(tmp_path / "q.csv").model == read_predictions(tmp_path / "p.csv").model
    with pytest.raises(DataError, match="several images have the id m001"):
        engine.predict([folder / "m001.png", folder / "m001.png"]).to_frame()


def test_no_name_in_a_table_is_a_formula(engine: Engine, folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "=images"
    own.mkdir()
    image = next(folder.glob("*.png"))
    for name in ("=cmd|'C'!A0", "+1+1", "-1-1", "@SUM(1)", "-12"):
        shutil.copy(image, own / f"{name}.png")
    (own / "=broken.png").write_bytes(b"no image")
    predicted(engine, own, tmp_path / "p.csv")
    for table in tmp_path.glob("p.*"):
        with table.open(newline="") as file:
            for row in csv.reader(file):
                assert not any(re.match(r"[=+@]|-(?!\d+(\.\d+)?(e[-+]?\d+)?$)", cell) for cell in row), row
    assert predicted(engine, own, tmp_path / "p.csv", resume=True)["kept"] == 5
