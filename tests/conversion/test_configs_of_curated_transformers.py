"""Configs of spacy-curated-transformers become configs of trf_bridge."""

from __future__ import annotations

from typing import Any

import pytest
from old_configs import CURATED, parse
from thinc.api import Config

from trf_bridge.conversion.rows import Row
from trf_bridge.conversion.translating import convert_config


def convert(*changes: tuple[str, str], **options: Any) -> tuple[Config, list[Row]]:
    return convert_config(parse(CURATED, *changes), **options)


def outcomes(rows: list[Row]) -> dict[str, str]:
    """Return the outcome of each setting."""
    return {row.what.split(" = ")[0]: row.outcome for row in rows}


def test_transformer_and_listener() -> None:
    new, rows = convert()
    assert new["nlp"]["pipeline"] == ["trf_wordpiecer", "transformer", "tagger"]
    assert new["components"]["trf_wordpiecer"] == {
        "factory": "trf_wordpiecer",
        "sentences": "doc",
        "max_length": 24,
        "overflow": "window",
        "stride": 8,
        "window_rows": "mean",
    }
    assert new["components"]["transformer"] == {
        "factory": "trf_tok2vec",
        "model": {
            "@architectures": "trf_bridge.TransformerModel.v1",
            "trf_name": "owner/name",
            "revision": "main",
            "precision": "fp32",
            "output_hidden_states": False,
            "freeze": "none",
        },
    }
    assert new["components"]["tagger"]["model"]["tok2vec"] == {
        "@architectures": "trf_bridge.Tok2VecListener.v1",
        "pooling": "mean",
        "grad_factor": 1.0,
        "upstream": "transformer",
        "width": 16,
    }
    assert new["initialize"]["components"] == {}
    found = outcomes(rows)
    assert found["vocab_size, hidden_width, num_hidden_layers, num_attention_heads"] == "dropped"
    assert found["piece_encoder"] == found["piecer_loader"] == "dropped"
    assert found["with_spans"] == found["encoder_loader"] == "translated"


@pytest.mark.parametrize("kind", ["Albert", "Bert", "Camembert", "Roberta", "Xlmr"])
def test_architectures(kind: str) -> None:
    new, _ = convert(("BertTransformer", f"{kind}Transformer"))
    assert new["components"]["transformer"]["model"]["trf_name"] == "owner/name"


def test_settings_beside_the_model() -> None:
    new, _ = convert(
        ("all_layer_outputs = false", "all_layer_outputs = true"),
        ("frozen = false", "frozen = true"),
    )
    model = new["components"]["transformer"]["model"]
    assert (model["output_hidden_states"], model["freeze"]) == (True, "all")


def test_config_without_a_checkpoint_needs_one() -> None:
    """A file of weights is not a checkpoint. A trained pipeline has its weights."""
    change = (
        '"spacy-curated-transformers.HFTransformerEncoderLoader.v1"\nname = "CHECKPOINT"\n',
        '"spacy-curated-transformers.PyTorchCheckpointLoader.v1"\npath = "weights.pt"\n',
    )
    with pytest.raises(ValueError, match=r"TB066.*'transformer'.*--trf-name"):
        convert(change)
    new, rows = convert(change, trf_name="mine/name")
    assert new["components"]["transformer"]["model"]["trf_name"] == "mine/name"
    assert "revision" not in new["components"]["transformer"]["model"]
    assert outcomes(rows)["encoder_loader"] == "dropped"
    new, _ = convert(change, trained=True)
    assert new["components"]["transformer"]["model"]["trf_name"] == ""


def test_weights_of_layers_have_no_counterpart() -> None:
    change = (
        '"spacy-curated-transformers.LastTransformerLayerListener.v1"',
        '"spacy-curated-transformers.ScalarWeightingListener.v1"\n'
        'weighting = {"@architectures":"spacy-curated-transformers.ScalarWeight.v1"}',
    )
    new, rows = convert(change)
    listener = new["components"]["tagger"]["model"]["tok2vec"]
    assert listener["@architectures"] == "trf_bridge.Tok2VecListener.v1"
    assert outcomes(rows)["weighting"] == "dropped"
    with pytest.raises(ValueError, match=r"TB067.*weights all layers"):
        convert(change, trained=True)


def test_head_after_replace_listeners() -> None:
    config = parse(CURATED)
    model, head = (config["components"][name] for name in ("transformer", "tagger"))
    head["model"]["tok2vec"] = {**model["model"], "wrapped_listener": head["model"]["tok2vec"]}
    head["model"]["tok2vec"]["wrapped_listener"]["width"] = 16
    del config["components"]["transformer"]
    config["nlp"]["pipeline"] = ["tagger"]
    new, _ = convert_config(config)
    assert new["nlp"]["pipeline"] == ["trf_wordpiecer", "tagger"]
    assert new["components"]["trf_wordpiecer"]["trf_name"] == "owner/name"
    assert new["components"]["tagger"]["model"]["tok2vec"] == {
        "@architectures": "trf_bridge.Tok2VecTransformer.v1",
        "trf_name": "owner/name",
        "revision": "main",
        "precision": "fp32",
        "pooling": "mean",
        "grad_factor": 1.0,
    }


def test_gradual_unfreezing_is_dropped() -> None:
    callback = """
[training]
dropout = 0.2

[training.before_update]
@callbacks = "spacy-curated-transformers.gradual_transformer_unfreezing.v1"
target_pipes = {"*":100}

[components]
"""
    new, rows = convert(("\n[components]\n", callback))
    assert new["training"] == {"dropout": 0.2, "before_update": None}
    assert outcomes(rows)["before_update"] == "dropped"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("WithStridedSpans.v1", "WithSentences.v1"), "WithStridedSpans"),
        (
            ("LastTransformerLayerListener", "TransformerLayersListener"),
            "TransformerLayersListener",
        ),
        (("BertTransformer", "OtherTransformer"), "OtherTransformer"),
    ],
)
def test_configs_that_are_refused(change: tuple[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=rf"TB067.*{reason}"):
        convert(change)
