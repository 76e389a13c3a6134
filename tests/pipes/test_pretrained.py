"""`from_pretrained`: a complete pipeline in one call."""

from __future__ import annotations

import pytest
from tiny import WIDTH

import trf_bridge


def test_pipeline_is_ready_to_use(family, checkpoint):
    nlp = trf_bridge.from_pretrained(checkpoint(family))
    assert nlp.lang == "en"
    assert nlp.pipe_names == ["sentencizer", "trf_wordpiecer", "trf_tok2vec"]
    doc = nlp("Apple pie is delicious. Is it?")
    assert doc.tensor.shape == (len(doc), WIDTH)
    assert len(list(doc.sents)) == 2


def test_path_may_be_a_string_and_language_may_be_set(checkpoint):
    nlp = trf_bridge.from_pretrained(str(checkpoint("bert")), lang="de")
    assert nlp.lang == "de"
    assert nlp("Die Donau fließt.").tensor.any()


def test_settings_reach_the_components(checkpoint):
    nlp = trf_bridge.from_pretrained(
        checkpoint("bert"),
        overflow="window",
        stride=7,
        words_per_batch=99,
        output_hidden_states=True,
        output_attentions=True,
        precision="bf16",
        revision="v1",
    )
    wordpiecer, tok2vec = nlp.get_pipe("trf_wordpiecer"), nlp.get_pipe("trf_tok2vec")
    assert (wordpiecer.overflow, wordpiecer.stride, wordpiecer.revision) == ("window", 7, "v1")
    attrs = tok2vec.model.attrs
    assert (attrs["words_per_batch"], attrs["revision"]) == (99, "v1")
    assert tok2vec.model.shims[0].settings.precision == "bf16"
    doc = nlp("One.")
    assert doc._.trf_all_hidden_states is not None
    assert doc._.trf_all_attentions is not None


def test_unknown_setting_is_rejected(checkpoint):
    with pytest.raises(TypeError, match=r"\[TB018\] .*words_per_bach.*words_per_batch"):
        trf_bridge.from_pretrained(checkpoint("bert"), words_per_bach=1)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"overflow": "cut"}, "TB008"),
        ({"precision": "fp8"}, "TB008"),
        ({"words_per_batch": -1}, "TB009"),
        ({"stride": -1}, "TB009"),
    ],
)
def test_invalid_value_is_rejected_before_loading(settings, code):
    with pytest.raises(ValueError, match=rf"^\[{code}\]"):
        trf_bridge.from_pretrained("trf-bridge-tests/never-looked-up", **settings)


@pytest.mark.parametrize("settings", [{"overflow": None}, {"precision": 16}, {"stride": "many"}])
def test_value_of_wrong_type_is_rejected_before_loading(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        trf_bridge.from_pretrained("trf-bridge-tests/never-looked-up", **settings)


def test_pipelines_do_not_share_settings(checkpoint):
    configured = trf_bridge.from_pretrained(checkpoint("bert"), words_per_batch=7)
    default = trf_bridge.from_pretrained(checkpoint("bert"))
    assert configured.get_pipe("trf_tok2vec").model.attrs["words_per_batch"] == 7
    assert default.get_pipe("trf_tok2vec").model.attrs["words_per_batch"] == 3000
