import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lesionwise.models.probe import STRENGTHS, Fitting, Kind, fit_probe


def blobs(*, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of seven classes around seven centres, two images a lesion."""
    rng = np.random.default_rng(seed)
    lesions = np.arange(7 * 12)
    centres = np.random.default_rng(5).normal(size=(7, 10))
    y = np.repeat(lesions % 7, 2)
    features = centres[y] * 3 + 5 + rng.normal(size=(len(y), 10)) * spread
    return features, y, np.repeat(lesions, 2).astype(str)


@pytest.mark.parametrize("kind", ["logistic", "svm"])
def test_a_probe_tells_apart_what_lies_apart(kind: Kind) -> None:
    features, y, groups = blobs(spread=1.0)
    probe = fit_probe(features, y, groups, fitting=Fitting(kind=kind))
    unseen, truth, _ = blobs(spread=1.0, seed=1)
    assert ((unseen @ probe.weight.T + probe.bias).argmax(1) == truth).mean() > 0.9


def test_the_layer_is_that_of_scikit_learn_on_standardised_features() -> None:
    features, y, groups = blobs(spread=3.0)
    probe = fit_probe(features, y, groups)
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=probe.strength, max_iter=1000).fit(scaler.transform(features), y)
    np.testing.assert_allclose(
        features @ probe.weight.T + probe.bias,
        model.decision_function(scaler.transform(features)),
        atol=1e-6,
    )


def test_the_strength_with_the_best_score_on_held_out_lesions_is_taken() -> None:
    probe = fit_probe(*blobs(spread=6.0))
    assert probe.cv_scores.keys() == set(STRENGTHS)
    assert probe.cv_scores[probe.strength] == max(probe.cv_scores.values())


def test_what_is_true_of_a_lesion_alone_does_not_help() -> None:
    rng = np.random.default_rng(0)
    lesions = np.arange(140)
    features = np.repeat(rng.normal(size=(140, 30)), 2, axis=0)  # both images of a lesion are alike
    y, groups = np.repeat(lesions % 7, 2), np.repeat(lesions, 2).astype(str)
    assert max(fit_probe(features, y, groups).cv_scores.values()) < 0.3


def test_class_weights_move_the_answer_towards_the_rare_class() -> None:
    features, y, groups = blobs(spread=8.0)
    kept = (y != 3) | (np.arange(len(y)) % 4 == 0)
    features, y, groups = features[kept], y[kept], groups[kept]
    plain = fit_probe(features, y, groups)
    weighted = fit_probe(
        features, y, groups, fitting=Fitting(class_weights=np.where(np.arange(7) == 3, 8.0, 1.0))
    )

    def share(probe: object) -> float:
        said = features @ probe.weight.T + probe.bias  # type: ignore[attr-defined]
        return float((said.argmax(1) == 3).mean())

    assert share(weighted) > share(plain)


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_a_diagnosis_of_one_lesion_is_learnt_though_no_other_fold_has_it() -> None:
    features, y, groups = blobs(spread=0.5)
    some = (y != 6) | (groups == groups[y == 6][0])
    probe = fit_probe(features[some], y[some], groups[some])
    assert probe.weight.shape == (7, 10)
    assert ((features[some] @ probe.weight.T + probe.bias).argmax(1) == y[some]).mean() > 0.9
