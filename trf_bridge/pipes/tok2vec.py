"""The component that runs the transformer and aligns its output to spaCy's tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from .. import errors
from ..align import Alignment, align, apply_alignment
from ..types import Activations, Array, Wordpieces
from ..wrappers.loading import read_json
from ..wrappers.model import get_shim, get_traits, sync_dims
from ..wrappers.shim import FORMAT, check_format
from .attrs import install_extensions
from .hooks import install_hooks
from .records import get_wordpieces, set_alignment, set_outputs, token_spans
from .storage import replacing
from .wordpiecer import TrfWordpiecer

SETTINGS = "tok2vec.json"

DEFAULT_MODEL = """
[model]
@architectures = "trf_bridge.TransformerModel.v1"
trf_name = ""
revision = null
words_per_batch = 3000
output_hidden_states = false
output_attentions = false
precision = "fp32"
trust_remote_code = false
"""


@Language.factory(
    "trf_tok2vec",
    assigns=[
        "doc.tensor",
        "doc._.trf_outputs",
        "doc._.trf_last_hidden_state",
        "doc._.trf_pooler_output",
        "doc._.trf_all_hidden_states",
        "doc._.trf_all_attentions",
    ],
    requires=["doc._.trf_word_pieces"],
    default_config={"model": Config().from_str(DEFAULT_MODEL)["model"]},
)
def make_trf_tok2vec(
    nlp: Language, name: str, model: Model[Sequence[Wordpieces], list[Activations]]
) -> TrfTok2Vec:
    """Make the component for a pipeline.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    model (Model): Wordpieces of each Doc -> Activations; see `TransformerModel`.
    RETURNS (TrfTok2Vec): The component.
    """
    return TrfTok2Vec(nlp.vocab, model, name)


class TrfTok2Vec(TrainablePipe):
    """Runs the transformer over the wordpieces of a Doc, and sets its outputs and `doc.tensor`."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model[Sequence[Wordpieces], list[Activations]],
        name: str = "trf_tok2vec",
    ) -> None:
        """Make the component.

        vocab (Vocab): The vocab of the pipeline.
        model (Model): Wordpieces of each Doc -> Activations.
        name (str): Name of the component.
        """
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {}
        install_extensions()

    def predict(
        self, docs: Iterable[Doc]
    ) -> tuple[list[Activations], list[Array], list[Alignment], list[Array]]:
        """Run the transformer over Docs without changing them.

        docs (iterable of Doc): Docs with wordpieces.
        RETURNS (tuple of four lists, each (n_docs,)): The activations; the token rows, each
            (n_tokens, width); the alignments; the token offsets that they were made for.
        RAISES (ValueError): TB010, TB011, TB015.
        """
        docs = list(docs)
        wordpieces = self._wordpieces(docs)
        activations = self.model.predict(wordpieces)
        spans = [token_spans(doc) for doc in docs]
        alignment = align([doc.text for doc in docs], spans, wordpieces)
        hidden = [a.last_hidden_state for a in activations if a.last_hidden_state is not None]
        tensors, _ = apply_alignment(self.model.ops, alignment, hidden)
        if len(docs) > 1:
            activations = [activation.copy() for activation in activations]
        return activations, tensors, alignment.split(), spans

    def set_annotations(
        self,
        docs: Iterable[Doc],
        predictions: tuple[list[Activations], list[Array], list[Alignment], list[Array]],
    ) -> None:
        """Set `doc.tensor`, the extension attributes and the hooks.

        docs (iterable of Doc): The Docs; changed.
        predictions: What `predict` returned for them.
        """
        for doc, activations, tensor, alignment, spans in zip(docs, *predictions, strict=True):
            doc.tensor = tensor
            set_outputs(doc, activations)
            set_alignment(doc, alignment, spans)
            install_hooks(doc)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]] | None = None,
        *,
        nlp: Language | None = None,
    ) -> None:
        """Load the weights of the checkpoint, unless there are weights already.

        get_examples (callable): Not used.
        nlp (Language): The pipeline.
        RAISES (ValueError): TB001, TB002, TB003, TB007, TB012, TB013, TB016.
        """
        if not self.model.attrs["trf_name"] and not get_shim(self.model).loaded:
            raise ValueError(errors.TB001.format(name=self.name, field="model.trf_name"))
        self.model.initialize()
        for _, component in nlp.pipeline if nlp is not None else []:
            if isinstance(component, TrfWordpiecer) and component.loaded:
                self._check_vocabulary(len(component.tokenizer.tokenizer), component.trf_name)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save config.json, model.safetensors and the settings that go with them.

        path (str, Path): The folder; replaced as a whole, and only once everything is written.
        exclude (iterable of str): Not used; there is no vocab here.
        RAISES (ValueError): TB010.
        """
        get_traits(self.model)
        with replacing(Path(path)) as folder:
            srsly.write_json(folder / SETTINGS, {"format": FORMAT})
            get_shim(self.model).to_disk(folder)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> TrfTok2Vec:
        """Load what `to_disk` saved.

        path (str, Path): The folder.
        exclude (iterable of str): Not used.
        RETURNS (TrfTok2Vec): Itself.
        RAISES (ValueError): TB003, TB005, TB006, TB012, TB013.
        """
        folder = Path(path)
        settings = read_json(folder / SETTINGS)
        check_format(settings.get("format"), folder / SETTINGS)
        get_shim(self.model).from_disk(folder)
        sync_dims(self.model)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the same files to bytes.

        exclude (iterable of str): Not used.
        RETURNS (bytes): The files, or a note that there are none yet.
        """
        return get_shim(self.model).to_bytes()

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> TrfTok2Vec:
        """Load what `to_bytes` serialized.

        bytes_data (bytes): The serialized component.
        exclude (iterable of str): Not used.
        RETURNS (TrfTok2Vec): Itself.
        RAISES (ValueError): TB003, TB005, TB012, TB013.
        """
        shim = get_shim(self.model).from_bytes(bytes_data)
        if shim.loaded:
            sync_dims(self.model)
        return self

    def _wordpieces(self, docs: Sequence[Doc]) -> list[Wordpieces]:
        found = []
        for doc in docs:
            wordpieces = get_wordpieces(doc)
            if wordpieces is None:
                raise ValueError(errors.TB011.format(n_tokens=len(doc), name=self.name))
            found.append(wordpieces)
        return found

    def _check_vocabulary(self, n_vocab: int, tokenizer_name: str) -> None:
        n_rows = get_traits(self.model).n_rows
        if n_vocab > n_rows:
            message = errors.TB007.format(
                tokenizer_name=tokenizer_name,
                model_name=self.model.attrs["trf_name"],
                n_vocab=n_vocab,
                n_rows=n_rows,
            )
            raise ValueError(message)
