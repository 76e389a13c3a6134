"""Checkpoints of further families, each with its own properties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny import (
    HEADS,
    LAYERS,
    MAX_LENGTH,
    WIDTH,
    another_family,
    no_dropout,
    save,
    sizes,
)
from tiny_tokenizers import (
    names,
    template,
    train_byte_fallback,
    train_byte_level,
    train_character_level,
    train_unigram,
    train_wordpiece,
)

NO_MAXIMUM = 10**30
# Passed to classes whose defaults differ between transformers 4 and 5.
WITH_TYPES = ["input_ids", "token_type_ids", "attention_mask"]
BERT_PIECES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
ROBERTA_PIECES = {
    "bos": "<s>",
    "pad": "<pad>",
    "eos": "</s>",
    "unk": "<unk>",
    "cls": "<s>",
    "sep": "</s>",
    "mask": "<mask>",
}


@another_family
def distilbert(folder: Path) -> None:
    """As BERT, without token types and without a pooler."""
    from transformers import DistilBertConfig, DistilBertModel, DistilBertTokenizerFast

    wrapped = _bert_tokenizer(
        DistilBertTokenizerFast, model_input_names=["input_ids", "attention_mask"]
    )
    config = DistilBertConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH,
        dim=WIDTH,
        n_layers=LAYERS,
        n_heads=HEADS,
        hidden_dim=2 * WIDTH,
        **no_dropout("dropout", "attention_dropout"),
    )
    save(DistilBertModel(config), wrapped, folder)


@another_family
def gpt1(folder: Path) -> None:
    """BPE with `</w>`, no boundary pieces, no padding piece, one direction, layer norms last."""
    from transformers import OpenAIGPTConfig, OpenAIGPTModel, OpenAIGPTTokenizerFast

    wrapped = OpenAIGPTTokenizerFast(
        tokenizer_object=train_character_level(["<unk>"]),
        model_max_length=MAX_LENGTH,
        **names(unk="<unk>"),
    )
    config = OpenAIGPTConfig(
        vocab_size=len(wrapped),
        n_positions=MAX_LENGTH,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        **no_dropout("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    )
    save(OpenAIGPTModel(config), wrapped, folder)


@another_family
def xlm(folder: Path) -> None:
    """BPE with `</w>`, `</s> … </s>`, layers whose parts are in several lists."""
    from transformers import PreTrainedTokenizerFast, XLMConfig, XLMModel

    specials = ["<s>", "</s>", "<pad>", "<unk>", "<special1>"]
    tokenizer = train_character_level(specials)
    template(tokenizer, "</s> $A </s>", "</s> $A </s> $B:1 </s>:1", ["</s>"])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        model_input_names=WITH_TYPES,
        **names(bos="<s>", sep="</s>", cls="</s>", pad="<pad>", unk="<unk>", mask="<special1>"),
    )
    config = XLMConfig(
        vocab_size=len(wrapped),
        pad_index=wrapped.pad_token_id,
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH,
        emb_dim=WIDTH,
        n_layers=LAYERS,
        n_heads=HEADS,
        n_langs=1,
        use_lang_emb=False,
        **no_dropout("dropout", "attention_dropout"),
    )
    save(XLMModel(config), wrapped, folder)


@another_family
def albert(folder: Path) -> None:
    """Unigram, `[CLS] … [SEP]`, one layer run several times, narrow embeddings, a pooler."""
    from transformers import AlbertConfig, AlbertModel, AlbertTokenizerFast

    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = train_unigram(specials)
    template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    wrapped = AlbertTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        model_input_names=WITH_TYPES,
        **names(
            bos="[CLS]",
            eos="[SEP]",
            unk="<unk>",
            sep="[SEP]",
            pad="<pad>",
            cls="[CLS]",
            mask="[MASK]",
        ),
    )
    config = AlbertConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH,
        embedding_size=WIDTH // 2,
        **sizes(),
        **no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    save(AlbertModel(config), wrapped, folder)


@another_family
def electra(folder: Path) -> None:
    """As BERT, with narrow embeddings that are projected, and without a pooler."""
    from transformers import ElectraConfig, ElectraModel, ElectraTokenizerFast

    wrapped = _bert_tokenizer(ElectraTokenizerFast)
    config = ElectraConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH,
        embedding_size=WIDTH // 2,
        **sizes(),
        **no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    save(ElectraModel(config), wrapped, folder)


@another_family
def deberta_v2(folder: Path) -> None:
    """As DeBERTa-v3: Unigram, relative positions in buckets, no table of positions, no token types.

    Its tokenizer gives token types all the same.
    """
    from transformers import DebertaV2Config, DebertaV2Model, DebertaV2TokenizerFast

    tokenizer = train_unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], unk="[UNK]")
    template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    wrapped = DebertaV2TokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=NO_MAXIMUM,
        **names(bos="[CLS]", eos="[SEP]", **BERT_PIECES),
    )
    config = DebertaV2Config(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH,
        relative_attention=True,
        position_buckets=8,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
        type_vocab_size=0,
        **sizes(),
        **no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    save(DebertaV2Model(config), wrapped, folder)


@another_family
def mpnet(folder: Path) -> None:
    """WordPiece between `<s>` and `</s>`, positions after the padding index and relative ones."""
    from transformers import MPNetConfig, MPNetModel, MPNetTokenizerFast

    tokenizer = train_wordpiece(["<s>", "<pad>", "</s>", "[UNK]", "<mask>"])
    template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    wrapped = MPNetTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **names(**{**ROBERTA_PIECES, "unk": "[UNK]"}),
    )
    config = MPNetConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH + wrapped.pad_token_id + 1,
        **sizes(),
        **no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    save(MPNetModel(config), wrapped, folder)


@another_family
def camembert(folder: Path) -> None:
    """Unigram between `<s>` and `</s>`, which are not the first in the vocabulary."""
    from transformers import CamembertConfig, CamembertModel, CamembertTokenizerFast

    specials = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"]
    tokenizer = train_unigram([*specials, "<s>", "</s>", "<mask>"])
    template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    wrapped = CamembertTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **names(**ROBERTA_PIECES),
    )
    config = CamembertConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
        max_position_embeddings=MAX_LENGTH + wrapped.pad_token_id + 1,
        type_vocab_size=1,
        **sizes(),
        **no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    save(CamembertModel(config), wrapped, folder)


@another_family
def mobilebert(folder: Path) -> None:
    """As BERT, with bottlenecks in its layers, and embeddings that include both neighbours."""
    from transformers import MobileBertConfig, MobileBertModel, MobileBertTokenizerFast

    wrapped = _bert_tokenizer(MobileBertTokenizerFast)
    config = MobileBertConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH,
        embedding_size=WIDTH // 2,
        intra_bottleneck_size=WIDTH // 2,
        num_feedforward_networks=2,
        **sizes(),
        **no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    save(MobileBertModel(config), wrapped, folder)


@another_family
def modernbert(folder: Path) -> None:
    """Byte-level BPE in `[CLS] … [SEP]`, rotary positions, every second layer attends locally."""
    from transformers import ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast

    tokenizer = train_byte_level(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ["[CLS]", "[SEP]"])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
        **names(**BERT_PIECES),
    )
    config = ModernBertConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        bos_token_id=wrapped.cls_token_id,
        eos_token_id=wrapped.sep_token_id,
        cls_token_id=wrapped.cls_token_id,
        sep_token_id=wrapped.sep_token_id,
        max_position_embeddings=MAX_LENGTH,
        global_attn_every_n_layers=2,
        local_attention=6,
        **sizes(),
        **no_dropout("attention_dropout", "embedding_dropout", "mlp_dropout"),
    )
    save(ModernBertModel(config), wrapped, folder)


@another_family
def bart(folder: Path) -> None:
    """Byte-level BPE, saved with its decoder and used by its encoder, position 0 is row 2."""
    from transformers import BartConfig, BartModel, BartTokenizerFast

    tokenizer = train_byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    wrapped = BartTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=NO_MAXIMUM,
        **names(**ROBERTA_PIECES),
    )
    config = BartConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
        decoder_start_token_id=wrapped.eos_token_id,
        max_position_embeddings=MAX_LENGTH,
        d_model=WIDTH,
        encoder_layers=LAYERS,
        decoder_layers=1,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=2 * WIDTH,
        decoder_ffn_dim=2 * WIDTH,
        **no_dropout("dropout", "attention_dropout", "activation_dropout"),
    )
    save(BartModel(config), wrapped, folder)


@another_family
def llama(folder: Path) -> None:
    """BPE that falls back to bytes, `<s> …`, no class token, no padding piece, rotary positions."""
    from transformers import LlamaConfig, LlamaModel, LlamaTokenizerFast

    tokenizer = train_byte_fallback(["<unk>", "<s>", "</s>"])
    template(tokenizer, "<s> $A", "<s> $A <s>:1 $B:1", ["<s>"])
    wrapped = LlamaTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=NO_MAXIMUM,
        **names(unk="<unk>", bos="<s>", eos="</s>"),
    )
    config = LlamaConfig(
        vocab_size=len(wrapped),
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
        max_position_embeddings=MAX_LENGTH,
        num_key_value_heads=1,
        **sizes(),
        **no_dropout("attention_dropout"),
    )
    save(LlamaModel(config), wrapped, folder)


@another_family
def qwen(folder: Path) -> None:
    """Byte-level BPE, padded on the left, no boundary pieces, rotary positions of its own base."""
    from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3Model

    end = "<|endoftext|>"
    wrapped = Qwen2TokenizerFast(
        tokenizer_object=train_byte_level([end, "<|im_start|>", "<|im_end|>"]),
        model_max_length=10 * MAX_LENGTH,
        padding_side="left",
        **names(eos=end, pad=end),
    )
    config = Qwen3Config(
        vocab_size=len(wrapped),
        eos_token_id=wrapped.eos_token_id,
        max_position_embeddings=MAX_LENGTH,
        num_key_value_heads=1,
        head_dim=WIDTH // HEADS,
        rope_theta=1_000_000.0,
        **sizes(),
        **no_dropout("attention_dropout"),
    )
    save(Qwen3Model(config), wrapped, folder)


def _bert_tokenizer(tokenizer_class: Any, **options: Any) -> Any:
    tokenizer = train_wordpiece(list(BERT_PIECES.values()))
    template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    return tokenizer_class(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **options,
        **names(**BERT_PIECES),
    )
