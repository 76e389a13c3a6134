"""A head with one listener, and the same loss in plain torch."""

from __future__ import annotations

from typing import Any

import numpy
import spacy
from spacy.training import Example
from thinc.api import Model
from tiny import WIDTH

LISTENER = {"@architectures": "trf_bridge.Tok2VecListener.v1"}


class TokenLoss:
    """A head whose loss is half the squared distance of the token rows to a pattern."""

    def __init__(self, listener: Any, scale: float = 1.0) -> None:
        self.name, self.scale = "token_loss", scale
        self.model: Any = Model("token_loss", lambda *args: None, layers=[listener])
        self.is_trainable = True

    def __call__(self, doc: Any) -> Any:
        return doc

    def update(
        self, examples: Any, *, sgd: Any = None, losses: Any = None, **kwargs: Any
    ) -> dict[str, float]:
        docs = [example.predicted for example in examples]
        rows, backprop = self.model.layers[0].begin_update(docs)
        backprop([self.scale * (row - numpy.cos(numpy.arange(WIDTH))).astype("f") for row in rows])
        return losses

    def finish_update(self, sgd: Any) -> None:
        self.model.finish_update(sgd)


@spacy.Language.factory("test_token_loss", default_config={"scale": 1.0, "listener": LISTENER})
def make_token_loss(nlp: Any, name: str, scale: float, listener: Any) -> TokenLoss:
    """Create the head for a pipeline."""
    return TokenLoss(listener, scale)


def plain_token_loss(plain: Any, doc: Any, scale: float = 1.0) -> Any:
    """Compute the same loss with torch for one Doc."""
    import torch

    rows = plain.token_rows(doc)
    return scale * 0.5 * ((rows - torch.cos(torch.arange(WIDTH))) ** 2).sum()


def text_examples(nlp: Any, texts: Any) -> list[Example]:
    """Make examples from raw texts."""
    return [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in texts]
