"""Tokenizers of every kind, with pieces of one page."""

from __future__ import annotations

from typing import Any

from learned_pieces import count_words, learn_bpe, learn_unigram, learn_wordpiece

PAGE = """
The tide had gone out and left the harbour to the gulls. Anna Berger counted the boats, as she did
every morning: eleven, twelve, and the blue one from Berlin that nobody had ever seen at sea. "It's
waiting for someone," her grandmother used to say. She didn't know for whom, and she hadn't asked.

Apple shares rose on the news. Apple sold fewer iPhones this quarter, but the company's services
grew by 12.5% to $24.2 billion. Analysts weren't surprised; they'd expected 11%. "We are pleased,"
said the chief executive. Apple pie, on the other hand, is delicious. Bake it at 180 degrees for
fifty minutes, let it cool, and serve it with cream.

Laced with dreams, dripping in reality, the American Dream reignites after 9.11 with a true story.
My name is Robert, and this is my contact: robert@example.com, or https://example.com/contact?id=7.
The well-known state-of-the-art model doesn't understand everything (nor do I). U.S. and U.K. laws
differ: in the E.U., it's another matter altogether! Is it? Yes... no. Perhaps.

Die Donau fließt durch Wien, Bratislava und Budapest. Über den Dächern der Stadt hängt der Nebel;
die Straßenbahn fährt trotzdem pünktlich. Der Überraschungsgast aß Käsespätzle und trank Apfelsaft.
L'été dernier, j'ai visité la Provence : les lavandes étaient en fleur. ¿Dónde está la biblioteca?

我住在北京。今天天气很好，我们去公园散步吧！他说：「学习语言很有意思。」
สวัสดีครับ ผมชื่อสมชาย วันนี้อากาศดีมาก เราไปเดินเล่นกันเถอะ
السلام عليكم، كيف حالك اليوم؟ أنا بخير والحمد لله. שלום עולם, מה שלומך?
Москва — столица России. Привет, как дела? नमस्ते दुनिया, आप कैसे हैं?
"""


def train_wordpiece(specials: list[str], unk: str = "[UNK]") -> Any:
    """WordPiece: lower-cased words without accents, matched from the left, `##` inside of words."""
    from tokenizers import normalizers, pre_tokenizers

    normalizer, pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = count_words(PAGE.splitlines(), normalizer, pre_tokenizer)
    model = learn_wordpiece(words, 420, specials, unk)
    return assemble(model, specials, normalizer, pre_tokenizer)


def train_byte_level(specials: list[str]) -> Any:
    """BPE over bytes. The space before a word is part of its pieces."""
    from tokenizers import decoders, pre_tokenizers

    pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = count_words([PAGE], None, pre_tokenizer)
    model = learn_bpe(words, 400, specials, pre_tokenizers.ByteLevel.alphabet())
    tokenizer = assemble(model, specials, None, pre_tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train_unigram(specials: list[str], unk: str = "<unk>") -> Any:
    """Unigram: the most likely pieces of a normalized text, `▁` for spaces."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    pre_tokenizer = pre_tokenizers.Metaspace()
    words = count_words(PAGE.splitlines(), normalizer, pre_tokenizer)
    return assemble(learn_unigram(words, 400, specials, unk), specials, normalizer, pre_tokenizer)


def train_character_level(specials: list[str], unk: str = "<unk>") -> Any:
    """BPE over the characters of lower-cased words. The last of a word ends with `</w>`."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(lowercase=True)
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = count_words(PAGE.splitlines(), normalizer, pre_tokenizer)
    model = learn_bpe(words, 420, specials, unk_token=unk, end_of_word_suffix="</w>")
    tokenizer = assemble(model, specials, normalizer, pre_tokenizer)
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    return tokenizer


def train_byte_fallback(specials: list[str], unk: str = "<unk>") -> Any:
    """BPE over characters with `▁` for spaces. Unknown characters become bytes."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    words = count_words(PAGE[:1500].splitlines(), None, pre_tokenizers.Metaspace())
    pieces = [*specials, *(f"<0x{byte:02X}>" for byte in range(256))]
    model = learn_bpe(words, 576, pieces, unk_token=unk, fuse_unk=True, byte_fallback=True)
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer = assemble(model, specials, normalizer, None)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", left=1),
        ]
    )
    return tokenizer


def assemble(model: Any, specials: list[str], normalizer: Any, pre_tokenizer: Any) -> Any:
    """Put a tokenizer together. Either of its first two steps may be None."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_special_tokens(specials)
    return tokenizer


def template(tokenizer: Any, single: str, pair: str, specials: list[str]) -> None:
    """Set the boundary pieces, as in `[CLS] $A [SEP]`."""
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[(piece, tokenizer.token_to_id(piece)) for piece in specials],
    )


def names(**pieces: str) -> dict[str, str]:
    """Return arguments of a Hugging Face tokenizer: `cls` -> `cls_token`."""
    return {f"{name}_token": piece for name, piece in pieces.items()}
