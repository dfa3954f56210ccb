import re
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT
from lesionwise.errors import BundleError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.labels import CODES

pytest.importorskip("scipy")
from lesionwise.export.class_order import USUAL_ORDERS, find_order, verify_sure


def answers(order: tuple[str, ...], *, skill: float, lesions: int = 12, photographs: int = 2) -> Predictions:
    """Answers of a model whose outputs stand in some order, and which favours nevi."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(7), lesions * photographs)
    logits = rng.normal(size=(len(truth), 7))
    logits[np.arange(len(truth)), truth] += skill
    logits[:, CODES.index("nv")] += 2
    odds = np.exp(logits)
    columns = [CODES.index(code) for code in order]
    return Predictions(
        image_id=np.array([f"image {row}" for row in range(len(truth))]),
        y_prob=(odds / odds.sum(1, keepdims=True))[:, columns],
        y_true=truth,
        group=np.array([f"lesion {row // photographs}" for row in range(len(truth))]),
    )


@pytest.mark.parametrize("seed", range(5))
def test_any_order_is_found_from_a_model_that_is_any_good(seed: int) -> None:
    order = tuple(CODES[place] for place in np.random.default_rng(seed).permutation(7))
    found = find_order(answers(order, skill=2.5))
    assert found.classes == order
    assert found.sure > 0.99
    verify_sure(found)


def test_a_model_that_knows_nothing_settles_no_order() -> None:
    found = find_order(answers(CODES, skill=0))
    assert found.sure < 0.5
    with pytest.raises(BundleError, match=r"do not settle.*In doubt: .*or pass --classes"):
        verify_sure(found)


@pytest.mark.parametrize("order", USUAL_ORDERS)
def test_a_refusal_names_the_usual_order_that_a_weak_model_supports(order: tuple[str, ...]) -> None:
    found = find_order(answers(order, skill=0.9, lesions=8))
    assert found.sure < 0.99
    assert found.usual == order
    assert found.usual_sure > 0.95
    with pytest.raises(BundleError, match=f"{','.join(order)} is the likeliest, in"):
        verify_sure(found)


def test_the_usual_orders_are_those_of_the_page_about_notebooks() -> None:
    page = (ROOT / "docs" / "from-a-notebook.md").read_text()
    assert re.findall(r"\| `((?:\w+,){6}\w+)` \|", page) == [",".join(order) for order in USUAL_ORDERS]


def test_the_diagnoses_in_doubt_are_named() -> None:
    given = answers(CODES, skill=3)
    given.y_prob[:, [1, 2]] = given.y_prob[:, [1, 2]].mean(1, keepdims=True)  # it cannot tell bcc from bkl
    found = find_order(given)
    assert {code for code, share in found.support.items() if share < 0.99} == {"bcc", "bkl"}


def test_a_model_that_answers_all_pictures_alike_settles_no_order() -> None:
    given = answers(CODES, skill=3)
    given.y_prob[:] = np.random.default_rng(1).dirichlet(np.ones(7))
    found = find_order(given)
    assert found.sure < 0.1
    with pytest.raises(BundleError, match="do not settle"):
        verify_sure(found)


def test_two_outputs_that_a_good_model_never_uses_stay_in_doubt() -> None:
    given = answers(CODES, skill=5)
    unused = [CODES.index("df"), CODES.index("vasc")]
    given.y_prob[:, unused] = 1e-9
    found = find_order(given)
    assert {code for code, share in found.support.items() if share < 0.99} == {"df", "vasc"}
    with pytest.raises(BundleError, match=r"In doubt: (df|vasc) \(\d+%\) and (df|vasc) \(\d+%\)"):
        verify_sure(found)


def test_a_diagnosis_with_few_lesions_is_named() -> None:
    given = answers(CODES, skill=3)
    with pytest.raises(BundleError, match=r"at least 5 lesions of each diagnosis.*vasc \(4\)"):
        find_order(given.take(np.arange(len(given.image_id) - 16)))


def test_photographs_of_one_lesion_count_once() -> None:
    given = answers(CODES, skill=3, lesions=4, photographs=5)
    with pytest.raises(BundleError, match=r"akiec \(4\)"):
        find_order(given)


def test_the_guide_lists_the_orders_that_notebooks_have() -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "from-a-notebook.md"
    orders = [
        tuple(row.split(",")) for row in re.findall(r"`([a-z]+(?:,[a-z]+){6})` \|", guide.read_text("utf-8"))
    ]
    names = {  # as the notebooks write them
        "nv": "Melanocytic nevi",
        "mel": "Melanoma",
        "bkl": "Benign keratosis-like lesions ",
        "bcc": "Basal cell carcinoma",
        "akiec": "Actinic keratoses",
        "vasc": "Vascular lesions",
        "df": "Dermatofibroma",
    }
    slipped = names | {"mel": "dermatofibroma"}
    assert orders[:4] == [
        CODES,
        tuple(sorted(names, key=names.__getitem__)),
        tuple(sorted(slipped, key=slipped.__getitem__)),
        tuple(names),
    ]
    assert len(orders) == 5
    assert all(sorted(order) == list(CODES) for order in orders)
