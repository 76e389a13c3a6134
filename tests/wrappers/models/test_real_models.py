"""Real vocabularies, each with a small random model of its family, from loading to saving."""

from __future__ import annotations

import json
import shutil

import numpy
import oracles
import pytest
import spacy
from locations import SHARED
from real_data import TOKENIZERS, load_tokenizer
from torch_oracle import get_weights, make_adam, make_examples

import trf_bridge

pytestmark = [pytest.mark.shared, pytest.mark.slow]

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT = ("Bert", {**SIZES, "intermediate_size": 16})
ROBERTA = {
    **SIZES,
    "intermediate_size": 16,
    "max_position_embeddings": 130,
    "pad_token_id": 1,
}
# Name of a folder -> family, and the settings of its config besides the size of the vocabulary.
MODELS = {
    "bert-base-uncased": BERT,
    "bert-base-cased": BERT,
    "bert-base-multilingual-cased": BERT,
    "bert-base-chinese": BERT,
    "roberta-base": ("Roberta", ROBERTA),
    "xlm-roberta-base_rebuilt": ("XLMRoberta", ROBERTA),
    "gpt2": ("GPT2", SIZES),
    "openai-gpt": ("OpenAIGPT", SIZES),
    "xlnet-base-cased": (
        "XLNet",
        {"d_model": 8, "n_layer": 2, "n_head": 2, "d_inner": 16, "pad_token_id": 5},
    ),
    "t5-small": ("T5", {**SIZES, "d_ff": 16, "d_kv": 4}),
}

TEXTS = [
    "Laced with dreams, dripping in reality, the American Dream reignites after 9.11. U.S. laws!",
    "Über den Dächern hängt der Nebel; l'été dernier, j'ai visité la Provence.\r\n\r\nIs it? 👍🏽",
    "我住在北京。今天天气很好！ Привет, как дела? السلام عليكم สวัสดีครับ नमस्ते",
    "A literal [SEP] and </s> and <|endoftext|>.",
    "",
]


@pytest.fixture(scope="module", params=TOKENIZERS)
def folder(request, tmp_path_factory):
    """A checkpoint with the published vocabulary files, under their own names."""
    import torch
    import transformers

    family, options = MODELS[request.param]
    made = tmp_path_factory.mktemp(request.param)
    for path in (SHARED / "data" / "tokenizers" / request.param).iterdir():
        shutil.copy(path, made / path.name.replace("rebuilt.", ""))
    if request.param.startswith("bert") and not request.param.endswith("uncased"):
        settings = {"do_lower_case": False}  # as published beside the vocabulary
        (made / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf8")
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(load_tokenizer(request.param)), **options
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        getattr(transformers, f"{family}Model")(config).save_pretrained(made)
    return request.param, made


def test_every_vocabulary_has_a_model():
    published = {path.name for path in (SHARED / "data" / "tokenizers").iterdir() if path.is_dir()}
    assert published == TOKENIZERS.keys() == MODELS.keys()


def test_end_to_end(folder, tmp_path):
    import torch

    name, made = folder
    nlp = trf_bridge.from_pretrained(made, lang="xx")
    tokenizer = load_tokenizer(name)
    wordpiecer = nlp.get_pipe("trf_wordpiecer").tokenizer
    assert type(wordpiecer.tokenizer) is type(tokenizer)
    plain = oracles.load_plain(MODELS[name][0].lower(), made).eval()
    docs = list(nlp.pipe(TEXTS))
    for doc in docs:
        sentences = oracles.plain_sentences(doc, tokenizer, wordpiecer.max_length)
        assert doc._.trf_word_pieces.tolist() == [i for s in sentences for i in s.ids]
        assert doc._.trf_alignment == oracles.align_doc(doc, sentences)
        with torch.no_grad():
            runs = [oracles.run_plain(plain, s.ids, s.type_ids) for s in sentences]
        for run, (start, end) in zip(runs, input_rows(sentences), strict=True):
            numpy.testing.assert_allclose(
                doc._.trf_last_hidden_state[start:end], run.last_hidden_state[0], atol=1e-5
            )
    nlp.to_disk(tmp_path)
    for one, two in zip(spacy.load(tmp_path).pipe(TEXTS), docs, strict=True):
        assert one._.trf_word_pieces_ == two._.trf_word_pieces_
        assert numpy.array_equal(one.tensor, two.tensor)


def input_rows(sentences):
    end = 0
    for sentence in sentences:
        end += len(sentence.ids)
        yield end - len(sentence.ids), end


def test_fine_tuning(folder):
    nlp = trf_bridge.from_pretrained(folder[1], lang="xx")
    config = {"model": {"@architectures": "trf_bridge.TextCatMean.v1"}}
    textcat = nlp.add_pipe("trf_textcat", config=config)
    examples = make_examples(
        nlp, TEXTS, lambda i: {"cats": {"A": float(i % 2), "B": float(not i % 2)}}
    )
    textcat.initialize(lambda: examples, nlp=nlp)
    before = get_weights(nlp)
    optimizer = make_adam(0.05)
    losses = [nlp.update(examples, sgd=optimizer)["trf_textcat"] for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]
    assert any(abs(weights - before[n]).max() > 1e-3 for n, weights in get_weights(nlp).items())
