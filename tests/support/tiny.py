"""Checkpoints made in the test session: a few thousand weights, tokenizers trained on one page.

A new family is one function under `@another_family` in `tiny_families.py`, which saves a model and
a tokenizer into a folder. Nearly all tests run on the families under `@family` in this module,
which represent all kinds. `test_families.py` tests every family.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_tokenizers import names, template, train_byte_level, train_unigram, train_wordpiece

WIDTH = 16
LAYERS = 2
HEADS = 2
MAX_LENGTH = 48

FAMILIES: dict[str, Callable[[Path], None]] = {}
ALL_FAMILIES: dict[str, Callable[[Path], None]] = {}


def family(build: Callable[[Path], None]) -> Callable[[Path], None]:
    """Register a builder under the name of its function, for nearly every test."""
    FAMILIES[build.__name__] = build
    return another_family(build)


def another_family(build: Callable[[Path], None]) -> Callable[[Path], None]:
    """Register a builder under the name of its function, for the tests of all families."""
    ALL_FAMILIES[build.__name__] = build
    return build


def save_checkpoint(name: str, folder: Path) -> Path:
    """Save the checkpoint of a family, which has the same bits every time."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            ALL_FAMILIES[name](folder)
    finally:
        logging.enable_progress_bar()
    return folder


@family
def bert(folder: Path) -> None:
    """WordPiece, lower-casing, `[CLS] … [SEP]`, absolute positions, a pooler."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    tokenizer = train_wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    wrapped = BertTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **names(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]"),
    )
    config = BertConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH,
        **sizes(),
        **no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    save(BertModel(config), wrapped, folder)


@family
def roberta(folder: Path) -> None:
    """Byte-level BPE, `<s> … </s>`, positions that start after the padding index."""
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = train_byte_level(specials)
    template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    wrapped = RobertaTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **names(
            bos="<s>", eos="</s>", cls="<s>", sep="</s>", unk="<unk>", pad="<pad>", mask="<mask>"
        ),
    )
    config = RobertaConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH + wrapped.pad_token_id + 1,
        **sizes(),
        **no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    save(RobertaModel(config), wrapped, folder)


@family
def xlnet(folder: Path) -> None:
    """Unigram, `… <sep> <cls>` with type ids 0 and 2, relative positions, no maximum."""
    from transformers import XLNetConfig, XLNetModel, XLNetTokenizerFast

    specials = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"]
    tokenizer = train_unigram(specials)
    template(tokenizer, "$A <sep> <cls>:2", "$A <sep> $B:1 <sep>:1 <cls>:2", ["<sep>", "<cls>"])
    wrapped = XLNetTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **names(
            bos="<s>", eos="</s>", unk="<unk>", sep="<sep>", pad="<pad>", cls="<cls>", mask="<mask>"
        ),
    )
    config = XLNetConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        d_model=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        d_inner=2 * WIDTH,
        **no_dropout("dropout", "summary_last_dropout"),
    )
    save(XLNetModel(config), wrapped, folder)


@family
def xlm_roberta(folder: Path) -> None:
    """Unigram behind a normalizer that changes the length of the text, `<s> … </s>`."""
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = train_unigram(specials)
    template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    # XLMRobertaTokenizerFast would replace this normalizer by its own.
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=10**30,
        model_input_names=["input_ids", "attention_mask"],
        **names(
            bos="<s>", eos="</s>", cls="<s>", sep="</s>", unk="<unk>", pad="<pad>", mask="<mask>"
        ),
    )
    config = XLMRobertaConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH + wrapped.pad_token_id + 1,
        **sizes(),
        **no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    save(XLMRobertaModel(config), wrapped, folder)


@family
def gpt2(folder: Path) -> None:
    """Byte-level BPE, no boundary pieces, no padding piece, one direction."""
    from transformers import GPT2Config, GPT2Model, GPT2TokenizerFast

    end = "<|endoftext|>"
    tokenizer = train_byte_level([end])
    wrapped = GPT2TokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **names(bos=end, eos=end, unk=end),
    )
    config = GPT2Config(
        vocab_size=len(wrapped),
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
        n_positions=MAX_LENGTH,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        **no_dropout("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    )
    save(GPT2Model(config), wrapped, folder)


@family
def t5(folder: Path) -> None:
    """Unigram, `… </s>`, saved with its decoder and used by its encoder, relative positions."""
    from transformers import T5Config, T5Model, T5TokenizerFast

    specials = ["<pad>", "</s>", "<unk>"]
    tokenizer = train_unigram(specials)
    template(tokenizer, "$A </s>", "$A </s> $B </s>", ["</s>"])
    wrapped = T5TokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        extra_ids=0,
        **names(eos="</s>", unk="<unk>", pad="<pad>"),
    )
    config = T5Config(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        eos_token_id=wrapped.eos_token_id,
        decoder_start_token_id=wrapped.pad_token_id,
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=2 * WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        **no_dropout("dropout_rate"),
    )
    save(T5Model(config), wrapped, folder)


def no_dropout(*fields: str) -> dict[str, float]:
    """Set rates of dropout to 0, so that the numbers of training mode can be compared."""
    return dict.fromkeys(fields, 0.0)


def sizes() -> dict[str, int]:
    """Return the sizes of a model, by the names that most configs use."""
    return {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * WIDTH,
    }


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save a model with larger weights, and its tokenizer, into a folder."""
    import torch

    # Initial weights are so small that all outputs are nearly the same.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
