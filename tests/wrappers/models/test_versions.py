"""Pipelines saved with another version of transformers: the same numbers, or an error."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from save_families import describe
from tiny import ALL_FAMILIES

import trf_bridge
from trf_bridge.wrappers.models import loading

SAVED = os.environ.get("TRF_BRIDGE_TEST_SAVED", "")


@pytest.mark.skipif(not SAVED, reason="set TRF_BRIDGE_TEST_SAVED to what save_families.py wrote")
@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_pipeline_of_another_version_gives_the_same(name):
    found = describe(spacy.load(Path(SAVED) / name))
    expected = srsly.read_json(Path(SAVED) / f"{name}.json")
    for one, two in zip(found, expected, strict=True):
        assert one["wordpieces"] == two["wordpieces"]
        assert one["alignment"] == two["alignment"]
        numpy.testing.assert_allclose(one["tensor"], two["tensor"], atol=1e-5, rtol=1e-5)


# Rotary positions


def change_json(path, **values):
    content = json.loads(path.read_text(encoding="utf8"))
    for key, value in values.items():
        if value is None:
            content.pop(key, None)
        else:
            content[key] = value
    path.write_text(json.dumps(content), encoding="utf8")


NONE = dict.fromkeys(("rope_theta", "rope_parameters", "rope_scaling", "partial_rotary_factor"))
# The same settings, in the formats of transformers 4 and 5.
FLAT = [
    {"rope_theta": 500.0},
    {"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}},
]
SCALED = [
    {"rope_theta": 500.0, "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    {"rope_parameters": {"rope_theta": 500.0, "rope_type": "linear", "factor": 4.0}},
]
NESTED = [
    {"global_rope_theta": 300.0, "local_rope_theta": 20.0},
    {
        "rope_parameters": {
            "full_attention": {"rope_theta": 300.0, "rope_type": "default"},
            "sliding_attention": {"rope_theta": 20.0, "rope_type": "default"},
        }
    },
]


def copied(checkpoint, folder, **values):
    """Copy a checkpoint, and change settings in its config."""
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    change_json(folder / "config.json", **values)
    return folder


@pytest.mark.parametrize("written", [*FLAT, *SCALED], ids=lambda written: next(iter(written)))
def test_rotary_positions_are_those_of_the_formula(checkpoint, tmp_path, written):
    folder = copied(checkpoint("qwen"), tmp_path, **{**NONE, **written})
    factor = 4.0 if "linear" in json.dumps(written) else 1.0
    found = loading.load_model(str(folder)).rotary_emb.inv_freq
    expected = [500.0 ** (-i / 8) / factor for i in range(0, 8, 2)]
    numpy.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "both"),
    [("llama", FLAT), ("qwen", SCALED), ("modernbert", NESTED)],
    ids=["flat", "scaled", "nested"],
)
def test_both_formats_of_rotary_positions_give_the_same(checkpoint, tmp_path, name, both):
    gone = {**NONE, "global_rope_theta": None, "local_rope_theta": None}
    text = "My name is Robert, and the tide had gone out."
    tensors = [trf_bridge.from_pretrained(checkpoint(name))(text).tensor]
    for i, written in enumerate(both):
        (tmp_path / str(i)).mkdir()
        folder = copied(checkpoint(name), tmp_path / str(i), **{**gone, **written})
        tensors.append(trf_bridge.from_pretrained(folder)(text).tensor)
    original, one, two = tensors
    assert abs(one - original).max() > 1e-3
    numpy.testing.assert_allclose(one, two, atol=1e-6)


# Models that compute other numbers


def test_model_that_computes_other_numbers_is_refused(pipeline, tmp_path):
    pipeline("bert").to_disk(tmp_path)
    folder = tmp_path / "trf_tok2vec"
    change_json(folder / "tok2vec.json", transformers="4.99.0")
    spacy.load(tmp_path)
    change_json(folder / "config.json", hidden_act="relu", layer_norm_eps=0.1)
    with pytest.raises(ValueError, match=r"^\[TB031\] .*trf_tok2vec.*4\.99\.0"):
        spacy.load(tmp_path)


def test_model_saved_without_its_numbers_is_accepted(pipeline, tmp_path):
    pipeline("bert").to_disk(tmp_path)
    change_json(tmp_path / "trf_tok2vec" / "tok2vec.json", transformers=None, fingerprint=None)
    assert spacy.load(tmp_path)("One.").tensor.any()


# Tokenizers


@pytest.mark.parametrize("name", ["t5", "albert", "xlnet", "gpt2", "llama"])
def test_saved_tokenizer_follows_its_file(pipeline, tmp_path, name):
    """Even if the class in the config has another normalizer."""
    pipeline(name).to_disk(tmp_path)
    lower = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, {"type": "NFKC"}]}
    change_json(tmp_path / "trf_wordpiecer" / "tokenizer" / "tokenizer.json", normalizer=lower)
    nlp = spacy.load(tmp_path)
    assert nlp("MY NAME")._.trf_word_pieces_ == nlp("my name")._.trf_word_pieces_
    wordpieces = nlp("My Name")._.trf_word_pieces_
    nlp.to_disk(tmp_path / "again")
    assert spacy.load(tmp_path / "again")("My Name")._.trf_word_pieces_ == wordpieces


@pytest.mark.parametrize(
    "written",
    [
        {"tokenizer_class": "TokenizersBackend"},
        {"tokenizer_class": "PreTrainedTokenizerFast"},
        {"tokenizer_class": "NoSuchTokenizer"},
        {"tokenizer_class": None},
        {"extra_special_tokens": ["<a>", "<b>"]},
        {"extra_special_tokens": {"image_token": "<a>"}},
        {"additional_special_tokens": ["<a>", {"content": "<b>", "lstrip": True}]},
        {"cls_token": {"content": "<cls>", "__type": "AddedToken", "lstrip": False}},
    ],
    ids=str,
)
def test_saved_settings_of_either_version_are_read(pipeline, tmp_path, written):
    nlp = pipeline("xlnet")
    nlp.to_disk(tmp_path)
    change_json(tmp_path / "trf_wordpiecer" / "tokenizer" / "tokenizer_config.json", **written)
    loaded, text = spacy.load(tmp_path), "My name is Robert. [SEP] <cls>"
    assert loaded(text)._.trf_word_pieces_ == nlp(text)._.trf_word_pieces_
    assert numpy.array_equal(loaded(text).tensor, nlp(text).tensor)
    tokenizer = loaded.get_pipe("trf_wordpiecer").tokenizer
    assert tokenizer.class_id == nlp.get_pipe("trf_wordpiecer").tokenizer.class_id
    assert tokenizer.tokenizer.pad_token == "<pad>"
