from __future__ import annotations

from torch import nn

from cxrsearch.learn.train import costs, trainable


def test_seconds_are_the_median_epochs_times_the_epochs() -> None:
    curve = [{"seconds": s} for s in (9.0, 2.0, 3.0)]
    assert costs(("seconds",), curve, [1.0] * 10, 7) == (30.0,)
    assert costs(("parameters", "seconds"), curve[:1], [1.0], 7) == (7.0, 9.0)
    assert costs((), curve, [1.0] * 10, 7) == ()


def test_epochs_of_small_images_are_not_taken_for_all_epochs() -> None:
    curve = [{"seconds": s} for s in (1.0, 2.1, 4.0)]
    shares = [0.25, 0.5, 1.0, 1.0]
    assert costs(("seconds",), curve[:1], shares, 7) == (11.0,)
    assert costs(("seconds",), curve, shares, 7) == (11.0,)


def test_frozen_weights_do_not_count() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    assert trainable(model) == 3 * 4 + 4 + 4 * 2 + 2
    model[0].requires_grad_(False)
    assert trainable(model) == 4 * 2 + 2
