"""The state of a model: every change is noticed, and a look costs little."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trf_bridge.wrappers.engine.changes import ModelState, state_of


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)))
    model[0].register_forward_hook(print)
    return model


def edit_in_place(model):
    with torch.no_grad():
        model[1][0].bias.add_(1.0)


def edit_by_an_optimizer(model):
    for weights in model.parameters():
        weights.grad = torch.ones_like(weights)
    torch.optim.AdamW(model.parameters()).step()


def assign_data(model):
    model[0].weight.data = model[0].weight.data.clone()


def assign_data_twice(model):
    """The third tensor can lie at the address of the first."""
    for _ in range(2):
        model[0].weight.data = model[0].weight.data + 1.0


def load_state(model):
    model.load_state_dict(copy.deepcopy(model.state_dict()))


def convert(model):
    model.double()


def replace_parameter(model):
    model[1][1].weight = nn.Parameter(torch.ones(4))


def remove_parameter(model):
    model[1][0].bias = None


def replace_module(model):
    model[1][0] = nn.Linear(4, 4)


def add_module(model):
    model[1].append(nn.ReLU())


def remove_module(model):
    del model[1][1]


def add_hook(model):
    model[1].register_forward_hook(print)


def add_pre_hook(model):
    model[1][0].register_forward_pre_hook(print)


def remove_hook(model):
    model[0]._forward_hooks.clear()


def replace_forward(model):
    model[0].forward = nn.Linear(3, 4).forward


CHANGES = [
    edit_in_place,
    edit_by_an_optimizer,
    assign_data,
    assign_data_twice,
    load_state,
    convert,
    replace_parameter,
    remove_parameter,
    replace_module,
    add_module,
    remove_module,
    add_hook,
    add_pre_hook,
    remove_hook,
    replace_forward,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_change_is_noticed(change, model):
    state = ModelState(model)
    assert state.is_current()
    change(model)
    assert not state.is_current()
    assert ModelState(model).is_current()


def test_use_changes_nothing(model):
    model[0]._forward_hooks.clear()
    state = ModelState(model)
    model.train()
    model(torch.ones(2, 3)).sum().backward()
    model.zero_grad()
    model.eval()
    with torch.inference_mode():
        model(torch.ones(2, 3))
    model.requires_grad_(False)
    copied = copy.deepcopy(model)
    edit_in_place(copied)
    assert state.is_current()


def test_weights_created_in_inference_mode_have_no_version():
    with torch.inference_mode():
        weights = torch.ones(3)
    assert state_of(weights) == (weights.data_ptr(), 0)
    assert state_of(torch.ones(3)) != state_of(weights)
