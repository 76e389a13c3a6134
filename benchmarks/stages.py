"""The time of each stage of this project, measured by wrapped methods in separate rounds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

TOKENIZER = "spaCy's tokenizer"
SENTENCES = "sentence splitter"
WORDPIECES = "wordpieces"
BATCHES = "batches, padding and collecting rows"
MODEL = "model"
ALIGNMENT = "alignment and weighted sum"
ATTRIBUTES = "attributes and hooks"
OTHER = "other"
STAGES = [TOKENIZER, SENTENCES, WORDPIECES, BATCHES, MODEL, ALIGNMENT, ATTRIBUTES, OTHER]


class Clocks:
    """Store the seconds of each stage, without the stages that it calls."""

    def __init__(self) -> None:
        """Start at zero."""
        self.seconds: Counter[str] = Counter()
        self._inner: list[float] = []

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its time is added to a stage.

        stage (str): The stage.
        function (callable): The function.
        RETURNS (callable): The wrapped function.
        """

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - start
                self.seconds[stage] += seconds - self._inner.pop()
                if self._inner:
                    self._inner[-1] += seconds

        return timed


@contextmanager
def clocked(nlp: Any) -> Iterator[Clocks]:
    """Wrap the methods of a pipeline until the block ends.

    nlp (Language): A pipeline of `trf_bridge.from_pretrained`.
    YIELDS (Clocks): The clocks.
    """
    from trf_bridge.pipes import predictions

    pipes = dict(nlp.pipeline)
    splitter, wordpiecer = pipes["sentencizer"], pipes["trf_wordpiecer"]
    transformer = pipes["trf_tok2vec"]
    layer = transformer.model
    clocks = Clocks()
    with ExitStack() as stack:
        for owner, name, stage in [
            (nlp, "make_doc", TOKENIZER),
            (splitter, "predict", SENTENCES),
            (splitter, "set_annotations", SENTENCES),
            (wordpiecer, "predict", WORDPIECES),
            (wordpiecer, "set_annotations", ATTRIBUTES),
            (layer, "_func", BATCHES),
            (transformer.engine, "_run", MODEL),
            (predictions, "align", ALIGNMENT),
            (predictions, "apply_alignment", ALIGNMENT),
            (transformer, "set_annotations", ATTRIBUTES),
        ]:
            wrapped = clocks.wrap(stage, getattr(owner, name))
            stack.enter_context(patch.object(owner, name, wrapped))
        yield clocks


def stage_seconds(system: Any, texts: Sequence[str], batch_size: int | None) -> dict[str, Any]:
    """Run texts once and measure each stage.

    system (Bridge): The pipeline.
    texts (sequence of str): The texts.
    batch_size (int): Texts per batch; None for spaCy's default.
    RETURNS (dict): The seconds of each stage.
    """
    with clocked(system.nlp) as clocks:
        start = time.perf_counter()
        system.run(texts, batch_size)
        total = time.perf_counter() - start
    stages = {stage: clocks.seconds[stage] for stage in STAGES}
    stages[OTHER] = total - sum(stages.values())
    return {"stages": stages}


def alignment_seconds(system: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Measure the alignment and the weighted sum on documents that were processed before.

    The batches are as large as those of a run.

    system (Bridge): The pipeline.
    texts (sequence of str): The texts.
    RETURNS (dict): Seconds per wordpiece.
    """
    from trf_bridge.align import align, apply_alignment
    from trf_bridge.pipes.doc.records import get_wordpieces, token_spans
    from trf_bridge.pipes.streams import bounded_batches

    ops = system.nlp.get_pipe("trf_tok2vec").model.ops
    seconds, n_pieces = 0.0, 0
    for docs in bounded_batches(system.nlp.pipe(texts), len(texts)):
        rows = [doc._.trf_last_hidden_state for doc in docs]
        spans = [token_spans(doc) for doc in docs]
        pieces = [get_wordpieces(doc) for doc in docs]
        strings = [doc.text for doc in docs]
        start = time.perf_counter()
        apply_alignment(ops, align(strings, spans, pieces), rows)
        seconds += time.perf_counter() - start
        n_pieces += sum(map(len, pieces))
    return {"seconds": seconds / n_pieces}
