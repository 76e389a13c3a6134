"""Checkpoints whose tokenizers are written in Python, made in the test session."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import tiny
from learned_pieces import count_words, learn_merges
from tiny_tokenizers import PAGE, train_wordpiece
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    PreTrainedTokenizer,
)

BUILDERS: dict[str, Callable[[Path], None]] = {}

MAX_LENGTH = tiny.MAX_LENGTH


def builder(build: Callable[[Path], None]) -> Callable[[Path], None]:
    """Register a builder under the name of its function."""
    BUILDERS[build.__name__] = build
    return build


def save_slow(name: str, folder: Path) -> Path:
    """Make a checkpoint; the same bits every time."""
    import torch
    from transformers.utils import logging

    register()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            BUILDERS[name](folder)
    finally:
        logging.enable_progress_bar()
    return folder


@builder
def xlm(folder: Path) -> None:
    """Character-level BPE behind Moses, without accents; `<s> … </s>`, no fast tokenizer at all."""
    from tokenizers import normalizers, pre_tokenizers
    from transformers import XLMConfig, XLMModel, XLMTokenizer

    specials = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{i}>" for i in range(10))]
    normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.NFD(), normalizers.StripAccents()]
    )
    words = count_words(PAGE.splitlines(), normalizer, pre_tokenizers.BertPreTokenizer())
    pieces, pairs = learn_merges(words, 400, specials, suffix="</w>")
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    vocab.write_text(json.dumps(pieces), encoding="utf8")
    merges.write_text("".join(f"{' '.join(pair)}\n" for pair in pairs), encoding="utf8")
    tokenizer = XLMTokenizer(str(vocab), str(merges), model_max_length=MAX_LENGTH)
    config = XLMConfig(
        vocab_size=len(tokenizer),
        emb_dim=tiny.WIDTH,
        n_layers=tiny.LAYERS,
        n_heads=tiny.HEADS,
        max_position_embeddings=MAX_LENGTH,
        dropout=0.0,
        attention_dropout=0.0,
        pad_index=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    _save(XLMModel(config), tokenizer, folder)


@builder
def bert_japanese(folder: Path) -> None:
    """WordPiece in Python, cased, `[CLS] … [SEP]`."""
    from transformers import BertJapaneseTokenizer

    vocab = folder / "vocab.txt"
    vocab.write_text("\n".join(_wordpieces()), encoding="utf8")
    tokenizer = BertJapaneseTokenizer(
        str(vocab),
        word_tokenizer_type="basic",
        do_lower_case=False,
        model_max_length=MAX_LENGTH,
    )
    _save(BertModel(_bert_config(BertConfig, len(tokenizer))), tokenizer, folder)


@builder
def byt5(folder: Path) -> None:
    """Bytes, without any vocabulary file; `… </s>`, the encoder of a model with a decoder."""
    from transformers import ByT5Tokenizer, T5Config, T5Model

    tokenizer = ByT5Tokenizer(extra_ids=0, model_max_length=1024)
    config = T5Config(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        d_model=tiny.WIDTH,
        d_kv=tiny.WIDTH // tiny.HEADS,
        d_ff=2 * tiny.WIDTH,
        num_layers=tiny.LAYERS,
        num_heads=tiny.HEADS,
        dropout_rate=0.0,
    )
    _save(T5Model(config), tokenizer, folder)


@builder
def own(folder: Path) -> None:
    """A tokenizer that a user wrote: letters with `@@` between them, a boundary at the end."""
    letters = sorted({char for char in PAGE.casefold() if not char.isspace()})
    names = ["<pad>", "<unk>", "<end>"]
    pieces = [*names, *letters, *(f"{letter}@@" for letter in letters)]
    (folder / OwnTokenizer.vocab_files_names["vocab_file"]).write_text(
        "\n".join(pieces), encoding="utf8"
    )
    tokenizer = OwnTokenizer(
        str(folder / "letters.txt"), unk_token="<unk>", pad_token="<pad>", eos_token="<end>"
    )
    _save(OwnModel(_bert_config(OwnConfig, len(tokenizer))), tokenizer, folder)


class OwnConfig(BertConfig):
    """The config of the user's model."""

    model_type = "own_letters"


class OwnModel(BertModel):
    """The user's model."""

    config_class = OwnConfig


class OwnTokenizer(PreTrainedTokenizer):
    """Casefolded letters; all but the last of a word end in `@@`."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "letters.txt"}
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]

    def __init__(self, vocab_file: str, **options: Any) -> None:
        pieces = Path(vocab_file).read_text(encoding="utf8").split("\n")
        self._ids = {piece: i for i, piece in enumerate(pieces)}
        self._pieces = pieces
        super().__init__(**options)

    @property
    def vocab_size(self) -> int:
        return len(self._pieces)

    def get_vocab(self) -> dict[str, int]:
        return {**self._ids, **self.get_added_vocab()}

    def _tokenize(self, text: str, **options: Any) -> list[str]:
        words = text.casefold().split()
        return [
            f"{letter}@@" if i < len(word) else letter
            for word in words
            for i, letter in enumerate(word, start=1)
        ]

    def _convert_token_to_id(self, token: str) -> int:
        return self._ids.get(token, self._ids["<unk>"])

    def _convert_id_to_token(self, index: int) -> str:
        return self._pieces[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return " ".join(tokens).replace("@@ ", "")

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        end = [self._ids["<end>"]]
        return token_ids_0 + end + (token_ids_1 + end if token_ids_1 else [])

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str]:
        path = Path(save_directory) / f"{filename_prefix or ''}letters.txt"
        path.write_text("\n".join(self._pieces), encoding="utf8")
        return (str(path),)


@cache
def register() -> None:
    """Register the user's classes with transformers, as a user would."""
    AutoConfig.register(OwnConfig.model_type, OwnConfig)
    AutoModel.register(OwnConfig, OwnModel)
    AutoTokenizer.register(OwnConfig, slow_tokenizer_class=OwnTokenizer)


def _wordpieces() -> list[str]:
    trained = train_wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    vocabulary = trained.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _bert_config(config_class: type[BertConfig], n_rows: int) -> BertConfig:
    return config_class(
        vocab_size=n_rows,
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=0,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **tiny.sizes(),
    )


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    assert not tokenizer.is_fast
    tiny.save(model, tokenizer, folder)
