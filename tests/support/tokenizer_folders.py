"""Folders with a tokenizer.json and a class that would build another tokenizer.

Each has settings of published checkpoints: a WordPiece vocabulary with the class of RoBERTa, a
lower-casing file with settings that keep case, Llama's settings for boundary pieces.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from tiny_tokenizers import (
    names,
    template,
    train_byte_fallback,
    train_byte_level,
    train_unigram,
    train_wordpiece,
)

BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BERT_NAMES = names(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")


class Made(NamedTuple):
    """One folder.

    model_type (str): In config.json.
    tokenizer (tokenizers.Tokenizer): Saved as tokenizer.json.
    settings (dict): Saved as tokenizer_config.json; None for no such file.
    expected (tokenizers.Tokenizer): What transformers 4.57 reads from the folder.
    special (dict): The special tokens that it reads.
    type_ids (bool): Whether it returns type ids.
    """

    model_type: str
    tokenizer: Any
    settings: dict[str, Any] | None
    expected: Any
    special: dict[str, str]
    type_ids: bool


@cache
def wordpiece() -> Any:
    tokenizer = train_wordpiece(BERT_SPECIALS)
    template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    return tokenizer


def copy(tokenizer: Any, change: Callable[[Any], None] = lambda copied: None) -> Any:
    from tokenizers import Tokenizer

    copied = Tokenizer.from_str(tokenizer.to_str())
    change(copied)
    return copied


def include_space(mask: str, tokenizer: Any) -> None:
    """Let the mask include the space before it, as the classes of these models do."""
    from tokenizers import AddedToken

    tokenizer.add_special_tokens([AddedToken(mask, lstrip=True, normalized=False)])


def wordpiece_as(tokenizer_class: str, model_type: str, *, type_ids: bool) -> Made:
    tokenizer = wordpiece()
    bos = {"bos_token": "[CLS]", "eos_token": "[SEP]"}
    settings = {"tokenizer_class": tokenizer_class, **BERT_NAMES, **bos, "do_lower_case": True}
    special = {**BERT_NAMES, **bos}
    return Made(model_type, tokenizer, settings, copy(tokenizer), special, type_ids)


def bert_with_case(settings: dict[str, Any] | None, **normalizer: Any) -> Made:
    """The file strips accents and keeps Chinese characters together; the class has its own."""
    from tokenizers import normalizers

    tokenizer = copy(wordpiece())
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=False, strip_accents=True, handle_chinese_chars=False, clean_text=False
    )

    def change(copied: Any) -> None:
        copied.normalizer = normalizers.BertNormalizer(clean_text=False, **normalizer)

    return Made("bert", tokenizer, settings, copy(tokenizer, change), BERT_NAMES, True)


def roberta_with_space(*, in_file: bool, settings: dict[str, Any] | None, wanted: bool) -> Made:
    from tokenizers import pre_tokenizers

    tokenizer = train_byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=in_file)

    def change(copied: Any) -> None:
        copied.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=wanted)
        include_space("<mask>", copied)

    special = names(bos="<s>", eos="</s>", cls="<s>", sep="</s>", unk="<unk>", pad="<pad>")
    special["mask_token"] = "<mask>"
    return Made("roberta", tokenizer, settings, copy(tokenizer, change), special, False)


def llama(settings: dict[str, Any], single: str, pair: str, specials: list[str]) -> Made:
    """The normalizer of the first Llama, which the class of transformers 5 replaces."""
    tokenizer = train_byte_fallback(["<unk>", "<s>", "</s>"])
    template(tokenizer, "<s> $A </s>", "<s> $A </s> $B </s>", ["<s>", "</s>"])
    expected = copy(tokenizer)
    template(expected, single, pair, specials)
    special = names(unk="<unk>", bos="<s>", eos="</s>")
    settings = {"tokenizer_class": "LlamaTokenizer", **settings}
    return Made("llama", tokenizer, settings, expected, special, False)


def albert() -> Made:
    """A lower-casing file for a class that keeps accents by its own rules, and returns types."""
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = train_unigram(specials)
    template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    special = names(
        bos="[CLS]", eos="[SEP]", unk="<unk>", sep="[SEP]", pad="<pad>", cls="[CLS]", mask="[MASK]"
    )
    expected = copy(tokenizer, partial(include_space, "[MASK]"))
    return Made("albert", tokenizer, None, expected, special, True)


def added_tokens() -> Made:
    """Tokens that tokenizer_config.json adds, a truncation from the left, an unknown class."""
    from tokenizers import AddedToken

    tokenizer = copy(wordpiece())
    tokenizer.enable_truncation(20, direction="left")
    n_pieces = tokenizer.get_vocab_size()
    added = {"content": "harbour master", "lstrip": True, "rstrip": False, "normalized": False}
    added |= {"single_word": False, "special": False}
    settings = {
        "tokenizer_class": "TokenizersBackend",
        "added_tokens_decoder": {str(n_pieces): added},
        **BERT_NAMES,
    }

    def change(copied: Any) -> None:
        copied.no_truncation()
        copied.add_tokens([AddedToken("harbour master", lstrip=True, normalized=False)])

    return Made("bert", tokenizer, settings, copy(tokenizer, change), BERT_NAMES, False)


BOS = ("<s> $A", "<s> $A <s>:1 $B:1", ["<s>"])
BOTH = ("<s> $A </s>", "<s> $A </s> <s>:1 $B:1 </s>:1", ["<s>", "</s>"])
NONE: tuple[str, str, list[str]] = ("$A", "$A $B:1", [])

FOLDERS: dict[str, Callable[[], Made]] = {
    "roberta-wordpiece": lambda: wordpiece_as("RobertaTokenizer", "roberta", type_ids=False),
    "xlm-roberta-wordpiece": lambda: wordpiece_as(
        "XLMRobertaTokenizer", "xlm-roberta", type_ids=False
    ),
    "deberta-wordpiece": lambda: wordpiece_as("DebertaV2Tokenizer", "deberta-v2", type_ids=True),
    "electra-wordpiece": lambda: wordpiece_as("ElectraTokenizerFast", "electra", type_ids=True),
    "mpnet-wordpiece": lambda: wordpiece_as("MPNetTokenizer", "mpnet", type_ids=False),
    "unnamed-wordpiece": lambda: wordpiece_as("PreTrainedTokenizerFast", "bert", type_ids=True),
    "bert-cased": lambda: bert_with_case(
        {"do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": True},
        lowercase=False,
        strip_accents=False,
        handle_chinese_chars=True,
    ),
    "bert-defaults": lambda: bert_with_case(
        None, lowercase=True, strip_accents=None, handle_chinese_chars=True
    ),
    "roberta-space": lambda: roberta_with_space(
        in_file=False, settings={"add_prefix_space": True}, wanted=True
    ),
    "roberta-no-space": lambda: roberta_with_space(in_file=True, settings=None, wanted=False),
    "llama": lambda: llama({}, *BOS),
    "llama-both": lambda: llama({"add_eos_token": True}, *BOTH),
    "llama-none": lambda: llama({"add_bos_token": False}, *NONE),
    "albert": albert,
    "added-tokens": added_tokens,
}


@cache
def _build(name: str) -> Made:
    return FOLDERS[name]()


def save_folder(name: str, folder: Path) -> Made:
    """Write the files of a folder, without weights.

    name (str): A key of `FOLDERS`.
    folder (Path): An existing folder.
    RETURNS (Made): What was written, and what is expected.
    """
    made = _build(name)
    config = {"model_type": made.model_type, "vocab_size": made.tokenizer.get_vocab_size()}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf8")
    made.tokenizer.save(str(folder / "tokenizer.json"))
    if made.settings is not None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(made.settings), encoding="utf8")
    return made
