"""The fast dropout against the definition of dropout."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trf_bridge.wrappers.training.dropout import LEVELS, FastDropout, use_fast_dropout


def make_dropout(rate):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(rate))
    use_fast_dropout(model)
    assert type(model[1]) is FastDropout
    return model[1].train()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_share_and_scale(rate):
    torch.manual_seed(0)
    ones = torch.ones(997, 331)  # not a multiple of four
    dropped = make_dropout(rate)(ones)
    assert dropped.shape == ones.shape
    exact = round(rate * LEVELS) / LEVELS
    kept = dropped[dropped != 0]
    assert torch.allclose(kept, torch.tensor(1 / (1 - exact)))
    # Five standard deviations of a binomial share.
    share = 1 - kept.numel() / ones.numel()
    assert abs(share - exact) < 5 * (exact * (1 - exact) / ones.numel()) ** 0.5


def test_cells_are_independent():
    """Neighbours, and the four cells of a number of 64 bits, agree as often as by chance."""
    torch.manual_seed(0)
    kept = make_dropout(0.5)(torch.ones(400_000)) != 0
    limit = 5 * 0.5 / 400_000**0.5
    for distance in (1, 2, 3, 4, 8, 64):
        agreement = (kept[distance:] == kept[:-distance]).float().mean()
        assert abs(float(agreement) - 0.5) < limit * 1.1
    for place in range(4):
        assert abs(float(kept[place::4].float().mean()) - 0.5) < limit * 2


def test_only_kept_cells_have_a_gradient():
    torch.manual_seed(0)
    layer = make_dropout(0.3)
    values = torch.randn(50, 7, requires_grad=True)
    dropped = layer(values)
    d_dropped = torch.randn(50, 7)
    dropped.backward(d_dropped)
    torch.testing.assert_close(values.grad, d_dropped * (dropped / values).detach())


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.3, False)])
def test_nothing_is_dropped(rate, training):
    values = torch.randn(5, 5)
    assert make_dropout(rate).train(training)(values).equal(values)


def test_everything_is_dropped():
    assert not make_dropout(1.0)(torch.randn(5, 5)).any()


def test_same_seed_drops_the_same_cells():
    layer, values = make_dropout(0.5), torch.randn(40, 40)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(layer(values))
    assert results[0].equal(results[1])
    assert not results[0].equal(results[2])


def test_other_layers_are_left_alone():
    model = nn.Sequential(nn.Dropout(0.1, inplace=True), nn.Dropout1d(0.1))
    use_fast_dropout(model)
    assert [type(layer) for layer in model] == [nn.Dropout, nn.Dropout1d]


def test_empty_input():
    assert make_dropout(0.5)(torch.empty(0, 4)).shape == (0, 4)


def test_lower_precision_is_kept():
    assert make_dropout(0.5)(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.bfloat16
