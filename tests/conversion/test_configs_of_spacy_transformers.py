"""Configs of spacy-transformers become configs of trf_bridge, setting by setting."""

from __future__ import annotations

from typing import Any

import pytest
from old_configs import SHARED, STANDALONE, parse
from thinc.api import Config

from trf_bridge.conversion.rows import Row
from trf_bridge.conversion.translating import convert_config

STRIDED = '@span_getters = "spacy-transformers.strided_spans.v1"\nwindow = 20\nstride = 15'


def convert(text: str, *changes: tuple[str, str], **options: Any) -> tuple[Config, list[Row]]:
    return convert_config(parse(text, *changes), **options)


def rows_of(rows: list[Row], what: str) -> list[tuple[str, str]]:
    """Return where a setting was, and its outcome."""
    return [(row.where, row.outcome) for row in rows if row.what.split(" = ")[0] == what]


def test_transformer_is_replaced_in_place() -> None:
    original = parse(SHARED)
    new, rows = convert_config(original)
    assert original == parse(SHARED)
    assert new["nlp"]["pipeline"] == ["trf_wordpiecer", "transformer", "tagger", "ner"]
    assert list(new["components"]) == ["trf_wordpiecer", "transformer", "tagger", "ner"]
    assert new["components"]["trf_wordpiecer"] == {
        "factory": "trf_wordpiecer",
        "sentences": {"@misc": "trf_bridge.strided_spans.v1", "window": 20, "stride": 15},
    }
    assert new["components"]["transformer"] == {
        "factory": "trf_tok2vec",
        "model": {
            "@architectures": "trf_bridge.TransformerModel.v1",
            "trf_name": "owner/name",
            "words_per_batch": 512,
            "precision": "fp32",
        },
    }
    assert new["components"]["tagger"]["model"] == {
        "@architectures": "spacy.Tagger.v2",
        "nO": None,
        "tok2vec": {
            "@architectures": "trf_bridge.Tok2VecListener.v1",
            "pooling": "mean",
            "grad_factor": 0.5,
            "upstream": "transformer",
        },
    }
    assert new["components"]["ner"]["model"]["tok2vec"] == {
        "@architectures": "trf_bridge.Tok2VecListener.v1",
        "pooling": "sum",
        "boundary": False,
        "grad_factor": 1.0,
    }
    assert rows_of(rows, "use_fast") == [
        ("components.transformer.model.tokenizer_config", "dropped")
    ]
    assert rows_of(rows, "max_batch_items") == [("components.transformer", "translated")]
    assert rows_of(rows, "upstream") == [("components.tagger.model.tok2vec", "kept")]


def test_every_old_setting_has_a_row() -> None:
    """Empty blocks aside, the report leaves out nothing that the transformer and listeners set."""
    old, (_, rows) = parse(SHARED), convert(SHARED)
    listed = {(row.where, row.what.split(" = ")[0]) for row in rows}
    for where, block in [
        ("components.transformer", old["components"]["transformer"]),
        ("components.transformer.model", old["components"]["transformer"]["model"]),
        ("components.tagger.model.tok2vec", old["components"]["tagger"]["model"]["tok2vec"]),
        ("components.ner.model.tok2vec", old["components"]["ner"]["model"]["tok2vec"]),
    ]:
        for name, value in block.items():
            filled = name not in ("@architectures", "model", "tokenizer_config") and value != {}
            if filled:
                assert (where, name) in listed


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_versions_of_the_model(version: str) -> None:
    settings = 'tokenizer_config = {"use_fast":true}\ntransformer_config = {}\n'
    settings += "mixed_precision = false\ngrad_scaler_config = {}\n"
    new, _ = convert(SHARED, ("Model.v3", f"Model.{version}"), (settings, ""))
    assert new["components"]["transformer"]["model"] == {
        "@architectures": "trf_bridge.TransformerModel.v1",
        "trf_name": "owner/name",
        "words_per_batch": 512,
    }


def test_settings_that_are_left_out_are_those_of_the_factory() -> None:
    text = '[nlp]\npipeline = ["bert"]\n[components]\n[components.bert]\nfactory = "transformer"\n'
    new, rows = convert(text)
    assert new["components"]["bert"]["model"]["trf_name"] == "roberta-base"
    sentences = new["components"]["trf_wordpiecer"]["sentences"]
    assert (sentences["window"], sentences["stride"]) == (128, 96)
    assert ("components.bert.model", "translated") in rows_of(rows, "get_spans")


@pytest.mark.parametrize(
    ("getter", "sentences"),
    [
        ('@span_getters = "spacy-transformers.sent_spans.v1"', "sents"),
        ('@span_getters = "spacy-transformers.doc_spans.v1"', "doc"),
        ('@span_getters = "pages.v1"\nlength = 3', {"@misc": "pages.v1", "length": 3}),
    ],
)
def test_span_getters(getter: str, sentences: Any) -> None:
    new, rows = convert(SHARED, (STRIDED, getter))
    assert new["components"]["trf_wordpiecer"]["sentences"] == sentences
    assert "overflow" not in new["components"]["trf_wordpiecer"]
    (row,) = [row for row in rows if row.what.startswith("get_spans")]
    assert row.outcome == "translated"
    assert ('@spacy.registry.misc("pages.v1")' in row.why) == isinstance(sentences, dict)


@pytest.mark.parametrize(
    ("layer", "settings"),
    [
        ("reduce_mean.v1", {"pooling": "mean"}),
        ("reduce_sum.v1", {"pooling": "sum", "boundary": False}),
        ("reduce_first.v1", {"pooling": "first"}),
        ("reduce_last.v1", {"pooling": "last"}),
    ],
)
def test_pooling(layer: str, settings: dict[str, Any]) -> None:
    new, _ = convert(SHARED, ("reduce_mean.v1", layer))
    listener = new["components"]["tagger"]["model"]["tok2vec"]
    assert {name: listener.get(name) for name in settings} == settings
    assert ("boundary" in listener) == (layer == "reduce_sum.v1")


def test_pooling_without_counterpart_is_the_mean_and_not_for_trained_pipelines() -> None:
    change = ("reduce_mean.v1", "reduce_max.v1")
    new, rows = convert(SHARED, change)
    assert new["components"]["tagger"]["model"]["tok2vec"]["pooling"] == "mean"
    assert ("components.tagger.model.tok2vec", "dropped") in rows_of(rows, "pooling")
    with pytest.raises(ValueError, match=r"TB067.*reduce_max"):
        convert(SHARED, change, trained=True)


def test_options_of_the_tokenizer_and_the_model() -> None:
    options = '{"use_fast":true}\ntransformer_config = {}'
    given = (
        '{"model_max_length":40,"revision":"v2","add_prefix_space":true}\n'
        'transformer_config = {"output_attentions":true,"trust_remote_code":true,"layer_drop":0.1}'
    )
    new, rows = convert(SHARED, (options, given))
    wordpiecer, model = (new["components"][name] for name in ("trf_wordpiecer", "transformer"))
    assert (wordpiecer["max_length"], wordpiecer["trust_remote_code"]) == (40, True)
    assert {"trf_name", "revision"}.isdisjoint(wordpiecer)
    model = model["model"]
    assert (model["revision"], model["output_attentions"]) == ("v2", True)
    assert model["trust_remote_code"] is True
    dropped = [row.what for row in rows if row.outcome == "dropped"]
    assert "add_prefix_space = true" in dropped
    assert "layer_drop = 0.1" in dropped


def test_mixed_precision() -> None:
    """A trained pipeline keeps its predictions on a CPU, where the original computes in fp32."""
    old = "mixed_precision = false\ngrad_scaler_config = {}"
    change = (old, 'mixed_precision = true\ngrad_scaler_config = {"init_scale":8}')
    for trained, precision in [(False, "auto"), (True, "fp32")]:
        new, rows = convert(SHARED, change, trained=trained)
        assert new["components"]["transformer"]["model"]["precision"] == precision
        assert rows_of(rows, "mixed_precision") == [("components.transformer.model", "translated")]
        assert rows_of(rows, "grad_scaler_config") == [("components.transformer.model", "dropped")]


def test_annotation_setters_are_dropped() -> None:
    why = {}
    for setter in ("spacy-transformers.null_annotation_setter.v1", "mine.v1"):
        change = ("spacy-transformers.null_annotation_setter.v1", setter)
        new, rows = convert(SHARED, change)
        assert set(new["components"]["transformer"]) == {"factory", "model"}
        (row,) = [row for row in rows if row.what.startswith("set_extra_annotations")]
        assert row.outcome == "dropped"
        why[setter] = row.why
    assert "component" in why["mine.v1"]
    assert len(set(why.values())) == 2


def test_names_remain_valid_everywhere() -> None:
    new, rows = convert(
        SHARED,
        ("components.transformer", "components.bert"),
        ('upstream = "transformer"', 'upstream = "bert"'),
        ('["transformer","tagger","ner"]', '["bert","tagger","ner"]\ndisabled = ["bert"]'),
        ("[components]\n\n", '[training]\nfrozen_components = ["bert"]\n[components]\n\n'),
    )
    assert new["nlp"]["pipeline"] == ["trf_wordpiecer", "bert", "tagger", "ner"]
    assert new["nlp"]["disabled"] == ["trf_wordpiecer", "bert"]
    assert new["training"]["frozen_components"] == ["bert"]
    assert new["components"]["tagger"]["model"]["tok2vec"]["upstream"] == "bert"
    assert [row.outcome for row in rows if row.what.startswith("[training]")] == ["kept"]


def test_two_transformers_have_wordpiecers_of_their_own() -> None:
    second = """
[components.trf_wordpiecer]
factory = "transformer"

[components.trf_wordpiecer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
name = "other/name"

[components.trf_wordpiecer.model.get_spans]
@span_getters = "spacy-transformers.doc_spans.v1"

[components.ner]
"""
    new, _ = convert(
        SHARED,
        ("\n[components.ner]\n", second),
        ('"transformer","tagger"', '"transformer","trf_wordpiecer"'),
    )
    names = ["transformer_trf_wordpiecer", "transformer"]
    names += ["trf_wordpiecer_trf_wordpiecer", "trf_wordpiecer", "ner"]
    assert new["nlp"]["pipeline"] == names
    blocks = new["components"]
    assert blocks["transformer_trf_wordpiecer"]["trf_name"] == "owner/name"
    assert blocks["trf_wordpiecer_trf_wordpiecer"]["trf_name"] == "other/name"
    assert blocks["trf_wordpiecer_trf_wordpiecer"]["sentences"] == "doc"


def test_heads_with_a_transformer_share_a_wordpiecer() -> None:
    new, _ = convert(STANDALONE)
    assert new["nlp"]["pipeline"] == ["trf_wordpiecer", "tagger", "morphologizer"]
    assert new["components"]["trf_wordpiecer"] == {
        "factory": "trf_wordpiecer",
        "trf_name": "owner/name",
        "sentences": "doc",
    }
    assert new["components"]["tagger"]["model"]["tok2vec"] == {
        "@architectures": "trf_bridge.Tok2VecTransformer.v1",
        "trf_name": "owner/name",
        "precision": "fp32",
        "pooling": "first",
        "grad_factor": 1.0,
    }
    assert new["components"]["morphologizer"]["model"]["tok2vec"] == {
        "@architectures": "trf_bridge.Tok2VecTransformer.v1",
        "trf_name": "owner/name",
        "pooling": "last",
    }


def test_heads_with_other_spans_have_another_wordpiecer() -> None:
    before, after = STANDALONE.split("[components.morphologizer]")
    text = f"{before}[components.morphologizer]{after.replace('doc_spans', 'sent_spans')}"
    new, _ = convert(text)
    names = ["trf_wordpiecer", "tagger", "morphologizer_trf_wordpiecer", "morphologizer"]
    assert new["nlp"]["pipeline"] == names
    assert new["components"]["morphologizer_trf_wordpiecer"]["sentences"] == "sents"


def test_another_checkpoint() -> None:
    change = ('{"use_fast":true}', '{"revision":"v2"}')
    new, _ = convert(SHARED, change, trf_name="mine/name")
    model = new["components"]["transformer"]["model"]
    assert model["trf_name"] == "mine/name"
    assert "revision" not in model


def test_variables_remain_unless_their_block_is_rewritten() -> None:
    new, rows = convert(
        SHARED,
        ('name = "CHECKPOINT"', "name = ${vars.name}"),
        ("window = 20", "window = ${vars.window}"),
        ("[components]\n\n", '[vars]\nname = "a/b"\nwindow = 21\n\n[components]\n\n'),
        ("[components.tagger]\n", "[components.tagger]\nlabel_smoothing = ${vars.smoothing}\n"),
        ("hidden_width = 8", "hidden_width = ${components.transformer.max_batch_items}"),
    )
    assert new["components"]["transformer"]["model"]["trf_name"] == "${vars.name}"
    assert new["components"]["trf_wordpiecer"]["sentences"]["window"] == 21
    assert new["components"]["tagger"]["label_smoothing"] == "${vars.smoothing}"
    assert new["components"]["ner"]["model"]["hidden_width"] == 512
    assert ("components.transformer.model", "translated") in rows_of(rows, "name")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("${vars.absent}", r"\$\{vars.absent\} is not defined"),
        ("${components.transformer.model.get_spans.window}", "refers to itself"),
    ],
)
def test_variables_without_a_value(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"TB067.*old\.cfg.*{reason}"):
        convert(SHARED, ("window = 20", f"window = {value}"), path="old.cfg")


def test_sourced_components() -> None:
    """A pipeline that must be converted first is named; one that is converted is used."""
    text = """
[nlp]
lang = "en"
pipeline = ["transformer","ner"]

[components]

[components.transformer]
source = "PIPELINE"

[components.ner]
source = "PIPELINE"
replace_listeners = ["model.tok2vec"]
"""
    old = {"./old": {"transformer": "transformer", "ner": "ner"}}
    with pytest.warns(UserWarning, match=r"TB112.*\./old"):
        new, rows = convert(text, ("PIPELINE", "./old"), sources=old)
    assert new["nlp"]["pipeline"] == ["trf_wordpiecer", "transformer", "ner"]
    assert new["components"]["trf_wordpiecer"] == {"source": "./old", "component": "trf_wordpiecer"}
    assert new["components"]["ner"] == parse(text, ("PIPELINE", "./old"))["components"]["ner"]
    assert [row.outcome for row in rows if row.what.startswith("source")] == ["kept", "kept"]
    # Without a look into the source, the usual name of the component is enough.
    head = parse(SHARED)["components"]["tagger"]["model"]["tok2vec"]
    config = parse(text, ("PIPELINE", "./absent"))
    config["components"]["ner"] = {"factory": "ner", "model": {"tok2vec": head}}
    with pytest.warns(UserWarning, match=r"TB112.*\./absent"):
        assert "trf_wordpiecer" in convert_config(config)[0]["components"]
    done = {"./new": {"pieces": "trf_wordpiecer", "transformer": "trf_tok2vec", "ner": "ner"}}
    config["components"]["transformer"]["source"] = "./new"
    new, _ = convert_config(config, sources=done)
    assert new["components"]["trf_wordpiecer"] == {"source": "./new", "component": "pieces"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([('factory = "transformer"', 'factory = "trf_tok2vec"')], "half converted"),
        ([("strided_spans.v1", "strided_spans.v9")], "not a span getter"),
        ([("TransformerModel.v3", "TransformerModel.v9")], "TransformerModel.v9"),
        (
            [("TransformerListener.v1", "TransformerListener.v9")],
            r"\[components.tagger.model.tok2vec",
        ),
        ([('tokenizer_config = {"use_fast":true}', "tokenizer_config = 3")], "not a block"),
        ([('"tagger","ner"]', '"tagger","senter"]')], "senter"),
        ([("[nlp]", "[other]")], "no pipeline"),
    ],
)
def test_configs_that_are_refused(changes: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(ValueError, match=rf"TB067.*{reason}"):
        convert(SHARED, *changes)


def test_nothing_to_convert() -> None:
    plain = '[nlp]\npipeline = ["ner"]\n\n[components]\n\n[components.ner]\nfactory = "ner"\n'
    with pytest.raises(ValueError, match=r"TB067.*nothing in it"):
        convert(plain)
    with pytest.raises(ValueError, match=r"TB067.*it is converted"):
        convert_config(convert(SHARED)[0])
