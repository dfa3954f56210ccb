"""A small bundle and drawn images: a true claim is confirmed, a false one is not."""

import json
import subprocess
import sys

import pytest

from bundle.conftest import MakeBundle
from lesionwise.bundle.description import PartScores, Provenance, image_digest
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle
from lesionwise.data.dataset import Dataset
from lesionwise.errors import DataError
from lesionwise.evaluation.evaluate import evaluate
from lesionwise.predict.verify import verify_claims
from lesionwise.split.groups import lesion_groups


def provenance(names: tuple[str, ...]) -> Provenance:
    return Provenance(
        data_fingerprint="a" * 64, split_fingerprint="b" * 64, images=1, lesions=1, recipes=(), seeds=(),
        checkpoints=(), test_images=tuple(map(image_digest, names)),
    )  # fmt: skip


def claiming(make_bundle: MakeBundle, data: Dataset, **overall: float) -> Bundle:
    """A bundle that claims what it scores on every second image, apart from some numbers."""
    rows = list(range(0, len(data.y), 2))
    said = Engine(make_bundle(), threads=1).predict([data.paths[row] for row in rows]).probabilities
    found = evaluate(data.y[rows], said, lesion_groups(data.table)[rows]).to_json()
    for name, value in overall.items():
        found["overall"][name]["value"] = value
    scores = PartScores.model_validate(
        {key: found[key] for key in ("images", "lesions", "overall", "per_class")}
    )
    names = tuple(data.table["image_id"].iloc[rows])
    return make_bundle(scores={"test": scores}, provenance=provenance(names))


def test_a_true_claim_is_confirmed_in_every_row(make_bundle: MakeBundle, drawn: Dataset) -> None:
    rows = verify_claims(Engine(claiming(make_bundle, drawn), threads=1), drawn)
    assert len(rows) > 50
    assert all(row.confirmed for row in rows)


def test_a_better_score_than_the_file_has_is_refuted(make_bundle: MakeBundle, drawn: Dataset) -> None:
    rows = verify_claims(Engine(claiming(make_bundle, drawn, accuracy=0.99), threads=1), drawn)
    assert [(row.score, row.diagnosis) for row in rows if not row.confirmed] == [("accuracy", "")]


def test_data_without_the_images_is_refused(make_bundle: MakeBundle, drawn: Dataset) -> None:
    bundle = claiming(make_bundle, drawn)
    part = Dataset(drawn.folder, drawn.layout, drawn.table.iloc[5:].reset_index(drop=True))
    with pytest.raises(DataError, match=r"lacks 3 of the \d+ test images that the bundle names\."):
        verify_claims(Engine(bundle, threads=1), part)


def test_the_file_holds_no_name_of_an_image(make_bundle: MakeBundle, drawn: Dataset) -> None:
    assert b"DRAWN" not in claiming(make_bundle, drawn).path.read_bytes()


def test_a_bundle_that_claims_nothing_is_not_verified(make_bundle: MakeBundle, drawn: Dataset) -> None:
    with pytest.raises(DataError, match="claims no test score, or does not name the images"):
        verify_claims(Engine(make_bundle(), threads=1), drawn)


def test_the_command_ends_with_one_where_a_row_is_refuted_and_refuses_a_changed_file(
    make_bundle: MakeBundle, drawn: Dataset
) -> None:
    bundle = claiming(make_bundle, drawn, balanced_accuracy=0.95)
    command = [sys.executable, "-m", "lesionwise", "verify", "--data", drawn.folder, "--json", "--model"]
    done = subprocess.run([*command, bundle.path], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert [row["score"] for row in json.loads(done.stdout)["rows"] if not row["confirmed"]] == [
        "balanced_accuracy"
    ]
    changed = bundle.path.with_name("changed.onnx")
    changed.write_bytes(bundle.path.read_bytes().replace(b'"value":0.95', b'"value":0.96'))
    done = subprocess.run([*command, changed], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is damaged or was changed after its export" in done.stderr
