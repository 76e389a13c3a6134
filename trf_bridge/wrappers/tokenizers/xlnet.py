"""The tokenizer of XLNet, converted from its SentencePiece vocabulary."""

from __future__ import annotations

import json
from typing import Any

# Pieces such as "1," are split by the original tokenizer. Their scores are lowered by this number.
PENALTY = 100.0


def restore_xlnet(tokenizer: Any) -> None:
    """Convert XLNet's vocabulary as transformers 4 does.

    transformers 5 keeps the scores of pieces that end with a number and a comma, and splits the
    text at white space before it is normalized.

    tokenizer (PreTrainedTokenizerBase): A tokenizer that transformers 5 built; changed.
    SOURCE: `XLNetConverter` and `check_number_comma` of transformers 4.57.
    """
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

    backend = tokenizer.backend_tokenizer
    content = json.loads(backend.to_str())
    for entry in content["model"]["vocab"]:
        piece = entry[0]
        if piece.endswith(",") and piece[-2:-1].isdigit():
            entry[1] -= PENALTY
    restored = Tokenizer.from_str(json.dumps(content))
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    restored.normalizer = normalizers.Sequence([restored.normalizer, spaces])
    restored.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer._tokenizer = restored
