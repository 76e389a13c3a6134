"""The component that splits Docs into the wordpieces of a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from .. import errors
from ..settings import WordpiecerSettings, defaults_of, takes_settings
from ..types import Wordpieces
from ..wrappers.configs import load_config, max_length
from ..wrappers.files import (
    FORMAT,
    check_format,
    files_from_bytes,
    files_to_bytes,
    read_json,
    save_files,
)
from ..wrappers.tokenizers.loading import load_saved_tokenizer, load_tokenizer
from ..wrappers.tokenizers.tokenizer import WordpieceTokenizer
from .doc.attributes import install_extensions
from .doc.inputs import find_inputs
from .doc.pairs import copy_separators
from .doc.records import set_wordpieces
from .sentencizer import has_default_rules
from .storage import replacing
from .streams import annotate_stream
from .tokenizing import tokenize_docs

SETTINGS = "wordpiecer.json"
TOKENIZER = "tokenizer"


@Language.factory(
    "trf_wordpiecer",
    assigns=["doc._.trf_word_pieces", "doc._.trf_word_pieces_", "doc._.trf_alignment"],
    default_config=defaults_of(WordpiecerSettings),
)
@takes_settings(WordpiecerSettings)
def make_trf_wordpiecer(nlp: Language, name: str, **settings: Any) -> TrfWordpiecer:
    """Create the component for a pipeline.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    **settings: Fields of `WordpiecerSettings`.
    RETURNS (TrfWordpiecer): The component.
    RAISES (ValueError, TypeError): TB008, TB009, TB037.
    """
    return TrfWordpiecer(nlp.vocab, name, **settings)


class TrfWordpiecer(Pipe):
    """Splits each sentence of a Doc into wordpieces, with the tokenizer of the checkpoint."""

    def __init__(self, vocab: Vocab, name: str = "trf_wordpiecer", **settings: Any) -> None:
        """Create the component.

        vocab (Vocab): The vocab of the pipeline.
        name (str): Name of the component.
        **settings: Fields of `WordpiecerSettings`.
        RAISES (ValueError, TypeError): TB008, TB009, TB037.
        """
        self.vocab = vocab
        self.name = name
        checked = WordpiecerSettings(**settings)
        self.trf_name = checked.trf_name
        self.revision = checked.revision
        self.trust_remote_code = checked.trust_remote_code
        self.sentences = checked.sentences
        self.max_length = checked.max_length
        self.overflow = checked.overflow
        self.stride = checked.stride
        self.window_rows = checked.window_rows
        self.split_special_tokens = checked.split_special_tokens
        self.by_token = checked.by_token
        self.separator = checked.separator
        self._tokenizer: WordpieceTokenizer | None = None
        self._model_limit: int | None = None
        install_extensions()

    @property
    def tokenizer(self) -> WordpieceTokenizer:
        """Return the tokenizer of the checkpoint.

        RETURNS (WordpieceTokenizer): The tokenizer.
        RAISES (ValueError): TB010 if it is not loaded.
        """
        if self._tokenizer is None:
            raise ValueError(errors.TB010.format(name=self.name, what="tokenizer"))
        return self._tokenizer

    @property
    def loaded(self) -> bool:
        """Return whether the tokenizer is loaded."""
        return self._tokenizer is not None

    def __call__(self, doc: Doc) -> Doc:
        """Split one Doc into wordpieces.

        doc (Doc): The Doc; changed.
        RETURNS (Doc): The same Doc.
        RAISES (ValueError): TB010.
        """
        try:
            self.set_annotations([doc], self.predict([doc]))
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Split a stream of Docs into wordpieces. Batches are smaller where Docs are long.

        stream (iterable of Doc): The Docs; changed.
        batch_size (int): The maximum number of Docs in a batch.
        YIELDS (Doc): The same Docs, in order.
        """
        return annotate_stream(self, stream, batch_size)

    def predict(self, docs: Sequence[Doc]) -> list[Wordpieces]:
        """Split Docs into wordpieces without changing them.

        docs (sequence of Doc, (n_docs,)): The Docs.
        RETURNS (list of Wordpieces, (n_docs,)): The wordpieces of each.
        RAISES (ValueError, TypeError): TB009, TB010, TB032, TB037; TB035, TB036 for what a function
            in `sentences` returned.
        WARNS: TB101, once, if an input is truncated; TB104, once, if the place of a wordpiece in
            the text is in doubt; TB105 if a function in `sentences` left out tokens; TB106 for
            separators that separate nothing.
        """
        inputs = find_inputs(docs, self.sentences, self.separator, self.name)
        return tokenize_docs(self.tokenizer, inputs)

    def set_annotations(self, docs: Iterable[Doc], wordpieces: Iterable[Wordpieces]) -> None:
        """Store the wordpieces on the Docs.

        docs (iterable of Doc): The Docs; changed.
        wordpieces (iterable of Wordpieces): The wordpieces of each.
        """
        for doc, pieces in zip(docs, wordpieces, strict=True):
            set_wordpieces(doc, pieces)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Any = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Split the predicted Docs of a training batch into the wordpieces that prediction sees.

        The component learns nothing, so it needs no place among the annotating components of a
        training config.

        examples (iterable of Example): The batch; the predicted Docs are changed. A separator that
            is set on a reference alone is copied to its predicted Doc.
        drop, sgd: Not used.
        losses (dict): Returned unchanged.
        RETURNS (dict): The losses.
        """
        examples = list(examples)
        copy_separators(examples, self.separator)
        docs = [example.predicted for example in examples]
        self.set_annotations(docs, self.predict(docs))
        return {} if losses is None else losses

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]] | None = None,
        *,
        nlp: Language | None = None,
    ) -> None:
        """Load the tokenizer of the checkpoint, unless it is loaded already.

        get_examples (callable): Not used.
        nlp (Language): The pipeline.
        RAISES (ValueError): TB001, TB002, TB004, TB016, TB033.
        WARNS: TB109 if training would see other sentences than prediction.
        """
        if nlp is not None:
            self._check_sentences(nlp)
        if self._tokenizer is not None:
            return
        trf_name, revision = self.trf_name, self.revision
        if not trf_name:
            trf_name, revision = _checkpoint_of_others(nlp)
        if not trf_name:
            raise ValueError(errors.TB001.format(name=self.name, field="trf_name"))
        trust = self.trust_remote_code
        config = load_config(trf_name, revision=revision, trust_remote_code=trust)
        tokenizer = load_tokenizer(trf_name, revision=revision, trust_remote_code=trust)
        limit = max_length(config, tokenizer, trust_remote_code=trust)
        self._set_tokenizer(tokenizer, limit)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the tokenizer's own files and the settings that belong to them.

        path (str, Path): The folder; replaced as a whole, once everything is written.
        exclude (iterable of str): Not used; the component has no vocab.
        RAISES (ValueError): TB010.
        """
        with replacing(Path(path)) as folder:
            srsly.write_json(folder / SETTINGS, self._saved_settings())
            (folder / TOKENIZER).mkdir()
            save_files(self.tokenizer.tokenizer, folder / TOKENIZER)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> TrfWordpiecer:
        """Load what `to_disk` saved.

        path (str, Path): The folder.
        exclude (iterable of str): Not used.
        RETURNS (TrfWordpiecer): Itself.
        RAISES (ValueError): TB004, TB005, TB006.
        """
        folder = Path(path)
        settings = read_json(folder / SETTINGS)
        check_format(settings.get("format"), folder / SETTINGS)
        self._load(folder / TOKENIZER, settings, folder / SETTINGS)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the same files to bytes.

        exclude (iterable of str): Not used.
        RETURNS (bytes): The files, or a note that the tokenizer is not loaded.
        """
        files = None if self._tokenizer is None else files_to_bytes(self._tokenizer.tokenizer)
        message = {"settings": None if files is None else self._saved_settings(), "files": files}
        serialized: bytes = srsly.msgpack_dumps(message)
        return serialized

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> TrfWordpiecer:
        """Load what `to_bytes` serialized.

        bytes_data (bytes): The serialized component.
        exclude (iterable of str): Not used.
        RETURNS (TrfWordpiecer): Itself.
        RAISES (ValueError): TB004, TB005, TB006.
        """
        message = srsly.msgpack_loads(bytes_data)
        if message["files"] is not None:
            where = f"the serialized component '{self.name}'"
            check_format(message["settings"].get("format"), where)
            with files_from_bytes(message["files"]) as folder:
                self._load(folder, message["settings"], where)
        return self

    def _check_sentences(self, nlp: Language) -> None:
        """Warn if a component before this one sets sentence boundaries that training does not see.

        Training sees the boundaries that annotating components set, and elsewhere those of spaCy's
        sentencizer with its default rules.
        """
        if self.sentences == "doc":
            return
        annotating = nlp.config["training"]["annotating_components"]
        for name, component in nlp.pipeline:
            if component is self:
                return
            sets_sentences = "token.is_sent_start" in nlp.get_pipe_meta(name).assigns
            if sets_sentences and name not in annotating and not has_default_rules(component):
                warnings.warn(errors.TB109.format(component=name, name=self.name), stacklevel=3)

    def _saved_settings(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "max_length": self._model_limit,
            "type_ids": self.tokenizer.type_ids,
        }

    def _load(self, folder: Path, settings: dict[str, Any], where: object) -> None:
        if not folder.is_dir() or not any(folder.iterdir()):
            raise ValueError(errors.TB006.format(path=folder, reason="the folder has no files"))
        try:
            limit, type_ids = settings["max_length"], settings["type_ids"]
        except KeyError as error:
            reason = f"the setting {error} is missing"
            raise ValueError(errors.TB006.format(path=where, reason=reason)) from error
        trust = self.trust_remote_code
        tokenizer = load_saved_tokenizer(folder, type_ids=type_ids, trust_remote_code=trust)
        self._set_tokenizer(tokenizer, limit, type_ids)

    def _set_tokenizer(
        self, tokenizer: Any, limit: int | None, type_ids: bool | None = None
    ) -> None:
        self._model_limit = limit
        limits = [length for length in (limit, self.max_length) if length is not None]
        self._tokenizer = WordpieceTokenizer(
            tokenizer,
            max_length=min(limits, default=None),
            overflow=self.overflow,
            stride=self.stride,
            split_special_tokens=self.split_special_tokens,
            type_ids=type_ids,
            window_rows=self.window_rows,
            by_token=self.by_token,
        )


def _checkpoint_of_others(nlp: Language | None) -> tuple[str, str | None]:
    """Return the checkpoint and revision in the config of another component of the pipeline."""
    for _, component in nlp.pipeline if nlp is not None else []:
        attrs = getattr(getattr(component, "model", None), "attrs", {})
        if attrs.get("trf_name"):
            return attrs["trf_name"], attrs.get("revision")
    return "", None
