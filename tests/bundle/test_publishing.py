import subprocess
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

from bundle.small_model import describe
from lesionwise.bundle.load import read_bundle, seal
from lesionwise.bundle.publishing import publish
from lesionwise.errors import BundleError, RunError
from lesionwise.export.graph import Exported
from lesionwise.labels import LEAKY_STAMP

CARD = "---\nlicense: someone's\n---\n\n# small\n\nResearch and education only.\n"
SHIPPED = Path(str(files("lesionwise"))) / "weights" / "best.onnx"


def write(path: Path, exported: Exported, **changes: object) -> Path:
    """Write a bundle that may be published, but for some changes."""
    fields = {"card": CARD, "licence": "CC BY-NC 4.0", **changes}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(seal(exported.content, describe(**fields)))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def test_the_model_that_ships_can_be_published(out: Path) -> None:
    yaml = pytest.importorskip("yaml")
    made = publish(SHIPPED, out)
    assert sorted(path.name for path in out.iterdir()) == sorted(made.files)
    assert read_bundle(out / "model.onnx").sha256 == made.sha256
    _, header, words = (out / "README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(header)
    bundle = read_bundle(SHIPPED)
    assert (facts["license"], facts["pipeline_tag"]) == ("cc-by-nc-4.0", "image-classification")
    assert "skin-lesion" in facts["tags"]
    [result] = facts["model-index"][0]["results"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    test = bundle.description.scores["test"].overall
    assert values["balanced_accuracy"] == round(test["balanced_accuracy"].value, 4)
    assert values["roc_auc"] == round(test["macro_auc"].value, 4)
    assert (
        bundle.description.card.split("---\n")[-1].strip() in words
    )  # publishing writes a header of its own
    assert 'load_model("model.onnx")' in words
    assert "creativecommons.org/licenses/by-nc/4.0/legalcode" in (out / "LICENSE").read_text()


def test_checksums_are_those_that_sha256sum_checks(exported: Exported, tmp_path: Path, out: Path) -> None:
    publish(write(tmp_path / "m.onnx", exported), out)
    for line in (out / "SHA256SUMS").read_text().splitlines():
        found, name = line.split("  ")
        assert sha256((out / name).read_bytes()).hexdigest() == found
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=out, capture_output=True, check=False)
    assert done.returncode == 0


def test_the_header_of_the_card_is_that_of_the_bundle(exported: Exported, tmp_path: Path, out: Path) -> None:
    publish(write(tmp_path / "m.onnx", exported), out)
    text = (out / "README.md").read_text()
    assert text.count("license:") == 1
    assert "someone's" not in text
    assert "model-index" not in text  # it claims no scores


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stamp": LEAKY_STAMP}, "LEAKY SPLIT: it was trained on lesions that it was tested on"),
        ({"calibration": None}, "has no calibration"),
        ({"card": " \n"}, "has no card"),
        ({"licence": ""}, "has no licence"),
        ({"licence": "GPL-3.0"}, "Pass it with --licence-text"),
    ],
)
def test_what_a_stranger_would_judge_wrong_is_not_published(
    changes: dict[str, object], message: str, exported: Exported, tmp_path: Path, out: Path
) -> None:
    with pytest.raises(BundleError, match=message):
        publish(write(tmp_path / "m.onnx", exported, **changes), out)
    assert not out.exists()


def test_another_licence_brings_its_text(exported: Exported, tmp_path: Path, out: Path) -> None:
    (tmp_path / "L").write_text("Do what you like.")
    publish(
        write(tmp_path / "m.onnx", exported, licence="Our own, of 2026"), out, licence_text=tmp_path / "L"
    )
    assert (out / "LICENSE").read_text() == "Do what you like."
    assert (
        'license: other\nlicense_name: "Our own, of 2026"\nlicense_link: LICENSE'
        in (out / "README.md").read_text()
    )


def test_a_run_is_published_with_the_bundle_of_its_present_weights(
    exported: Exported, tmp_path: Path, out: Path
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.toml").write_text("")
    (run / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    with pytest.raises(
        RunError, match=r"has no model.onnx. Run .lesionwise report .* then .lesionwise bundle export"
    ):
        publish(run, out)
    made_of = {"data_fingerprint": "0" * 64, "split_fingerprint": "0" * 64, "images": 1, "lesions": 1}
    rest = {"recipes": ({},), "seeds": (0,)}
    for weights in (b"other weights", b"weights"):
        provenance = {**made_of, **rest, "checkpoints": (sha256(weights).hexdigest(),)}
        write(run / "model.onnx", exported, provenance=provenance)
        if weights != b"weights":
            with pytest.raises(RunError, match="was exported from other weights"):
                publish(run, out)
    publish(run, out)
    assert (out / "model.onnx").read_bytes() == (run / "model.onnx").read_bytes()


def test_a_folder_that_holds_something_is_left_alone(exported: Exported, tmp_path: Path, out: Path) -> None:
    model = write(tmp_path / "m.onnx", exported)
    out.mkdir()
    (out / "mine").write_text("")
    with pytest.raises(RunError, match="is not empty"):
        publish(model, out)
    assert [path.name for path in out.iterdir()] == ["mine"]
    (out / "mine").unlink()
    publish(model, out)
    assert (out / "README.md").exists()
