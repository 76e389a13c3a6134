"""Tokenizers of every make: normalizers, pre-tokenizers, models and post-processors in odd company.

None of them belongs to a model of `tiny`. A new one is one function under `@odd`, which returns a
tokenizer of the `tokenizers` library; those that learn their pieces learn them from one page.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from learned_pieces import count_words, learn_bpe, learn_unigram, learn_wordpiece
from tiny_tokenizers import PAGE, assemble
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

SPECIALS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<|endoftext|>"]

# As GPT-4's, Qwen's and Llama 3's tokenizers cut: letters, up to three digits, symbols, spaces.
MODERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

ODD: dict[str, Callable[[], Tokenizer]] = {}


def odd(build: Callable[[], Tokenizer]) -> Callable[[], Tokenizer]:
    """Register a builder under the name of its function."""
    ODD[build.__name__] = build
    return build


@cache
def load_odd(name: str) -> Any:
    """The tokenizer as transformers wraps it; not to be changed."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = ODD[name]()
    known = tokenizer.get_vocab()
    names = {"unk": "[UNK]", "pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    given = {f"{key}_token": piece for key, piece in names.items() if piece in known}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **given)


# Normalizers


@odd
def prepends() -> Tokenizer:
    """As Llama 2: a mark before the text and for every space, and bytes for what is unknown."""
    tokenizer = _bytes_for_unknown()
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return tokenizer


@odd
def deletes() -> Tokenizer:
    """Vowels, digits and everything invisible are gone before the model sees the text."""
    normalizer = normalizers.Replace(Regex(r"[aeiou0-9\p{C}\p{Zs}]"), "")
    return _wordpiece(normalizer, pre_tokenizers.BertPreTokenizer())


@odd
def expands() -> Tokenizer:
    """One character becomes many, and some of those are spaces."""
    normalizer = normalizers.Sequence(
        [
            normalizers.Replace("a", " a b c "),
            normalizers.Replace("。", " full stop "),
            normalizers.Replace("\n", " [SEP] "),
            normalizers.NFKD(),
        ]
    )
    return _wordpiece(normalizer, pre_tokenizers.Whitespace())


@odd
def strips() -> Tokenizer:
    """White space at both ends and accents are dropped, letters lower-cased, forms composed."""
    normalizer = normalizers.Sequence(
        [
            normalizers.Strip(),
            normalizers.NFD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.NFKC(),
        ]
    )
    return _wordpiece(normalizer, pre_tokenizers.BertPreTokenizer())


@odd
def nmt() -> Tokenizer:
    """The rules of sentencepiece's NMT normalizer, spaces folded."""
    normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    return _unigram(normalizer, pre_tokenizers.Metaspace())


# Pre-tokenizers


@odd
def metaspace_first() -> Tokenizer:
    return _unigram(None, pre_tokenizers.Metaspace(prepend_scheme="first"))


@odd
def metaspace_never_split() -> Tokenizer:
    return _unigram(None, pre_tokenizers.Metaspace(prepend_scheme="never", split=False))


@odd
def metaspace_after_whitespace() -> Tokenizer:
    """As T5's older files: words without their spaces, each with a mark of its own."""
    return _unigram(
        None,
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    )


@odd
def modern() -> Tokenizer:
    """As GPT-4, Qwen and Llama 3: cut by a pattern, then bytes, no boundary pieces."""
    tokenizer = _byte_level(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(MODERN), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    )
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


@odd
def scripts_and_digits() -> Tokenizer:
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.UnicodeScripts(),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation("merged_with_previous"),
            pre_tokenizers.Metaspace(),
        ]
    )
    return _unigram(None, pre_tokenizer)


@odd
def removes_spaces_and_dots() -> Tokenizer:
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.CharDelimiterSplit("."),
            pre_tokenizers.Split(" ", "removed"),
            pre_tokenizers.Split("e", "merged_with_next"),
        ]
    )
    return _wordpiece(None, pre_tokenizer)


@odd
def not_cut_at_all() -> Tokenizer:
    """As Gemma: the whole text goes into the model, spaces replaced by a mark."""
    tokenizer = _bytes_for_unknown()
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    return tokenizer


# Models


@odd
def word_level() -> Tokenizer:
    pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words = count_words(PAGE.splitlines(), None, pre_tokenizer)
    frequent = sorted(words, key=lambda word: (-words[word], word))
    vocabulary = {piece: i for i, piece in enumerate([*SPECIALS, *frequent][:200])}
    model = models.WordLevel(vocabulary, unk_token="[UNK]")
    return _surround(assemble(model, SPECIALS, None, pre_tokenizer), "[CLS] $A [SEP]")


@odd
def characters() -> Tokenizer:
    """One piece for each known character, NUL and white space among them; the rest is dropped."""
    known = sorted(set(PAGE) | set("\x00\r\n\t\u200b\u00a0"))
    vocabulary = {piece: i for i, piece in enumerate([*SPECIALS, *known])}
    return _surround(Tokenizer(models.BPE(vocabulary, [])), "<s> $A")


@odd
def fused_unknowns() -> Tokenizer:
    """A run of unknown characters is one piece."""
    vocabulary = {piece: i for i, piece in enumerate([*SPECIALS, *"abcdefghijklmnop "])}
    return Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]", fuse_unk=True))


@odd
def end_of_word() -> Tokenizer:
    """As GPT-1: characters joined up to a mark at the end of each word."""
    normalizer, pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = count_words([PAGE], normalizer, pre_tokenizer)
    model = learn_bpe(words, 400, SPECIALS, unk_token="[UNK]", end_of_word_suffix="</w>")
    tokenizer = assemble(model, SPECIALS, normalizer, pre_tokenizer)
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return tokenizer


@odd
def short_words_only() -> Tokenizer:
    """Longer words are unknown as a whole."""
    tokenizer = _wordpiece(normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer())
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=6)
    return tokenizer


# Post-processors


@odd
def roberta_trimmed() -> Tokenizer:
    return _roberta(trim_offsets=True, add_prefix_space=True)


@odd
def roberta_untrimmed() -> Tokenizer:
    return _roberta(trim_offsets=False, add_prefix_space=False)


@odd
def bert_processing() -> Tokenizer:
    tokenizer = _wordpiece(normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer())
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


@odd
def many_boundary_pieces() -> Tokenizer:
    tokenizer = _unigram(normalizers.NFKC(), pre_tokenizers.Metaspace())
    return _surround(tokenizer, "[CLS]:1 <s> <s> $A [SEP] </s> [SEP]:3")


@odd
def boundary_behind_only() -> Tokenizer:
    return _surround(_byte_level(pre_tokenizers.ByteLevel()), "$A </s> [CLS]")


# Added tokens


@odd
def greedy_special_tokens() -> Tokenizer:
    """Special tokens that swallow the space around them, or are only recognized as whole words."""
    tokenizer = _byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.add_special_tokens(
        [
            AddedToken("[MASK]", lstrip=True, special=True),
            AddedToken("[SEP]", rstrip=True, special=True),
            AddedToken("<|endoftext|>", lstrip=True, rstrip=True, special=True),
            AddedToken("</s>", single_word=True, special=True),
            AddedToken("<s>", normalized=True, special=True),
        ]
    )
    return _surround(tokenizer, "[CLS] $A [SEP]")


@odd
def added_words() -> Tokenizer:
    """Words of the user's own, with spaces inside, and spaces around them swallowed."""
    tokenizer = _wordpiece(normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer())
    tokenizer.add_tokens(
        [
            AddedToken("is delicious", normalized=True),
            AddedToken("don't", lstrip=True, rstrip=True),
            AddedToken("  ", normalized=False),
            AddedToken("\r\n", normalized=False, lstrip=True),
            AddedToken("北京", single_word=True),
            AddedToken("a", single_word=True, rstrip=True),
        ]
    )
    return tokenizer


def _wordpiece(normalizer: Any, pre_tokenizer: Any) -> Tokenizer:
    words = count_words(PAGE.splitlines(), normalizer, pre_tokenizer)
    model = learn_wordpiece(words, 300, SPECIALS, "[UNK]")
    return _surround(assemble(model, SPECIALS, normalizer, pre_tokenizer), "[CLS] $A [SEP]")


def _byte_level(pre_tokenizer: Any) -> Tokenizer:
    words = count_words([PAGE], None, pre_tokenizer)
    model = learn_bpe(words, 400, SPECIALS, pre_tokenizers.ByteLevel.alphabet())
    tokenizer = assemble(model, SPECIALS, None, pre_tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _bytes_for_unknown() -> Tokenizer:
    """BPE on characters, which falls back to pieces for single bytes."""
    words = count_words([PAGE[:900].replace(" ", "▁")], None, None)
    pieces = [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))]
    model = learn_bpe(words, 600, pieces, unk_token="[UNK]", fuse_unk=True, byte_fallback=True)
    return _surround(assemble(model, SPECIALS, None, None), "<s> $A")


def _unigram(normalizer: Any, pre_tokenizer: Any) -> Tokenizer:
    words = count_words(PAGE.splitlines(), normalizer, pre_tokenizer)
    model = learn_unigram(words, 400, SPECIALS, "[UNK]")
    return _surround(assemble(model, SPECIALS, normalizer, pre_tokenizer), "$A </s>")


def _roberta(*, trim_offsets: bool, add_prefix_space: bool) -> Tokenizer:
    tokenizer = _byte_level(pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space))
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", SPECIALS.index("</s>")),
        ("<s>", SPECIALS.index("<s>")),
        trim_offsets=trim_offsets,
        add_prefix_space=add_prefix_space,
    )
    return tokenizer


def _surround(tokenizer: Tokenizer, template: str) -> Tokenizer:
    pieces = [part.partition(":")[0] for part in template.split() if part != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template,
        special_tokens=[(piece, tokenizer.token_to_id(piece)) for piece in dict.fromkeys(pieces)],
    )
    return tokenizer
