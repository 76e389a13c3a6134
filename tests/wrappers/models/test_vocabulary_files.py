"""Checkpoints with vocabulary files as they are published, from loading to saving.

The tests of `test_real_models.py`, without data beside the checkout.
"""

from __future__ import annotations

import pytest
from small_vocabularies import SMALL_TOKENIZERS, load_small, save_vocabulary
from vocabulary_checks import check_fine_tuning, check_pipeline

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT = ("Bert", {**SIZES, "intermediate_size": 16, "max_position_embeddings": 130})
ROBERTA = {**SIZES, "intermediate_size": 16, "max_position_embeddings": 132, "pad_token_id": 1}
# Vocabulary -> family, and what its config needs besides the size of the vocabulary.
MODELS = {
    "bert-uncased": BERT,
    "bert-cased": BERT,
    "roberta": ("Roberta", ROBERTA),
    "xlm-roberta": ("XLMRoberta", ROBERTA),
    "gpt2": ("GPT2", SIZES),
    "openai-gpt": ("OpenAIGPT", SIZES),
    "xlnet": ("XLNet", {"d_model": 8, "n_layer": 2, "n_head": 2, "d_inner": 16, "pad_token_id": 5}),
    "t5": ("T5", {**SIZES, "d_ff": 16, "d_kv": 4}),
}


@pytest.fixture(scope="module", params=SMALL_TOKENIZERS)
def checkpoint_files(request, tmp_path_factory):
    """The name of a vocabulary, and the folder with its files and a small random model."""
    import torch
    import transformers

    family, options = MODELS[request.param]
    folder = save_vocabulary(request.param, tmp_path_factory.mktemp(request.param))
    n_rows = len(load_small(folder, request.param))
    config = getattr(transformers, f"{family}Config")(vocab_size=n_rows, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
    assert not (folder / "tokenizer.json").exists()
    return request.param, folder


def test_end_to_end(checkpoint_files, tmp_path):
    name, folder = checkpoint_files
    check_pipeline(folder, load_small(folder, name), MODELS[name][0].lower(), tmp_path)


def test_fine_tuning(checkpoint_files):
    check_fine_tuning(checkpoint_files[1])
