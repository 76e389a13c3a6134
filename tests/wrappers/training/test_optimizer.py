"""The step over torch weights: equal to thinc's own arithmetic, for any settings."""

from __future__ import annotations

import copy

import numpy
import pytest
from thinc.api import SGD, Adam, Optimizer, RAdam
from torch_oracle import PlainAdam, assert_near, module_weights

from trf_bridge.wrappers.training.optimizer import step

SHAPES = {"matrix": (7, 5), "vector": (5,), "scalar": (), "one": (1,), "cube": (2, 3, 4)}


def make_module(seed=0):
    import torch

    module = torch.nn.Module()
    random = numpy.random.default_rng(seed)
    for name, shape in SHAPES.items():
        values = torch.tensor(random.normal(size=shape), dtype=torch.float32)
        setattr(module, name, torch.nn.Parameter(values))
    return module


def gradients(seed, scale=1.0):
    import torch

    random = numpy.random.default_rng(seed)
    return {
        name: torch.tensor(scale * random.normal(size=shape), dtype=torch.float32)
        for name, shape in SHAPES.items()
    }


def set_gradients(module, given):
    for name, gradient in given.items():
        getattr(module, name).grad = gradient.clone()


def thinc_step(optimizer, weights, given, scales):
    """Call thinc's optimizer for one array after another, as thinc does for its own weights."""
    for name, gradient in given.items():
        flat = weights[name].reshape(-1)
        updated, _ = optimizer(
            (0, name), flat, gradient.numpy().reshape(-1).copy(), lr_scale=scales.get(name, 1.0)
        )
        weights[name] = numpy.asarray(updated).reshape(SHAPES[name])


SETTINGS = {
    "adam": {},
    "adam with large eps": {"eps": 0.1},
    "no clipping": {"grad_clip": 0.0},
    "tight clipping": {"grad_clip": 0.01},
    "weight decay": {"L2": 0.3, "L2_is_weight_decay": True},
    "L2 in the gradient": {"L2": 0.3, "L2_is_weight_decay": False},
    "other betas": {"beta1": 0.5, "beta2": 0.6},
    "averages": {"use_averages": True},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_adam_equals_thinc(settings):
    module = make_module()
    weights = module_weights(module)
    defaults = {"use_averages": False, "L2": 0.01}
    one, two = (Adam(0.05, **{**defaults, **settings}) for _ in range(2))
    scales = {"matrix": 0.5, "scalar": 0.1}
    for i in range(5):
        set_gradients(module, gradients(i))
        step(one, 0, module, scales)
        thinc_step(two, weights, gradients(i), scales)
        assert_near(module_weights(module), weights, atol=2e-6)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert one.nr_update == two.nr_update
    for moments in ("mom1", "mom2", "averages"):
        mine, own = getattr(one, moments), getattr(two, moments)
        if own is None:
            assert mine is None
            continue
        assert mine.keys() == own.keys()
        for key, value in own.items():
            numpy.testing.assert_allclose(
                numpy.asarray(mine[key]).ravel(), value.ravel(), atol=1e-6, rtol=1e-5
            )


@pytest.mark.parametrize(
    "make",
    [
        lambda: RAdam(0.05, use_averages=False),
        lambda: SGD(0.05, L2=0.1, use_averages=False),
        lambda: SGD(0.05, use_averages=True),
        lambda: Subclass(0.05, beta1=0.9, beta2=0.9, use_averages=False),
    ],
    ids=["radam", "sgd", "sgd with averages", "subclass"],
)
def test_other_optimizers_equal_thinc(make):
    module = make_module()
    weights = module_weights(module)
    one, two = make(), make()
    for i in range(8):
        set_gradients(module, gradients(i))
        step(one, 0, module, {})
        thinc_step(two, weights, gradients(i), {})
    assert_near(module_weights(module), weights)


class Subclass(Optimizer):
    """Computes something else."""

    def __call__(self, key, weights, gradient, *, lr_scale=1.0):
        weights -= 0.5 * gradient
        return weights, gradient


def test_adam_equals_its_formula():
    """Independent of thinc and of torch."""
    module, plain = make_module(), make_module()
    optimizer = Adam(0.02, L2=0.1, grad_clip=0.5, eps=1e-6, use_averages=True)
    adam = PlainAdam(L2=0.1, grad_clip=0.5, eps=1e-6)
    for i in range(6):
        for m in (module, plain):
            set_gradients(m, gradients(i))
        step(optimizer, 3, module, {"vector": 0.25})
        adam.step(plain, 0.02, {"vector": 0.25})
    assert_near(module_weights(module), module_weights(plain), atol=2e-6)
    averages = {name: value.ravel() for (_, name), value in optimizer.averages.items()}
    expected = {name: value.numpy().ravel() for name, value in adam.averages.items()}
    assert_near(averages, expected, atol=2e-6)


def test_weights_without_a_gradient_are_left_alone():
    module = make_module()
    before = module_weights(module)
    optimizer = Adam(0.1)
    only = {"vector": gradients(0)["vector"]}
    set_gradients(module, only)
    step(optimizer, 0, module, {})
    after = module_weights(module)
    for name in SHAPES:
        assert (name == "vector") == bool((after[name] != before[name]).any()), name
    assert set(optimizer.mom1) == {(0, "vector")}
    step(optimizer, 0, module, {})
    numpy.testing.assert_array_equal(module_weights(module)["vector"], after["vector"])


def test_weights_that_are_not_contiguous():
    module, straight = make_module(), make_module()
    module.matrix.data = module.matrix.data.T.contiguous().T
    assert not module.matrix.is_contiguous()
    for m in (module, straight):
        set_gradients(m, gradients(1))
        step(Adam(0.1), 0, m, {})
    assert_near(module_weights(module), module_weights(straight))


def test_gradients_that_are_not_contiguous():
    module, straight = make_module(), make_module()
    one, two = Adam(0.1), Adam(0.1)
    for i in range(3):
        for m in (module, straight):
            set_gradients(m, gradients(i))
        module.matrix.grad = module.matrix.grad.T.contiguous().T
        step(one, 0, module, {})
        step(two, 0, straight, {})
    assert_near(module_weights(module), module_weights(straight))


def test_weights_step_in_place():
    """Other references to the tensor stay valid."""
    module = make_module()
    pointers = {name: weights.data_ptr() for name, weights in module.named_parameters()}
    for optimizer in (Adam(0.1), SGD(0.1)):
        set_gradients(module, gradients(0))
        step(optimizer, 0, module, {})
    assert pointers == {name: weights.data_ptr() for name, weights in module.named_parameters()}


def test_steps_of_thinc_and_fused_steps_can_alternate():
    """The moments are stored in thinc's optimizer."""
    module = make_module()
    weights = module_weights(module)
    mixed, own = Adam(0.05), Adam(0.05)
    for i in range(4):
        thinc_step(own, weights, gradients(i), {})
        if i % 2:
            current = {name: array.copy() for name, array in module_weights(module).items()}
            thinc_step(mixed, current, gradients(i), {})
            for name, array in current.items():
                getattr(module, name).data.copy_(numpy_tensor(array))
        else:
            set_gradients(module, gradients(i))
            step(mixed, 0, module, {})
    assert_near(module_weights(module), weights, atol=2e-6)


def numpy_tensor(array):
    import torch

    return torch.from_numpy(numpy.array(array))


def test_optimizer_can_be_copied_between_steps():
    """Its moments are no views of the weights."""
    module = make_module()
    optimizer = Adam(0.05, use_averages=True)
    set_gradients(module, gradients(0))
    step(optimizer, 0, module, {})
    averages = {key: numpy.array(value) for key, value in optimizer.averages.items()}
    copied = copy.deepcopy(optimizer.mom1)
    set_gradients(module, gradients(1))
    step(optimizer, 0, module, {})
    for key in averages:
        assert (numpy.asarray(optimizer.averages[key]) != averages[key]).any()
        assert (numpy.asarray(optimizer.mom1[key]) != copied[key]).any()


@pytest.mark.parametrize("make", [Adam, RAdam, SGD])
def test_step_increases_the_version_of_the_weights(make):
    module = make_module()
    before = {name: weights._version for name, weights in module.named_parameters()}
    set_gradients(module, gradients(1))
    step(make(0.1), 0, module, {})
    for name, weights in module.named_parameters():
        assert weights._version > before[name]
