"""The piece encoders of spacy-curated-transformers as tokenizers of Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import srsly

from ... import errors

PREFIX = "spacy-curated-transformers."

# Encoder -> what it adds to the ids of SentencePiece, and the pieces in their place.
# SOURCE: the tokenizers of fairseq, which XLM-R and CamemBERT were trained with.
XLMR = ["<s>", "<pad>", "</s>", "<unk>"]
CAMEMBERT = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"]


def write_tokenizer(
    folder: Path, message: dict[str, Any], block: dict[str, Any], path: Path
) -> None:
    """Write the piece encoder of a model as a tokenizer.

    folder (Path): The folder of the checkpoint.
    message (dict): The model, from `read_model`.
    block (dict): The block of the model in the config.
    path (Path): The file of the model, for errors.
    RAISES (ValueError): TB070, TB073.
    """
    from transformers import PreTrainedTokenizerFast

    encoder = block.get("piece_encoder") or {}
    registered = str(encoder.get("@architectures", ""))
    kind = registered.removeprefix(PREFIX).partition(".")[0]
    build = BUILDERS.get(kind)
    if build is None:
        reason = f"its piece encoder is '{registered}'"
        raise ValueError(errors.TB073.format(path=path, reason=reason))
    attrs = {name: value for of_layer in message["attrs"] for name, value in of_layer.items()}
    try:
        tokenizer, names = build(attrs, kind)
    except ImportError as error:
        reason = f"its piece encoder needs pip install sentencepiece protobuf ({error})"
        raise ValueError(errors.TB070.format(path=path, reason=reason)) from error
    except Exception as error:  # tokenizers raises no narrower class
        reason = f"its piece encoder is not complete: {type(error).__name__}: {error}"
        raise ValueError(errors.TB070.format(path=path, reason=reason)) from error
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=int(block.get("model_max_length", 512)),
        **names,
    )
    wrapped.save_pretrained(str(folder))


def _build_wordpiece(attrs: dict[str, Any], kind: str) -> tuple[Any, dict[str, str]]:
    """Build the tokenizer of BERT. Only its own encoder splits words at punctuation."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer, WhitespaceSplit

    pieces = attrs["wordpiece_processor"].decode("utf8").split("\n")
    names = _special_names(attrs)
    model = WordPiece(
        {piece: i for i, piece in enumerate(pieces)},
        unk_token=names["unk_token"],
        max_input_chars_per_word=1_000_000,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = BertNormalizer(
        clean_text=False,
        handle_chinese_chars=False,
        strip_accents=_plain(attrs, "strip_accents"),
        lowercase=_plain(attrs, "lowercase"),
    )
    splits = kind == "BertWordpieceEncoder"
    tokenizer.pre_tokenizer = BertPreTokenizer() if splits else WhitespaceSplit()
    return _surround(tokenizer, names), names


def _build_byte_bpe(attrs: dict[str, Any], kind: str) -> tuple[Any, dict[str, str]]:
    """Build the tokenizer of RoBERTa."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    processor = srsly.msgpack_loads(attrs["byte_bpe_processor"])
    names = _special_names(attrs)
    merges = [(first, second) for first, second in processor["merges"]]
    tokenizer = Tokenizer(BPE(processor["vocab"], merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return _surround(tokenizer, names), names


def _build_sentencepiece(attrs: dict[str, Any], kind: str) -> tuple[Any, dict[str, str]]:
    """Build the tokenizer of XLM-R, CamemBERT or ALBERT."""
    from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
    from tokenizers import Regex, Tokenizer, normalizers
    from tokenizers.models import Unigram
    from tokenizers.pre_tokenizers import Metaspace

    content = attrs["sentencepiece_processor"]
    messages: Any = sentencepiece_model_pb2  # generated, without stubs
    proto = messages.ModelProto.FromString(content)
    processor = SentencePieceProcessor(model_proto=content)
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    unknown, ends = processor.unk_id(), [processor.bos_id(), processor.eos_id()]
    if kind == "XlmrSentencepieceEncoder":
        pieces, unknown, ends = [(p, 0.0) for p in XLMR] + pieces[3:], 3, [0, 2]
    elif kind == "CamembertSentencepieceEncoder":
        pieces, unknown = [(p, 0.0) for p in CAMEMBERT] + pieces[1:], 3
        ends = [end + 4 for end in ends]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=unknown))
    steps: list[Any] = [normalizers.Replace(Regex(" {2,}"), " ")]
    if proto.normalizer_spec.precompiled_charsmap:
        charsmap = proto.normalizer_spec.precompiled_charsmap
        steps.insert(0, normalizers.Precompiled(charsmap))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme="always")
    names = {
        "unk_token": pieces[unknown][0],
        "cls_token": pieces[ends[0]][0],
        "sep_token": pieces[ends[1]][0],
    }
    return _surround(tokenizer, names), names


BUILDERS = {
    "BertWordpieceEncoder": _build_wordpiece,
    "WordpieceEncoder": _build_wordpiece,
    "ByteBpeEncoder": _build_byte_bpe,
    "SentencepieceEncoder": _build_sentencepiece,
    "XlmrSentencepieceEncoder": _build_sentencepiece,
    "CamembertSentencepieceEncoder": _build_sentencepiece,
}


def _plain(attrs: dict[str, Any], name: str) -> Any:
    """Return an attribute that thinc saved as msgpack."""
    return srsly.msgpack_loads(attrs[name])


def _special_names(attrs: dict[str, Any]) -> dict[str, str]:
    """Return the special tokens of an encoder, by their names in transformers."""
    names = {"unk_token": "unk_piece", "cls_token": "bos_piece", "sep_token": "eos_piece"}
    return {name: str(_plain(attrs, piece)) for name, piece in names.items()}


def _surround(tokenizer: Any, names: dict[str, str]) -> Any:
    """Put the special tokens around a text."""
    from tokenizers.processors import TemplateProcessing

    first, last = names["cls_token"], names["sep_token"]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(piece, tokenizer.token_to_id(piece)) for piece in {first, last}],
    )
    return tokenizer
