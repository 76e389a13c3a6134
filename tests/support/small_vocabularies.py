"""Small vocabularies, saved as the files of published checkpoints: no tokenizer.json among them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from learned_pieces import count_words, learn_merges
from small_data import PASSAGES
from tiny_tokenizers import PAGE, train_byte_level

BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# Name -> class in transformers that reads the files.
SMALL_TOKENIZERS = {
    "bert-uncased": "BertTokenizerFast",
    "bert-cased": "BertTokenizerFast",
    "roberta": "RobertaTokenizerFast",
    "gpt2": "GPT2TokenizerFast",
    "openai-gpt": "OpenAIGPTTokenizerFast",
    "xlnet": "XLNetTokenizerFast",
    "t5": "T5TokenizerFast",
    "xlm-roberta": "XLMRobertaTokenizerFast",
}


def save_vocabulary(name: str, folder: Path) -> Path:
    """Train a vocabulary on the texts of the tests and save its files.

    name (str): A key of `SMALL_TOKENIZERS`.
    folder (Path): The folder.
    RETURNS (Path): The folder.
    """
    WRITERS[name](folder)
    if name.startswith("bert"):
        settings = {"do_lower_case": name == "bert-uncased"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf8")
    return folder


def training_lines() -> list[str]:
    """Return the texts that the vocabularies are trained on."""
    return [
        *PAGE.splitlines(),
        *(text for pairs in PASSAGES.values() for pair in pairs for text in pair),
    ]


def train_sentencepiece(**options: Any) -> bytes:
    """Train a unigram model with SentencePiece itself and return its file."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for line in training_lines() if line),
        model_writer=model,
        vocab_size=700,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    return model.getvalue()


def _wordpiece(lowercase: bool) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        from tokenizers import normalizers, pre_tokenizers

        normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        words = count_words(training_lines(), normalizer, pre_tokenizers.BertPreTokenizer())
        pieces, _ = learn_merges(words, 700, BERT_SPECIALS, prefix="##")
        (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf8")

    return write


def _byte_level(specials: list[str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        _save_bpe(json.loads(train_byte_level(specials).to_str())["model"], folder)

    return write


def _character_level(folder: Path) -> None:
    from tiny_tokenizers import train_character_level

    _save_bpe(json.loads(train_character_level(["<unk>"]).to_str())["model"], folder)


def _sentencepiece(file: str, **options: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / file).write_bytes(train_sentencepiece(**options))

    return write


def _save_bpe(model: dict[str, Any], folder: Path) -> None:
    """Save vocab.json and merges.txt."""
    merges = "".join(f"{' '.join(pair)}\n" for pair in model["merges"])
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf8")
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf8")


WRITERS: dict[str, Callable[[Path], None]] = {
    "bert-uncased": _wordpiece(lowercase=True),
    "bert-cased": _wordpiece(lowercase=False),
    "roberta": _byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]),
    "gpt2": _byte_level(["<|endoftext|>"]),
    "openai-gpt": _character_level,
    "xlnet": _sentencepiece(
        "spiece.model", control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]
    ),
    "t5": _sentencepiece("spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
    "xlm-roberta": _sentencepiece("sentencepiece.bpe.model", unk_id=0, bos_id=1, eos_id=2),
}


def load_small(folder: Path, name: str) -> Any:
    """Load the tokenizer of a saved vocabulary with its class in transformers."""
    import transformers

    options = {"do_lower_case": name == "bert-uncased"} if name.startswith("bert") else {}
    tokenizer = getattr(transformers, SMALL_TOKENIZERS[name]).from_pretrained(folder, **options)
    if name == "xlnet":
        convert_xlnet(tokenizer, folder)
    return tokenizer


def convert_xlnet(tokenizer: Any, folder: Path) -> None:
    """Give a tokenizer the rules of XLNet that the class of transformers 5 leaves out.

    They are those of its own converter, which transformers 4 uses.

    tokenizer (PreTrainedTokenizerBase): The tokenizer; changed.
    folder (Path): The folder with spiece.model.
    """
    from transformers.convert_slow_tokenizer import XLNetConverter

    source = SimpleNamespace(
        vocab_file=str(folder / "spiece.model"),
        do_lower_case=False,
        remove_space=True,
        keep_accents=False,
        convert_tokens_to_ids=tokenizer.convert_tokens_to_ids,
    )
    converted = XLNetConverter(source).converted()
    converted.add_special_tokens(list(tokenizer.added_tokens_decoder.values()))
    tokenizer._tokenizer = converted
