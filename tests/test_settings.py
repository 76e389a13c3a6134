"""Settings of the components: their descriptions, checks and signatures, and old configs."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from typing import Any

import numpy
import pytest
import spacy
from confection import ConfigValidationError
from spacy import registry
from torch_oracle import get_module

import trf_bridge
from trf_bridge.settings import (
    CheckpointSettings,
    TransformerSettings,
    WordpiecerSettings,
    check_separator,
    defaults_of,
    descriptions_of,
    setting,
    takes_settings,
)
from trf_bridge.wrappers.models.layer import TransformerModel

CLASSES = [CheckpointSettings, WordpiecerSettings, TransformerSettings]
TEXT = "My name is Robert. Apple pie is delicious!"


@pytest.mark.parametrize("settings", CLASSES)
def test_every_setting_is_described(settings):
    descriptions = descriptions_of(settings)
    names = [field.name for field in dataclasses.fields(settings)]
    assert list(descriptions) == list(defaults_of(settings)) == names
    for name, description in descriptions.items():
        assert description.endswith("."), name
        assert description[0].isupper() or not description[0].isalpha(), name
        assert "  " not in description, name


@pytest.mark.parametrize("settings", CLASSES)
def test_defaults_are_valid(settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataclasses.asdict(settings()) == defaults_of(settings)


# Checks

WRONG = [
    (WordpiecerSettings, "sentences", "words", ValueError, "TB008"),
    (WordpiecerSettings, "sentences", 3, TypeError, "TB008"),
    (WordpiecerSettings, "overflow", "wrap", ValueError, "TB008"),
    (WordpiecerSettings, "window_rows", "median", ValueError, "TB008"),
    (WordpiecerSettings, "stride", -1, ValueError, "TB009"),
    (WordpiecerSettings, "stride", 1.5, TypeError, "TB009"),
    (WordpiecerSettings, "max_length", 0, ValueError, "TB009"),
    (WordpiecerSettings, "max_length", "512", TypeError, "TB009"),
    (WordpiecerSettings, "separator", "", ValueError, "TB037"),
    (WordpiecerSettings, "separator", 3, TypeError, "TB037"),
    (TransformerSettings, "words_per_batch", -1, ValueError, "TB009"),
    (TransformerSettings, "words_per_batch", True, TypeError, "TB009"),
    (TransformerSettings, "precision", "fp8", ValueError, "TB008"),
    (TransformerSettings, "products", "mkl", ValueError, "TB008"),
    (TransformerSettings, "freeze", "some", ValueError, "TB008"),
    (TransformerSettings, "freeze", -1, ValueError, "TB008"),
    (TransformerSettings, "freeze", True, ValueError, "TB008"),
    (TransformerSettings, "freeze", False, ValueError, "TB008"),
    (TransformerSettings, "freeze", None, ValueError, "TB008"),
    (TransformerSettings, "layer_lr_decay", 0.0, ValueError, "TB025"),
    (TransformerSettings, "layer_lr_decay", 1.1, ValueError, "TB025"),
    (TransformerSettings, "layer_lr_decay", "0.9", ValueError, "TB025"),
]


@pytest.mark.parametrize(("settings", "name", "value", "error", "code"), WRONG)
def test_wrong_values_are_refused(settings, name, value, error, code):
    with pytest.raises(error, match=rf"^\[{code}\] .*{name}") as caught:
        settings(**{name: value})
    assert repr(value) in str(caught.value) or str(value) in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (WordpiecerSettings, {"sentences": "doc", "overflow": "window", "window_rows": "mean"}),
        (WordpiecerSettings, {"sentences": lambda docs: [], "stride": 0, "max_length": 1}),
        (WordpiecerSettings, {"separator": "|||", "max_length": None}),
        (TransformerSettings, {"words_per_batch": 0, "precision": "auto", "products": "onednn"}),
        (TransformerSettings, {"precision": "bf16", "products": "torch", "freeze": "embeddings"}),
        (TransformerSettings, {"precision": "fp16", "freeze": 1, "layer_lr_decay": 1}),
        (TransformerSettings, {"freeze": "all", "layer_lr_decay": 0.01}),
    ],
)
def test_other_values_are_accepted(settings, values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stored = settings(**values)
    assert {name: getattr(stored, name) for name in values} == values


def test_errors_name_the_attribute_of_a_doc():
    with pytest.raises(ValueError, match=r"^\[TB037\] .*doc\._\.trf_separator"):
        check_separator("", "doc._.trf_separator")


@pytest.mark.parametrize("build", [TransformerSettings, TransformerModel])
def test_unknown_settings_are_refused(build):
    with pytest.raises(TypeError, match="word_per_batch"):
        build(word_per_batch=3)


def test_unknown_settings_in_a_config_are_refused():
    nlp = spacy.blank("en")
    with pytest.raises(ConfigValidationError, match="word_per_batch"):
        nlp.add_pipe("trf_tok2vec", config={"model": {"word_per_batch": 3}})
    with pytest.raises(ConfigValidationError, match="strides"):
        nlp.add_pipe("trf_wordpiecer", config={"strides": 3})


def test_wrong_types_in_a_config_are_refused():
    """By the annotations, before the component is built."""
    nlp = spacy.blank("en")
    with pytest.raises(ConfigValidationError, match="words_per_batch"):
        nlp.add_pipe("trf_tok2vec", config={"model": {"words_per_batch": "many"}})


# Signatures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example(CheckpointSettings):
    """Settings of a test."""

    trf_name: str = setting("a", "A name.")
    size: int | None = setting(3, "A size.")


def test_function_has_the_signature_of_its_settings():
    @takes_settings(Example)
    def build(own: float, trf_name: str = "b", **settings: Any) -> Later:
        """Build something."""
        return {"own": own, "trf_name": trf_name, **settings}

    signature = inspect.signature(build)
    parameters = {
        name: (parameter.kind.name, parameter.default, parameter.annotation)
        for name, parameter in signature.parameters.items()
    }
    assert parameters == {
        "own": ("POSITIONAL_OR_KEYWORD", inspect.Parameter.empty, float),
        "trf_name": ("POSITIONAL_OR_KEYWORD", "b", str),  # that of the function
        "revision": ("KEYWORD_ONLY", None, str | None),
        "trust_remote_code": ("KEYWORD_ONLY", False, bool),
        "size": ("KEYWORD_ONLY", 3, int | None),
    }
    assert signature.return_annotation == "Later"
    assert set(build.__annotations__) == {*parameters, "return"}
    assert build.__doc__ == "Build something."
    assert build(0.5, size=4) == {"own": 0.5, "trf_name": "b", "size": 4}


class Later:
    """Defined after the function whose annotation names it, as in the modules of components."""


ARCHITECTURES = ["trf_bridge.TransformerModel.v1", "trf_bridge.Tok2VecTransformer.v1"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_configs_are_filled_with_the_defaults(architecture):
    filled = registry.fill({"model": {"@architectures": architecture}})["model"]
    expected = {"@architectures": architecture, **defaults_of(TransformerSettings)}
    if architecture == ARCHITECTURES[1]:
        expected |= {"grad_factor": 1.0, "pooling": "sum", "boundary": True, "space_after": False}
    assert filled == expected


def test_components_have_the_default_settings():
    nlp = spacy.blank("en")
    nlp.add_pipe("trf_wordpiecer")
    nlp.add_pipe("trf_tok2vec")
    wordpiecer, tok2vec = (nlp.config["components"][name] for name in nlp.pipe_names)
    assert {n: wordpiecer[n] for n in defaults_of(WordpiecerSettings)} == defaults_of(
        WordpiecerSettings
    )
    model = {name: v for name, v in tok2vec["model"].items() if name != "@architectures"}
    assert model == defaults_of(TransformerSettings)


def test_from_pretrained_takes_all_settings(checkpoint):
    """Given as their defaults, they change nothing."""
    folder = checkpoint("bert")
    given = {**defaults_of(WordpiecerSettings), **defaults_of(TransformerSettings)}
    del given["trf_name"]
    nlp, plain = trf_bridge.from_pretrained(folder, **given), trf_bridge.from_pretrained(folder)
    assert nlp.config["components"] == plain.config["components"]
    assert numpy.array_equal(nlp(TEXT).tensor, plain(TEXT).tensor)
    with pytest.raises(TypeError, match=r"^\[TB018\] .*word_per_batch"):
        trf_bridge.from_pretrained(folder, word_per_batch=3)


# Old configs


def test_freeze_0_is_deprecated():
    with pytest.warns(DeprecationWarning, match=r"^\[TB108\] .*'embeddings'"):
        assert TransformerSettings(freeze=0).freeze == 0


def test_freeze_0_freezes_the_embeddings(fresh):
    embeddings = fresh("bert", freeze="embeddings")
    with pytest.warns(DeprecationWarning, match="TB108"):
        zero = fresh("bert", freeze=0)
    frozen = [
        {name for name, w in get_module(nlp).named_parameters() if not w.requires_grad}
        for nlp in (embeddings, zero)
    ]
    assert frozen[0] == frozen[1]
    assert frozen[0] == {
        n for n, _ in get_module(zero).named_parameters() if n[:10] == "embeddings"
    }


def test_freeze_embeddings_outlives_saving(fresh, tmp_path):
    nlp = fresh("bert", freeze="embeddings")
    nlp.to_disk(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        loaded = spacy.load(tmp_path)
    assert loaded.config["components"]["trf_tok2vec"]["model"]["freeze"] == "embeddings"
    trained = [n for n, w in get_module(loaded).named_parameters() if w.requires_grad]
    assert trained
    assert not any(name.startswith("embeddings.") for name in trained)


@pytest.mark.parametrize("missing", ["products", "freeze", "precision", "layer_lr_decay"])
def test_configs_of_older_versions_are_loaded(fresh, tmp_path, missing):
    """They lack the settings that were added later."""
    nlp = fresh("bert")
    nlp.to_disk(tmp_path)
    path = tmp_path / "config.cfg"
    lines = path.read_text(encoding="utf8").splitlines()
    older = [line for line in lines if not line.startswith(f"{missing} ")]
    assert len(older) == len(lines) - 1
    path.write_text("\n".join(older), encoding="utf8")
    assert numpy.array_equal(spacy.load(tmp_path)(TEXT).tensor, nlp(TEXT).tensor)
