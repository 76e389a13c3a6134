"""Modules that are replaced on their parents: they share their state, and stay tied."""

import copy

import pytest
import torch
from torch import nn

from trf_bridge.wrappers.engine.linear import OneDnnLinear, choose_products
from trf_bridge.wrappers.modules import replace_modules
from trf_bridge.wrappers.training.dropout import FastDropout, use_fast_dropout

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


def convert(layer):
    """Return the layer that `choose_products` replaces a layer with."""
    model = nn.Sequential(layer)
    choose_products(model, "onednn")
    return model[0]


def assert_same(one, two):
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


class OwnLinear(nn.Linear):
    """A linear layer of a user, which computes something else."""

    def forward(self, input):
        return -super().forward(input)


class Tied(nn.Module):
    """A model that uses layers twice, and one with the weights of another."""

    def __init__(self):
        super().__init__()
        self.first = self.again = nn.Linear(24, 24)
        self.blocks = nn.ModuleList([nn.Linear(24, 24)] * 2)
        self.tied = nn.Linear(24, 24)
        self.tied.weight = self.first.weight
        self.own = OwnLinear(24, 24)
        self.register_module("missing", None)

    def forward(self, input):
        for layer in (self.first, self.again, *self.blocks, self.tied, self.own):
            input = layer(input)
        return input


def make_layers():
    torch.manual_seed(0)
    return Tied().eval()


@needs_onednn
def test_replaced_layers_share_their_weights_and_stay_tied():
    model, plain = make_layers(), make_layers()
    before = dict(model.named_parameters(remove_duplicate=False))
    weights = copy.deepcopy(model.state_dict())
    choose_products(model, "onednn")
    after = dict(model.named_parameters(remove_duplicate=False))
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert list(model.state_dict()) == list(weights)
    assert all(model.state_dict()[name].equal(weights[name]) for name in weights)
    assert model.again is model.first
    assert model.blocks[0] is model.blocks[1]
    assert model.tied.weight is model.first.weight
    assert not model.tied.training
    replaced = {name for name, m in model.named_modules() if type(m) is OneDnnLinear}
    assert replaced == {"first", "blocks.0", "tied"}  # named_modules lists each once
    inputs = torch.randn(5, 24)
    with torch.inference_mode():
        assert_same(model(inputs), plain(inputs))


class OwnDropout(nn.Dropout):
    """A dropout layer of a user."""


def test_layers_of_a_users_class_are_left_alone():
    model = make_layers()
    model.dropout = OwnDropout(0.1)
    own_linear, own_dropout = model.own, model.dropout
    choose_products(model, "onednn")
    use_fast_dropout(model)
    assert model.own is own_linear
    assert model.dropout is own_dropout
    assert (type(own_linear), type(own_dropout)) == (OwnLinear, OwnDropout)


@needs_onednn
def test_modules_keep_their_class():
    """Layers are replaced on their parents; objects that a user holds do not change."""
    linear, dropout = nn.Linear(24, 24), nn.Dropout(0.3)
    model = nn.Sequential(linear, dropout)
    choose_products(model, "onednn")
    use_fast_dropout(model)
    assert (type(linear), type(dropout)) == (nn.Linear, nn.Dropout)
    assert (type(model[0]), type(model[1])) == (OneDnnLinear, FastDropout)
    assert model[0].weight is linear.weight
    assert model[1].p == 0.3


@needs_onednn
def test_hooks_and_attributes_outlive_the_replacement():
    layer, calls = nn.Linear(24, 24), []
    layer.note = "of the user"
    layer.register_buffer("scale", torch.full((1,), 2.0))
    handle = layer.register_forward_hook(lambda module, args, output: output * module.scale)
    layer.register_full_backward_hook(lambda module, *gradients: calls.append(module))
    inputs = torch.randn(5, 24, requires_grad=True)
    expected = layer(inputs)
    replaced = convert(layer)
    assert type(replaced) is OneDnnLinear
    assert replaced.note == "of the user"
    assert_same(replaced(inputs), expected)
    replaced(inputs).sum().backward()
    assert calls == [replaced]
    handle.remove()
    assert_same(replaced(inputs) * 2, expected)


@pytest.mark.parametrize(
    "normalize", [nn.utils.spectral_norm, nn.utils.parametrizations.weight_norm]
)
def test_layers_with_computed_weights_are_left_alone(normalize):
    """torch computes such weights before each call, by a hook or by a property."""
    layer = normalize(nn.Linear(24, 24))
    assert convert(layer) is layer


def test_modules_are_replaced_on_every_parent():
    shared = nn.Dropout(0.1)
    model = nn.Sequential(shared, nn.Sequential(shared, shared), nn.Linear(2, 2))
    replace_modules(model, lambda m: nn.Identity() if type(m) is nn.Dropout else m)
    assert type(model[0]) is nn.Identity
    assert model[1][0] is model[1][1] is model[0]
    assert type(model[2]) is nn.Linear
