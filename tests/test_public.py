"""The public interface: names, light imports, entry points."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import trf_bridge
from trf_bridge.types import Activations, Wordpieces

NAMES = [
    "Activations",
    "Alignment",
    "Tok2VecListener",
    "TransformerModel",
    "WordpieceTokenizer",
    "Wordpieces",
    "__version__",
    "apply_alignment",
    "embed",
    "from_pretrained",
    "install_extensions",
    "install_hooks",
    "render",
]

HEAVY = ["torch", "transformers", "spacy", "numpy", "thinc", "tokenizers", "safetensors", "srsly"]

ENTRY_POINTS = {
    "spacy_cli": {"trf"},
    "spacy_factories": {
        *["trf_sentencizer", "trf_wordpiecer", "trf_tok2vec"],
        *["trf_textcat", "trf_token_classifier"],
    },
    "spacy_architectures": {
        "trf_bridge.TransformerModel.v1",
        "trf_bridge.Tok2VecListener.v1",
    },
    "spacy_loggers": {"trf_bridge.ConsoleLogger.v1"},
}


def run(code, cwd):
    """Run code in a new process and return its output, parsed as JSON."""
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True
    )
    return json.loads(process.stdout)


def test_public_names():
    assert sorted(trf_bridge.__all__) == NAMES
    for name in NAMES:
        assert getattr(trf_bridge, name) is not None
        assert name in dir(trf_bridge)


def test_public_names_of_the_alignment():
    """`trf_bridge.align` is the package, not the function of the same name inside of it."""
    import trf_bridge.align

    assert sorted(trf_bridge.align.__all__) == [
        *["Alignment", "POOLINGS", "align", "apply_alignment"],
        *["join_alignments", "link_characters", "pool_links"],
    ]
    assert trf_bridge.align.Alignment is trf_bridge.Alignment
    assert trf_bridge.align.apply_alignment is trf_bridge.apply_alignment
    assert inspect.ismodule(trf_bridge.align)


def test_unknown_names_raise_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = trf_bridge.no_such_name


def test_arguments_of_the_public_names():
    def names(function):
        return list(inspect.signature(function).parameters)

    assert names(trf_bridge.from_pretrained) == ["name_or_path", "lang", "head", "settings"]
    assert names(trf_bridge.embed) == ["docs_or_spans", "pooling", "normalize"]
    assert names(trf_bridge.install_extensions) == []
    assert names(trf_bridge.install_hooks) == ["doc"]
    picture = inspect.signature(trf_bridge.render).parameters
    assert list(picture) == [
        *["docs", "style", "page", "jupyter", "theme", "layers", "heads"],
    ]
    assert all(p.kind is p.KEYWORD_ONLY for name, p in picture.items() if name != "docs")
    model = inspect.signature(trf_bridge.TransformerModel).parameters
    assert next(iter(model)) == "trf_name"
    assert all(p.kind is p.KEYWORD_ONLY for name, p in model.items() if name != "trf_name")
    assert {
        *["revision", "words_per_batch", "output_hidden_states", "output_attentions"],
        *["precision", "trust_remote_code"],
    } <= set(model)
    tokenizer = trf_bridge.WordpieceTokenizer
    options = ["max_length", "overflow", "stride", "type_ids", "split_special_tokens"]
    assert names(tokenizer) == ["tokenizer", *options, "window_rows", "by_token"]
    loading = ["name_or_path", "revision", "trust_remote_code"]
    assert names(tokenizer.from_pretrained) == [*loading, *options, "window_rows", "by_token"]
    for function in (tokenizer, tokenizer.from_pretrained):
        _, *others = inspect.signature(function).parameters.values()
        assert all(p.kind is p.KEYWORD_ONLY for p in others)
    assert names(trf_bridge.apply_alignment) == ["ops", "alignment", "inputs"]
    assert names(trf_bridge.align.align) == ["texts", "token_spans", "wordpieces"]
    assert names(trf_bridge.Alignment) == ["rows", "lengths", "weights", "n_tokens"]
    assert set(Activations.__dataclass_fields__) == {
        *["last_hidden_state", "pooler_output", "hidden_states", "attentions"]
    }
    assert {"ids", "type_ids", "offsets", "boundary", "lengths"} <= set(
        Wordpieces.__dataclass_fields__
    )


def test_import_is_light(tmp_path):
    code = "import sys, json, trf_bridge; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.split(".")[0] for name in run(code, tmp_path)}
    assert not loaded & set(HEAVY)


def test_blank_pipeline_changes_nothing_in_the_process(tmp_path):
    """It sets no environment variable, no fork hook, and nothing in transformers."""
    code = """
import json, os, sys

hooks = []
register = getattr(os, "register_at_fork", lambda **functions: None)

def record(**functions):
    hooks.extend(getattr(f, "__module__", None) or "" for f in functions.values())
    register(**functions)

os.register_at_fork = record
before = dict(os.environ)
import spacy
spacy.blank("en")
found = {
    "environment": {*before.items()} ^ {*os.environ.items()},
    "transformers": {"transformers", "tokenizers"} & {*sys.modules},
    "hooks": {module for module in hooks if module.startswith("trf_bridge")},
}
from transformers import AttentionInterface
found["attention"] = {
    name
    for name, function in AttentionInterface().items()
    if function.__module__.startswith("trf_bridge")
}
assert "trf_bridge.pipes.tok2vec" in sys.modules
print(json.dumps({name: sorted(values) for name, values in found.items()}))
"""
    nothing = {"environment": [], "transformers": [], "hooks": [], "attention": []}
    assert run(code, tmp_path) == nothing


def test_spacy_finds_the_factories_without_an_import(tmp_path):
    code = """
import json, spacy
nlp = spacy.blank("en")
nlp.add_pipe("trf_wordpiecer")
nlp.add_pipe("trf_tok2vec")
model = spacy.registry.architectures.get("trf_bridge.TransformerModel.v1")()
print(json.dumps([nlp.pipe_names, model.name]))
"""
    assert run(code, tmp_path) == [["trf_wordpiecer", "trf_tok2vec"], "transformer"]


@pytest.mark.parametrize("group", ENTRY_POINTS)
def test_entry_points_load(group):
    found = {e.name: e for e in entry_points(group=group) if e.value.startswith("trf_bridge.")}
    assert ENTRY_POINTS[group] <= set(found)
    for entry in found.values():
        assert callable(entry.load())


def test_architectures_carry_a_version():
    for entry in entry_points(group="spacy_architectures"):
        if entry.value.startswith("trf_bridge."):
            assert entry.name.startswith("trf_bridge.")
            assert entry.name.rpartition(".v")[2].isdigit()


def test_version_equals_that_of_the_distribution():
    assert trf_bridge.__version__ == version("trf_bridge")


def test_types_and_stubs_are_installed():
    folder = Path(trf_bridge.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "_align.pyi").is_file()


def test_stub_declares_the_functions_of_the_module():
    import ast

    from trf_bridge import _align

    stub = Path(_align.__file__).with_name("_align.pyi").read_text(encoding="utf8")
    declared = {node.name for node in ast.parse(stub).body if isinstance(node, ast.FunctionDef)}
    assert declared == {
        name for name in dir(_align) if callable(getattr(_align, name)) and name[0] != "_"
    }
