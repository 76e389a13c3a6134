"""torch in forked processes: one thread, with every engine."""

from __future__ import annotations

import copy
import os
import pickle

import pytest
import torch
from builders import build_wordpieces

from trf_bridge.wrappers.engine.threads import ForkGuard
from trf_bridge.wrappers.models.layer import TransformerModel, get_shim


@pytest.fixture
def limits(monkeypatch):
    """The numbers of threads that torch is set to."""
    numbers = []
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    return numbers


def fork(monkeypatch):
    """Change the process id, as in a child."""
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)


def test_forked_process_gets_one_thread_once(limits, monkeypatch):
    guard = ForkGuard()
    guard.check()
    assert limits == []
    fork(monkeypatch)
    guard.check()
    guard.check()
    assert limits == [1]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_belong_to_the_process_that_creates_them(duplicate, limits, monkeypatch):
    guard = ForkGuard()
    fork(monkeypatch)
    duplicate(guard).check()
    assert limits == []


@pytest.mark.parametrize("name", ["bert", "t5"])
@pytest.mark.parametrize("is_train", [False, True])
def test_engines_check_the_process(name, is_train, checkpoint, limits, monkeypatch):
    model = TransformerModel(str(checkpoint(name)))
    model.initialize()
    wordpieces = [build_wordpieces([3, 2], ids=range(5, 10))]
    model(wordpieces, is_train=is_train)
    assert limits == []
    fork(monkeypatch)
    for _ in range(2):
        model(wordpieces, is_train=is_train)
    assert limits == [1]
    copied = get_shim(model).copy()
    assert copied.engine is not get_shim(model).engine
    assert limits == [1]
