"""Tokenizers of every kind, trained on one page."""

from __future__ import annotations

import json
from typing import Any

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
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=unk))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=420, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(PAGE.splitlines(), trainer)
    return tokenizer


def train_byte_level(specials: list[str]) -> Any:
    """BPE over bytes. The space before a word is part of its pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([PAGE], trainer)
    return tokenizer


def train_unigram(specials: list[str], unk: str = "<unk>") -> Any:
    """Unigram: the most likely pieces of a normalized text, `▁` for spaces."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=specials, unk_token=unk, show_progress=False
    )
    tokenizer.train_from_iterator(PAGE.splitlines(), trainer)
    return tokenizer


def train_character_level(specials: list[str], unk: str = "<unk>") -> Any:
    """BPE over the characters of lower-cased words. The last of a word ends with `</w>`."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=unk, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=specials,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(PAGE.splitlines(), trainer)
    return tokenizer


def train_byte_fallback(specials: list[str], unk: str = "<unk>") -> Any:
    """BPE over characters with `▁` for spaces. Unknown characters become bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE(unk_token=unk))
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=specials, show_progress=False)
    learner.train_from_iterator(PAGE[:1500].splitlines(), trainer)
    learned = json.loads(learner.to_str())["model"]
    pieces = [*specials, *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += [piece for piece in learned["vocab"] if piece not in specials]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: i for i, piece in enumerate(pieces)},
            merges=[tuple(merge) for merge in learned["merges"]],
            unk_token=unk,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", left=1),
        ]
    )
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
