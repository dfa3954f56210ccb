import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from conftest import make_recipe
from lesionwise.training.step.losses import Loss, balanced_weights, consistency_loss

COUNTS = torch.tensor([10.0, 30.0, 60.0])
LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 0.3], [0.2, 0.1, 3.0], [-1.0, 0.0, 0.5]])
Y = torch.tensor([0, 2, 2, 1])
TARGETS = F.one_hot(Y, 3).float()


def test_the_plain_loss_is_pytorchs_cross_entropy_with_smoothing() -> None:
    loss = Loss(make_recipe(label_smoothing=0.1), COUNTS)(LOGITS, TARGETS)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, Y, label_smoothing=0.1))


def test_class_weights_multiply_each_image_and_divide_by_the_batch_size() -> None:
    loss = Loss(make_recipe(class_weight=1.0), COUNTS)
    by_hand = (
        sum(loss.weights[y] * F.cross_entropy(z[None], y[None]) for z, y in zip(LOGITS, Y, strict=True)) / 4
    )
    torch.testing.assert_close(loss(LOGITS, TARGETS), by_hand)


def test_weights_average_to_one_over_images_and_even_out_classes_at_exponent_one() -> None:
    weights = balanced_weights(COUNTS, 1.0)
    torch.testing.assert_close((weights * COUNTS).sum() / COUNTS.sum(), torch.tensor(1.0))
    torch.testing.assert_close(weights * COUNTS, torch.full((3,), 100 / 3))
    torch.testing.assert_close(balanced_weights(COUNTS, 0.0), torch.ones(3))


@given(st.floats(0, 1), st.floats(0, 1))
def test_weights_average_to_one_over_the_images_that_sampling_draws(exponent: float, sampling: float) -> None:
    drawn = COUNTS ** (1 - sampling)
    weights = balanced_weights(COUNTS, exponent, sampling=sampling)
    torch.testing.assert_close((weights * drawn).sum() / drawn.sum(), torch.tensor(1.0), rtol=1e-4, atol=0)


def test_the_focal_loss_is_that_of_its_paper() -> None:
    loss = Loss(make_recipe(focal_gamma=2.0), COUNTS)(LOGITS, TARGETS)
    p = LOGITS.softmax(1).gather(1, Y[:, None]).squeeze(1)
    torch.testing.assert_close(loss, (-((1 - p) ** 2) * p.log()).mean())


def test_logit_adjustment_adds_the_log_frequency_of_the_classes() -> None:
    loss = Loss(make_recipe(logit_adjustment=1.0), COUNTS)(LOGITS, TARGETS)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS + (COUNTS / 100).log(), Y))


def test_after_fully_balanced_sampling_there_is_nothing_left_to_adjust() -> None:
    loss = Loss(make_recipe(logit_adjustment=1.0, sampling=1.0), COUNTS)(LOGITS, TARGETS)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, Y))


@pytest.mark.parametrize("keys", [{}, {"class_weight": 0.7}, {"focal_gamma": 2.0}, {"logit_adjustment": 1.0}])
def test_a_better_answer_has_a_smaller_loss(keys: dict[str, float]) -> None:
    loss = Loss(make_recipe(**keys), COUNTS)
    assert loss(LOGITS + 2 * TARGETS, TARGETS) < loss(LOGITS, TARGETS)


def test_the_consistency_of_views_is_their_mean_divergence_from_the_mean_answer() -> None:
    views = torch.stack([LOGITS, LOGITS.flip(1), 2 * LOGITS])
    together = views.mean(0).softmax(-1)
    by_hand = sum(
        (together * (together.log() - view.softmax(-1).log())).sum(-1).mean() for view in views
    ) / len(views)
    torch.testing.assert_close(consistency_loss(views), by_hand)
    assert consistency_loss(LOGITS.expand(2, 4, 3)).item() == pytest.approx(0, abs=1e-6)


def test_views_learn_from_the_mean_answer_and_the_mean_answer_from_none() -> None:
    views = torch.stack([LOGITS, LOGITS.flip(1)]).requires_grad_()
    torch.autograd.backward(consistency_loss(views))
    together = views.detach().mean(0).softmax(-1)
    expected = (views.detach().softmax(-1) - together) / views.shape[:2].numel()
    torch.testing.assert_close(views.grad, expected)
