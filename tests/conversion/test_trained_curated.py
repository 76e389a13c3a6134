"""Trained pipelines of spacy-curated-transformers: the same predictions from plain transformers."""

from __future__ import annotations

import numpy
import oracles
import pytest
import spacy
import srsly
from curated_pipelines import curated_rows, letters_tokenizer, save_curated
from foreign_pipelines import build_heads, given_rows, replace_listeners, torch_bytes
from small_vocabularies import train_sentencepiece
from thinc.api import Config
from torch_oracle import assert_same, module_weights
from transformers import PreTrainedTokenizerFast

from trf_bridge import WordpieceTokenizer
from trf_bridge.conversion.reading.piece_encoders import write_tokenizer
from trf_bridge.conversion.trained import convert_pipeline

pytestmark = [
    pytest.mark.usefixtures("fixed_seed"),
    pytest.mark.filterwarnings("ignore:.*W0|.*TB102"),
]

HEADS = ["tagger", "parser", "ner", "spancat", "textcat"]
TEXTS = [
    "Anna counted the boats. Robert is here!",
    "",
    "Anna counted the state-of-the-art boats,  but Robert isn't here today. Bake it.",
    "A",
]


def build(fresh, family, names=HEADS):
    nlp = fresh(family)
    nlp.remove_pipe("sentencizer")
    build_heads(nlp, names)
    return nlp


@pytest.mark.parametrize("family", ["bert", "roberta", "albert"])
def test_converted_pipeline_predicts_the_same(fresh, checkpoint, tmp_path, family):
    folder = checkpoint(family)
    plain = oracles.load_plain(family, folder)
    tokenizer = oracles.load_plain_tokenizer(folder)
    if family == "albert":
        tokenizer = letters_tokenizer(tmp_path / "letters")
    rows = curated_rows(family, plain, tokenizer)
    by_hand = build(fresh, family)
    replace_listeners(by_hand, lambda: given_rows(rows))
    save_curated(build(fresh, family), family, folder, tmp_path / "theirs")
    report = convert_pipeline(tmp_path / "theirs", tmp_path / "ours")
    nlp = spacy.load(tmp_path / "ours")
    assert nlp.get_pipe("trf_wordpiecer").by_token
    assert "by_token = true" in [row.what for row in report]
    for text in TEXTS:
        doc = by_hand.make_doc(text)
        for name in HEADS:
            doc = by_hand.get_pipe(name)(doc)
        expected, found = doc.to_json(), nlp(text).to_json()
        scores = found.pop("cats", {})
        assert scores == pytest.approx(expected.pop("cats", {}), abs=1e-5)
        assert found == expected
    own = module_weights(nlp.get_pipe("transformer").model.shims[0]._model)
    weights = module_weights(plain)
    encoder = [name for name in weights if "pooler" not in name]
    assert_same({name: own[name] for name in encoder}, {name: weights[name] for name in encoder})


@pytest.fixture
def tagger(fresh, checkpoint, tmp_path):
    nlp = build(fresh, "bert", ["tagger"])
    return save_curated(nlp, "bert", checkpoint("bert"), tmp_path / "theirs")


@pytest.mark.parametrize(
    ("kind", "shift", "special"),
    [
        ("SentencepieceEncoder", 0, {}),
        ("XlmrSentencepieceEncoder", 1, {0: 3, 1: 0, 2: 2}),
        ("CamembertSentencepieceEncoder", 4, {0: 3}),
    ],
)
def test_sentencepiece_is_read_with_the_ids_of_the_model(tmp_path, kind, shift, special):
    """The ids of SentencePiece, shifted as the encoder does, for tokens one by one."""
    sentencepiece = pytest.importorskip("sentencepiece")
    content = train_sentencepiece()
    message = {"attrs": [{"sentencepiece_processor": content}]}
    encoder = {"@architectures": f"spacy-curated-transformers.{kind}.v1"}
    write_tokenizer(tmp_path, message, {"piece_encoder": encoder}, tmp_path / "model")
    processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    doc = spacy.blank("en")(TEXTS[2] + " 👍🏽 ﬁne ½")
    ids = [processor.bos_id()]
    for token in doc:
        ids += [] if token.is_space else processor.encode(token.text)
    expected = [special.get(i, i + shift) for i in [*ids, processor.eos_id()]]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(tmp_path))
    spans = [(token.idx, token.idx + len(token)) for token in doc]
    found = WordpieceTokenizer(tokenizer, by_token=True).encode(
        [doc.text], [numpy.asarray(spans, dtype="int32")]
    )
    assert found.wordpieces.ids.tolist() == expected


def refuse(source, tmp_path, match):
    with pytest.raises(ValueError, match=match):
        convert_pipeline(source, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("torchscript", True),
        ("piece_encoder", {"@architectures": "spacy-curated-transformers.CharEncoder.v1"}),
    ],
)
def test_parts_without_counterpart_are_refused(tagger, tmp_path, setting, value):
    config = Config().from_disk(tagger / "config.cfg", interpolate=False)
    config["components"]["transformer"]["model"][setting] = value
    config.to_disk(tagger / "config.cfg")
    refuse(tagger, tmp_path, "TB073.*(TorchScript|CharEncoder)")


@pytest.mark.parametrize(
    ("shim", "match"),
    [
        ({"config": {}}, "TB070.*'state'"),
        ({"config": {}, "state": torch_bytes({})}, "TB070.*no weights"),
    ],
)
def test_broken_weights_are_refused(tagger, tmp_path, shim, match):
    path = tagger / "transformer" / "model"
    message = srsly.msgpack_loads(path.read_bytes())
    message["shims"][1] = [srsly.msgpack_dumps(shim)]
    path.write_bytes(srsly.msgpack_dumps(message))
    refuse(tagger, tmp_path, match)


def test_missing_piece_encoder_is_refused(tagger, tmp_path):
    path = tagger / "transformer" / "model"
    message = srsly.msgpack_loads(path.read_bytes())
    message["attrs"][0].pop("wordpiece_processor")
    path.write_bytes(srsly.msgpack_dumps(message))
    refuse(tagger, tmp_path, "TB070.*piece encoder")
