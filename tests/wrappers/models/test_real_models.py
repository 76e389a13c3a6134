"""Published vocabularies, each with a small random model, from loading to saving."""

from __future__ import annotations

import json
import shutil

import pytest
from locations import SHARED
from real_data import TOKENIZERS, load_tokenizer
from vocabulary_checks import check_fine_tuning, check_pipeline

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
    name, made = folder
    check_pipeline(made, load_tokenizer(name), MODELS[name][0].lower(), tmp_path)


def test_fine_tuning(folder):
    check_fine_tuning(folder[1])
