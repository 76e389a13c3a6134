"""Checkpoints made in the test session: a few thousand weights, tokenizers trained on one page.

A new family is one function under `@family`, which saves a model and a tokenizer of its own kind
into a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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

WIDTH = 16
LAYERS = 2
HEADS = 2
MAX_LENGTH = 48

FAMILIES: dict[str, Callable[[Path], None]] = {}


def family(build: Callable[[Path], None]) -> Callable[[Path], None]:
    """Register a builder under the name of its function."""
    FAMILIES[build.__name__] = build
    return build


def save_checkpoint(name: str, folder: Path) -> Path:
    """Make the checkpoint of a family; the same bits every time."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            FAMILIES[name](folder)
    finally:
        logging.enable_progress_bar()
    return folder


@family
def bert(folder: Path) -> None:
    """WordPiece, lower-casing, `[CLS] … [SEP]`, absolute positions, a pooler."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    tokenizer = _train_wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    _template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    wrapped = BertTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **_names(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]"),
    )
    config = BertConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH,
        **_sizes(),
        **_no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    _save(BertModel(config), wrapped, folder)


@family
def roberta(folder: Path) -> None:
    """Byte-level BPE, `<s> … </s>`, positions that start after the padding index."""
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = _train_byte_level(specials)
    _template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    wrapped = RobertaTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **_names(
            bos="<s>", eos="</s>", cls="<s>", sep="</s>", unk="<unk>", pad="<pad>", mask="<mask>"
        ),
    )
    config = RobertaConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH + wrapped.pad_token_id + 1,
        **_sizes(),
        **_no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    _save(RobertaModel(config), wrapped, folder)


@family
def xlnet(folder: Path) -> None:
    """Unigram, `… <sep> <cls>` with type ids 0 and 2, relative positions, no maximum."""
    from transformers import XLNetConfig, XLNetModel, XLNetTokenizerFast

    specials = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"]
    tokenizer = _train_unigram(specials)
    _template(tokenizer, "$A <sep> <cls>:2", "$A <sep> $B:1 <sep>:1 <cls>:2", ["<sep>", "<cls>"])
    wrapped = XLNetTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **_names(
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
        **_no_dropout("dropout", "summary_last_dropout"),
    )
    _save(XLNetModel(config), wrapped, folder)


@family
def xlm_roberta(folder: Path) -> None:
    """Unigram behind a normalizer that changes the length of the text, `<s> … </s>`."""
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = _train_unigram(specials)
    _template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])
    # The class of its own would put its own normalizer in the place of this one.
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=10**30,
        model_input_names=["input_ids", "attention_mask"],
        **_names(
            bos="<s>", eos="</s>", cls="<s>", sep="</s>", unk="<unk>", pad="<pad>", mask="<mask>"
        ),
    )
    config = XLMRobertaConfig(
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        max_position_embeddings=MAX_LENGTH + wrapped.pad_token_id + 1,
        **_sizes(),
        **_no_dropout("hidden_dropout_prob", "attention_probs_dropout_prob"),
    )
    _save(XLMRobertaModel(config), wrapped, folder)


@family
def gpt2(folder: Path) -> None:
    """Byte-level BPE, no boundary pieces, no padding piece, one direction."""
    from transformers import GPT2Config, GPT2Model, GPT2TokenizerFast

    end = "<|endoftext|>"
    tokenizer = _train_byte_level([end])
    wrapped = GPT2TokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **_names(bos=end, eos=end, unk=end),
    )
    config = GPT2Config(
        vocab_size=len(wrapped),
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
        n_positions=MAX_LENGTH,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        **_no_dropout("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    )
    _save(GPT2Model(config), wrapped, folder)


@family
def t5(folder: Path) -> None:
    """Unigram, `… </s>`, saved with its decoder and used by its encoder, relative positions."""
    from transformers import T5Config, T5Model, T5TokenizerFast

    specials = ["<pad>", "</s>", "<unk>"]
    tokenizer = _train_unigram(specials)
    _template(tokenizer, "$A </s>", "$A </s> $B </s>", ["</s>"])
    wrapped = T5TokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        extra_ids=0,
        **_names(eos="</s>", unk="<unk>", pad="<pad>"),
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
        **_no_dropout("dropout_rate"),
    )
    _save(T5Model(config), wrapped, folder)


def _train_wordpiece(specials: list[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=420, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(PAGE.splitlines(), trainer)
    return tokenizer


def _train_byte_level(specials: list[str]) -> Any:
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


def _train_unigram(specials: list[str]) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(PAGE.splitlines(), trainer)
    return tokenizer


def _template(tokenizer: Any, single: str, pair: str, specials: list[str]) -> None:
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[(piece, tokenizer.token_to_id(piece)) for piece in specials],
    )


def _names(**pieces: str) -> dict[str, str]:
    return {f"{name}_token": piece for name, piece in pieces.items()}


def _no_dropout(*fields: str) -> dict[str, float]:
    """So that training mode can be compared with another run, number by number."""
    return dict.fromkeys(fields, 0.0)


def _sizes() -> dict[str, int]:
    return {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * WIDTH,
    }


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    import torch

    # Initial weights are so small that every output looks alike; a comparison should not.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
