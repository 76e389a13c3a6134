"""Tiny checkpoints with heads of random weights, and what plain transformers computes with them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

TOKENS, TEXTS = "TokenClassification", "SequenceClassification"
IOB2 = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TOPICS = ["MARITIME", "BAKING", "OTHER"]


def save_trained(base: Path, folder: Path, task: str, labels: list[str], **fields: Any) -> Path:
    """Save a checkpoint of a family with a head, and return its folder.

    Other tasks than the two above are names of classes, such as "BertForMaskedLM".
    """
    import torch
    import transformers

    auto = getattr(transformers, f"AutoModelFor{task}", None) or getattr(transformers, task)
    names = {"id2label": dict(enumerate(labels)), "label2id": {x: i for i, x in enumerate(labels)}}
    shutil.copytree(base, folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = auto.from_pretrained(base, **names, **fields)
        inner = {id(weights) for weights in model.base_model.parameters()}
        with torch.no_grad():
            for weights in model.parameters():
                if id(weights) not in inner:
                    weights.normal_(0.0, 0.7)
    model.save_pretrained(folder)
    return folder


def load_pipeline(folder: Path, task: str, **options: Any) -> Any:
    """Return transformers' own pipeline for a checkpoint with a head."""
    import transformers
    from oracles import load_plain_tokenizer

    names = {TOKENS: "token-classification", TEXTS: "text-classification"}
    auto = getattr(transformers, f"AutoModelFor{task}")
    tokenizer = load_plain_tokenizer(folder)
    return transformers.pipeline(
        names[task], model=auto.from_pretrained(folder), tokenizer=tokenizer, **options
    )


def plain_tokens(plain: Any, doc: Any, aggregation: str) -> list[tuple[str, float] | None]:
    """Return the label and the score of each token by transformers' own rule for words.

    The words are spaCy's tokens, with the wordpieces that the slow alignment links to them. The
    whole Doc is one input.
    """
    import torch
    from oracles import align_doc, plain_sentences
    from transformers.pipelines.token_classification import AggregationStrategy

    strategy = AggregationStrategy["AVERAGE" if aggregation == "mean" else aggregation.upper()]
    whole = doc.copy()
    for token in whole:
        token.is_sent_start = token.i == 0
    (sentence,) = plain_sentences(whole, plain.tokenizer)
    with torch.inference_mode():
        logits = plain.model(input_ids=torch.tensor([sentence.ids])).logits[0]
    pieces = [
        {"word": piece, "scores": scores, "start": start, "end": end}
        for piece, scores, (start, end) in zip(
            plain.tokenizer.convert_ids_to_tokens(sentence.ids),
            logits.softmax(dim=-1).numpy(),
            sentence.offsets,
            strict=True,
        )
    ]
    found: list[tuple[str, float] | None] = []
    for rows in align_doc(whole, [sentence]):
        own = [pieces[row] for row in rows if not sentence.boundary[row]]
        word = plain.aggregate_word(own, strategy) if own else None
        found.append(None if word is None else (word["entity"], float(word["score"])))
    return found
