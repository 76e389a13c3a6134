"""Forked processes: open locks, one thread, and no hook before the first tokenizer."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import oracles
import pytest

from trf_bridge.wrappers.tokenizers.forking import PARALLELISM, ForkSafeLock
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# Records every hook before any library is imported.
RECORD = """
import json, os, sys

hooks = []
register = os.register_at_fork

def record(**functions):
    hooks.extend(getattr(function, "__module__", None) or "" for function in functions.values())
    register(**functions)

def own_hooks():
    return sum(module.startswith("trf_bridge") for module in hooks)

os.register_at_fork = record
environment = dict(os.environ)
"""


def run_python(code, folder):
    """What a fresh process prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", RECORD + code],
        cwd=folder,
        # Set on some machines, and by the pipelines of transformers.
        env={name: value for name, value in os.environ.items() if name != PARALLELISM},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@needs_fork
def test_hooks_are_installed_with_the_first_tokenizer_and_once(checkpoint, tmp_path):
    code = f"""
import spacy
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer

spacy.blank("en")
found = [own_hooks(), PARALLELISM in os.environ]
for _ in range(2):
    WordpieceTokenizer.from_pretrained({str(checkpoint("bert"))!r})
    found += [own_hooks(), PARALLELISM in os.environ]
print(json.dumps(found))
""".replace("PARALLELISM", repr(PARALLELISM))
    assert run_python(code, tmp_path) == [0, False, 2, False, 2, False]


@needs_fork
def test_hooks_are_installed_where_a_tokenizer_is_unpickled(checkpoint, tmp_path):
    path = tmp_path / "tokenizer.pkl"
    path.write_bytes(pickle.dumps(WordpieceTokenizer.from_pretrained(checkpoint("bert"))))
    code = f"""
import pickle

with open({str(path)!r}, "rb") as file:
    tokenizer = pickle.load(file)
print(json.dumps([own_hooks(), tokenizer.encode(["a b"]).n_pieces.tolist()]))
"""
    assert run_python(code, tmp_path) == [2, [4]]


@needs_fork
@pytest.mark.parametrize("value", [None, "true", "false"])
def test_forked_process_tokenizes_on_one_thread(checkpoint, monkeypatch, value):
    """Whatever the variable was, and the variable of the process itself does not change."""
    if value is None:
        monkeypatch.delenv(PARALLELISM, raising=False)
    else:
        monkeypatch.setenv(PARALLELISM, value)
    tokenizer = WordpieceTokenizer(oracles.load_plain_tokenizer(checkpoint("bert")))
    texts = ["a b c"] * 100  # a batch that tokenizers splits between threads
    expected = tokenizer.encode(texts).wordpieces.ids.tolist()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_encode, args=(tokenizer, texts, queue))
    process.start()
    assert queue.get(timeout=60) == ("false", expected)
    process.join(30)
    assert process.exitcode == 0
    assert os.environ.get(PARALLELISM) == value


def _encode(tokenizer, texts, queue):
    queue.put((os.environ[PARALLELISM], tokenizer.encode(texts).wordpieces.ids.tolist()))


@needs_fork
def test_lock_that_a_thread_holds_does_not_stop_a_fork():
    lock = ForkSafeLock()
    assert isinstance(copy.deepcopy(lock), ForkSafeLock)
    held, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    process = multiprocessing.get_context("fork").Process(target=_use, args=(lock,))
    process.start()
    process.join(30)
    done.set()
    thread.join()
    assert process.exitcode == 0
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    _use(lock)


def _use(lock):
    with lock:
        pass
