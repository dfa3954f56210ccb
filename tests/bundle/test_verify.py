"""A small bundle and drawn images: a true claim is confirmed, a false one is not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.conftest import MakeBundle
from bundle.small_model import CALIBRATION
from conftest import Lesionwise, WriteKaggle
from lesionwise.bundle.claims import part_scores
from lesionwise.bundle.description import Description, Provenance, StabilityScores, image_digest
from lesionwise.bundle.engine import Engine, load_model
from lesionwise.bundle.load import Bundle
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.known_lesions import known_lesions
from lesionwise.data.metadata import encoding_of
from lesionwise.errors import DataError
from lesionwise.evaluation.calibration.check import check_calibration
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.scores.evaluate import OVERALL, PER_CLASS, evaluate
from lesionwise.labels import CODES
from lesionwise.predict.check import check_claims
from lesionwise.predict.stability import stability_of
from lesionwise.split.groups import lesion_groups
from serve.drawn_model import write_bundle


def provenance(names: tuple[str, ...]) -> Provenance:
    return Provenance(
        data_fingerprint="a" * 64, split_fingerprint="b" * 64, images=1, lesions=1, recipes=(), seeds=(),
        checkpoints=(), test_images=tuple(map(image_digest, names)),
    )  # fmt: skip


CUTOFF = 1.0
Change = Callable[[dict[str, Any]], object]


def claiming(make_bundle: MakeBundle, data: Dataset, change: Change | None = None) -> Bundle:
    """A bundle that claims what it does on every second image, apart from what is changed."""
    rows = list(range(0, len(data.y), 2))
    said = Engine(make_bundle(ood_cutoff=CUTOFF), threads=1).predict([data.paths[row] for row in rows])
    truth, groups = data.y[rows], lesion_groups(data.table)[rows]
    check = check_calibration(
        CALIBRATION, truth, softmax(said.logits), said.probabilities, groups, resamples=30
    )
    assert said.ood_score is not None
    accepted = float(np.mean(said.ood_score < CUTOFF))
    claim = part_scores(evaluate(truth, said.probabilities, groups), check, accepted=accepted).model_dump()
    if change:
        change(claim)
    names = tuple(data.table["image_id"].iloc[rows])
    return make_bundle(scores={"test": claim}, provenance=provenance(names), ood_cutoff=CUTOFF)


def refuted(bundle: Bundle, data: Dataset) -> list[tuple[str, str]]:
    rows = check_claims(Engine(bundle, threads=1), data).rows
    return [(row.score, row.diagnosis) for row in rows if not row.confirmed]


def test_a_true_claim_is_confirmed_in_every_row(make_bundle: MakeBundle, drawn: Dataset) -> None:
    rows = check_claims(Engine(claiming(make_bundle, drawn), threads=1), drawn).rows
    assert all(row.confirmed for row in rows)
    names = {row.score for row in rows}
    assert names >= {*OVERALL, *PER_CLASS, "images", "lesions", "images accepted"}
    assert names >= {f"melanoma, sensitivity >= 0.9: {side}" for side in ("sensitivity", "specificity")}
    covered = {row.diagnosis: row.found for row in rows if row.score == "lesions covered by sets"}
    assert set(covered) == {*CODES, "all"}
    assert covered["all"] is not None
    assert 0 < covered["all"] < 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda claim: claim["points"][0]["sensitivity"].update(value=0.5),
         ("melanoma, sensitivity >= 0.9: sensitivity", "")),
        (lambda claim: claim["points"][0]["specificity"].update(value=0.5),
         ("melanoma, sensitivity >= 0.9: specificity", "")),
        (lambda claim: claim["sets"]["coverage"]["mel"].update(lesions=1, covered=0),
         ("lesions covered by sets", "mel")),
        (lambda claim: claim["sets"].update(mean=9.0), ("diagnoses in a set", "")),
        (lambda claim: claim["sets"].update(single=0.123), ("sets of one diagnosis", "")),
        (lambda claim: claim.update(accepted=0.123), ("images accepted", "")),
        (lambda claim: claim.update(lesions=7), ("lesions", "")),
    ],
)  # fmt: skip
def test_what_users_act_on_is_refuted_too(
    make_bundle: MakeBundle,
    drawn: Dataset,
    change: Change,
    expected: tuple[str, str],
) -> None:
    assert refuted(claiming(make_bundle, drawn, change), drawn) == [expected]


def test_a_point_that_the_file_does_not_have_is_refuted(make_bundle: MakeBundle, drawn: Dataset) -> None:
    bundle = claiming(make_bundle, drawn, lambda claim: claim["points"][0].update(at_least=0.95))
    assert {score for score, _ in refuted(bundle, drawn)} == {
        "melanoma, sensitivity >= 0.95: sensitivity", "melanoma, sensitivity >= 0.95: specificity"
    }  # fmt: skip


def test_an_older_bundle_is_verified_in_what_it_claims(make_bundle: MakeBundle, drawn: Dataset) -> None:
    def older(claim: dict[str, Any]) -> None:
        for key in ("points", "sets", "accepted"):
            del claim[key]

    rows = check_claims(Engine(claiming(make_bundle, drawn, older), threads=1), drawn).rows
    assert {row.score for row in rows} == {"images", "lesions", *OVERALL, *PER_CLASS}
    assert all(row.confirmed for row in rows)


def test_lesions_are_counted_as_a_split_counts_them(
    make_bundle: MakeBundle, write_kaggle: WriteKaggle, tmp_path: Path
) -> None:
    folder = write_kaggle(tmp_path / "data")
    images = sorted((folder / "HAM10000_images_part_1").iterdir())
    alone = [0, 6]  # of two lesions; both are of the rows that `claiming` takes
    images[alone[1]].write_bytes(images[alone[0]].read_bytes())
    data = read_dataset(folder)
    assert data.table["lesion_id"].iloc[alone].nunique() == 2
    rows = check_claims(Engine(claiming(make_bundle, data), threads=1), data).rows
    before = {row.score: row for row in rows}
    assert before["lesions"].found == before["lesions"].claimed - 1


def test_a_better_score_than_the_file_has_is_refuted(make_bundle: MakeBundle, drawn: Dataset) -> None:
    bundle = claiming(make_bundle, drawn, lambda claim: claim["overall"]["accuracy"].update(value=0.99))
    assert refuted(bundle, drawn) == [("accuracy", "")]


def test_a_claim_that_rests_on_metadata_is_not_refuted_by_data_without_it(
    drawn: Dataset, tmp_path: Path
) -> None:
    fields = encoding_of(("age", "sex", "localization"))
    engine = load_model(write_bundle(tmp_path / "m.onnx", metadata=fields), threads=1)
    rows = list(range(0, len(drawn.y), 2))
    known = fields.known(drawn.records(rows, fields.names))
    said = engine.predict([drawn.paths[row] for row in rows], known)
    assert said.ood_score is not None
    cutoff = float(np.median(said.ood_score))
    scores = evaluate(drawn.y[rows], said.probabilities, lesion_groups(drawn.table)[rows])
    claim = part_scores(scores, accepted=float(np.mean(said.ood_score < cutoff)))
    made = provenance(tuple(drawn.table["image_id"].iloc[rows]))
    changes = {"scores": {"test": claim}, "provenance": made, "ood_cutoff": cutoff}
    engine.bundle = replace(engine.bundle, description=engine.description.model_copy(update=changes))
    whole = check_claims(engine, drawn)
    assert whole.missing_metadata == []
    assert whole.verdict().startswith("CONFIRMED")
    untold = drawn.table.assign(age=np.nan, sex="unknown", localization="unknown")
    found = check_claims(engine, replace(drawn, table=untold))
    assert found.missing_metadata == ["age", "sex", "localization"]
    assert not [row for row in found.rows if row.refuted]
    assert [row.score for row in found.rows if row.confirmed] == ["images", "lesions", "images accepted"]
    assert found.verdict().startswith("NOT VERIFIED: 3 confirmed, ")
    assert not found.confirmed
    assert any(row.found != row.claimed for row in found.rows)  # the answers are others, as they must be


def test_stability_is_checked_where_all_its_images_are_there(make_bundle: MakeBundle, drawn: Dataset) -> None:
    engine = Engine(claiming(make_bundle, drawn), threads=1)
    others = np.arange(1, len(drawn.y), 2)
    measured = stability_of(engine, drawn, others, lesion_groups(drawn.table)[others])
    digests = sorted(map(image_digest, drawn.table["image_id"].iloc[others]))
    claim = StabilityScores.model_validate({**measured.to_json(), "measured_on": digests})
    engine.bundle = replace(
        engine.bundle, description=engine.description.model_copy(update={"stability": claim})
    )
    whole = check_claims(engine, drawn)
    assert whole.verdict() == f"CONFIRMED: {len(whole.rows)} rows agree."
    lacking = replace(drawn, table=drawn.table.drop(others[:2]).reset_index(drop=True))
    found = check_claims(engine, lacking)
    unchecked = [row for row in found.rows if row.missing]
    assert {row.part for row in unchecked} == {"cal"}
    assert len(unchecked) == sum(row.part == "cal" for row in whole.rows) > 0
    assert found.confirmed
    assert found.verdict().endswith(f"The rest needs 2 of {len(others)} images of cal.")
    assert found.verdict().startswith(f"CONFIRMED: {len(found.rows) - len(unchecked)} confirmed, ")


def test_images_of_ham10000_need_no_table(tmp_path: Path) -> None:
    known = known_lesions().iloc[:3]
    for image in known["image_id"]:
        Image.new("RGB", (60, 45), "tan").save(tmp_path / f"{image}.jpg")
    found = read_dataset(tmp_path, without_table=True)
    assert found.table[["image_id", "lesion_id", "dx"]].to_numpy().tolist() == known.to_numpy().tolist()
    assert "the included table" in found.notes[0]
    Image.new("RGB", (60, 45), "tan").save(tmp_path / "mine.jpg")
    with pytest.raises(DataError, match="found none of these"):
        read_dataset(tmp_path, without_table=True)


def test_data_without_the_images_is_refused(make_bundle: MakeBundle, drawn: Dataset) -> None:
    bundle = claiming(make_bundle, drawn)
    part = Dataset(drawn.folder, drawn.layout, drawn.table.iloc[5:].reset_index(drop=True))
    with pytest.raises(DataError, match=r"lacks 3 of \d+ images that the bundle names\."):
        check_claims(Engine(bundle, threads=1), part)


def test_the_file_holds_no_name_of_an_image(make_bundle: MakeBundle, drawn: Dataset) -> None:
    assert b"DRAWN" not in claiming(make_bundle, drawn).path.read_bytes()


def test_a_bundle_that_claims_nothing_is_not_verified(make_bundle: MakeBundle, drawn: Dataset) -> None:
    with pytest.raises(DataError, match="claims no test score, or does not name its test images"):
        check_claims(Engine(make_bundle(), threads=1), drawn)


def test_the_command_ends_with_one_where_a_row_is_refuted_and_refuses_a_changed_file(
    make_bundle: MakeBundle, drawn: Dataset, lesionwise: Lesionwise
) -> None:
    bundle = claiming(
        make_bundle, drawn, lambda claim: claim["overall"]["balanced_accuracy"].update(value=0.95)
    )
    done = lesionwise("bundle", "verify", "--data", drawn.folder, "--json", "--model", bundle.path)
    assert done.code == 1, done.err
    assert [row["score"] for row in json.loads(done.out)["rows"] if not row["confirmed"]] == [
        "balanced_accuracy"
    ]
    changed = bundle.path.with_name("changed.onnx")
    changed.write_bytes(bundle.path.read_bytes().replace(b'"value":0.95', b'"value":0.96'))
    refused = lesionwise("bundle", "verify", "--data", drawn.folder, "--json", "--model", changed)
    assert refused.code == 2
    assert "is damaged or was changed after its export" in refused.err


def stable(make_bundle: MakeBundle, data: Dataset, *, shift: float = 0.0) -> Bundle:
    """A bundle that claims its test scores, and how stable it is on seven other images."""
    bundle = claiming(make_bundle, data)
    rows = np.arange(1, 14, 2)
    engine = Engine(bundle, threads=1)
    found = stability_of(engine, data, rows, lesion_groups(data.table)[rows]).to_json()
    found["changes"]["mirrored"]["top"]["value"] += shift
    found["measured_on"] = [image_digest(name) for name in data.table["image_id"].iloc[rows]]
    return make_bundle(**{**bundle.description.model_dump(), "stability": found})


def test_claimed_stability_is_measured_again(make_bundle: MakeBundle, drawn: Dataset) -> None:
    assert refuted(stable(make_bundle, drawn), drawn) == []
    assert refuted(stable(make_bundle, drawn, shift=0.02), drawn) == [("same after mirrored", "top")]


def test_the_columns_of_the_command_are_apart(
    make_bundle: MakeBundle, drawn: Dataset, lesionwise: Lesionwise
) -> None:
    bundle = stable(make_bundle, drawn)
    done = lesionwise("bundle", "verify", "--data", drawn.folder, "--model", bundle.path)
    rows = [line for line in done.out.splitlines() if "claimed" in line]
    assert any("melanoma" in line for line in rows)
    assert all("  claimed " in line for line in rows)


def test_a_bundle_from_before_stability_is_read_and_claims_none(make_bundle: MakeBundle) -> None:
    older = make_bundle().description.model_dump(mode="json")
    del older["stability"]
    assert Description.model_validate(older).stability is None
