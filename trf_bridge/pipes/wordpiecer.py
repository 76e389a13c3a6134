"""The component that cuts Docs into the wordpieces of a model."""

from __future__ import annotations

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
from ..wrappers.tokenizers.tokenizer import WordpieceTokenizer, validate_overflow
from .doc.attributes import install_extensions
from .doc.inputs import SpansFunction, input_spans, validate_length, validate_sentences
from .doc.pairs import cut_docs_and_pairs, find_pairs, validate_separator
from .doc.records import set_wordpieces
from .doc.sentences import prediction_docs, updating_examples
from .storage import replacing
from .streams import annotate_stream

SETTINGS = "wordpiecer.json"
TOKENIZER = "tokenizer"


@Language.factory(
    "trf_wordpiecer",
    assigns=["doc._.trf_word_pieces", "doc._.trf_word_pieces_", "doc._.trf_alignment"],
    default_config={
        "trf_name": "",
        "revision": None,
        "sentences": "sents",
        "max_length": None,
        "overflow": "truncate",
        "stride": 128,
        "window_rows": "most_context",
        "split_special_tokens": False,
        "separator": None,
        "trust_remote_code": False,
    },
)
def make_trf_wordpiecer(
    nlp: Language,
    name: str,
    trf_name: str,
    revision: str | None,
    sentences: str | SpansFunction,
    max_length: int | None,
    overflow: str,
    stride: int,
    window_rows: str,
    split_special_tokens: bool,
    separator: str | None,
    trust_remote_code: bool,
) -> TrfWordpiecer:
    """Make the component for a pipeline.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    trf_name (str): A folder, or a name on the Hugging Face hub; "" for that of the pipeline's
        trf_tok2vec. Looked up once, by `nlp.initialize`.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    sentences (str, callable): What the model reads at once: the "sents" of a Doc, the whole "doc",
        or what a function says that takes Docs and returns the Spans of each.
    max_length (int): The most wordpieces of an input, boundary pieces included; at most the model's
        own maximum, which None stands for. Of a model that has none it is 4096.
    overflow (str): What becomes of an input past that length: "truncate" cuts it, "window" reads it
        in overlapping windows.
    stride (int): Wordpieces that neighbouring windows share; at most half a window.
    window_rows (str): What a wordpiece that several windows read gets: the rows of the window in
        which it has "most_context", or their "mean".
    split_special_tokens (bool): Whether a special token that is written out in a text, such as
        "[SEP]", is cut like any other text. False: it stands for itself, as in a plain call of the
        Hugging Face tokenizer. In both cases it is part of the text and belongs to the tokens that
        it overlaps; only what the tokenizer adds to a text is a boundary piece.
    separator (str): Text of the token that parts a Doc into a pair of texts, such as "|||"; None
        for none. A Doc's own `doc._.trf_separator` goes before.
    trust_remote_code (bool): Run code that the checkpoint brings with it.
    RETURNS (TrfWordpiecer): The component.
    RAISES (ValueError, TypeError): TB008, TB009, TB037.
    """
    return TrfWordpiecer(
        nlp.vocab,
        name,
        trf_name=trf_name,
        revision=revision,
        sentences=sentences,
        max_length=max_length,
        overflow=overflow,
        stride=stride,
        window_rows=window_rows,
        split_special_tokens=split_special_tokens,
        separator=separator,
        trust_remote_code=trust_remote_code,
    )


class TrfWordpiecer(Pipe):
    """Cuts each sentence of a Doc into wordpieces, with the tokenizer of the checkpoint."""

    def __init__(
        self,
        vocab: Vocab,
        name: str = "trf_wordpiecer",
        *,
        trf_name: str = "",
        revision: str | None = None,
        sentences: str | SpansFunction = "sents",
        max_length: int | None = None,
        overflow: str = "truncate",
        stride: int = 128,
        window_rows: str = "most_context",
        split_special_tokens: bool = False,
        separator: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Make the component; see `make_trf_wordpiecer` for the options.

        RAISES (ValueError, TypeError): TB008, TB009, TB037.
        """
        validate_sentences(sentences)
        validate_overflow(overflow, window_rows)
        shared = "It is the number of wordpieces that neighbouring windows share."
        validate_length("stride", stride, shared, least=0)
        if max_length is not None:
            validate_length("max_length", max_length, "null stands for the model's own maximum.")
        validate_separator(separator)
        self.vocab = vocab
        self.name = name
        self.trf_name = trf_name
        self.revision = revision
        self.sentences = sentences
        self.max_length = max_length
        self.overflow = overflow
        self.stride = stride
        self.window_rows = window_rows
        self.split_special_tokens = split_special_tokens
        self.separator = separator
        self.trust_remote_code = trust_remote_code
        self._tokenizer: WordpieceTokenizer | None = None
        self._model_limit: int | None = None
        install_extensions()

    @property
    def tokenizer(self) -> WordpieceTokenizer:
        """The tokenizer of the checkpoint.

        RETURNS (WordpieceTokenizer): The tokenizer.
        RAISES (ValueError): TB010 while it has not been loaded.
        """
        if self._tokenizer is None:
            raise ValueError(errors.TB010.format(name=self.name, what="tokenizer"))
        return self._tokenizer

    @property
    def loaded(self) -> bool:
        """RETURNS (bool): Whether there is a tokenizer."""
        return self._tokenizer is not None

    def __call__(self, doc: Doc) -> Doc:
        """Cut one Doc into wordpieces.

        doc (Doc): The Doc; changed.
        RETURNS (Doc): The same.
        RAISES (ValueError): TB010.
        """
        try:
            self.set_annotations([doc], self.predict([doc]))
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Cut a stream of Docs into wordpieces, in batches that are small where Docs are long.

        stream (iterable of Doc): The Docs; changed.
        batch_size (int): The most Docs to take at once.
        YIELDS (Doc): The same, in order.
        """
        return annotate_stream(self, stream, batch_size)

    def predict(self, docs: Sequence[Doc]) -> list[Wordpieces]:
        """Cut Docs into wordpieces without changing them.

        docs (sequence of Doc, (n_docs,)): The Docs.
        RETURNS (list of Wordpieces, (n_docs,)): The wordpieces of each.
        RAISES (ValueError, TypeError): TB009, TB010, TB032, TB037; TB035, TB036 for what a function
            in `sentences` returned.
        WARNS: TB101, once, where something is cut off; TB105 where something is left out; TB106 for
            separators that are not what they seem; TB104, once, where the place of a wordpiece in
            the text is in doubt.
        """
        # As an annotating component: what its own update would see, and prediction will.
        return self._cut(docs, updating_examples(docs, self))

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
        """Cut the predicted Docs of a training batch into the wordpieces that prediction would see.

        There is nothing to learn here; this is why the component needs no place among the
        annotating components of a training config.

        examples (iterable of Example): The batch; the predicted Docs are changed.
        drop, sgd: Not used.
        losses (dict): Returned as it is.
        RETURNS (dict): The losses.
        """
        examples = list(examples)
        docs = [example.predicted for example in examples]
        self.set_annotations(docs, self._cut(docs, examples))
        return {} if losses is None else losses

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]] | None = None,
        *,
        nlp: Language | None = None,
    ) -> None:
        """Load the tokenizer of the checkpoint, unless there is one already.

        get_examples (callable): Not used.
        nlp (Language): The pipeline.
        RAISES (ValueError): TB001, TB002, TB004, TB016, TB033.
        """
        if self._tokenizer is not None:
            return
        trf_name, revision = self.trf_name, self.revision
        if not trf_name:
            trf_name, revision = _named_by_others(nlp)
        if not trf_name:
            raise ValueError(errors.TB001.format(name=self.name, field="trf_name"))
        trust = self.trust_remote_code
        config = load_config(trf_name, revision=revision, trust_remote_code=trust)
        tokenizer = load_tokenizer(trf_name, revision=revision, trust_remote_code=trust)
        limit = max_length(config, tokenizer, trust_remote_code=self.trust_remote_code)
        self._set_tokenizer(tokenizer, limit)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the tokenizer's own files and the settings that go with them.

        path (str, Path): The folder; replaced as a whole, and only once everything is written.
        exclude (iterable of str): Not used; there is no vocab here.
        RAISES (ValueError): TB010.
        """
        with replacing(Path(path)) as folder:
            srsly.write_json(folder / SETTINGS, self._settings())
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
        RETURNS (bytes): The files, or a note that there are none yet.
        """
        files = None if self._tokenizer is None else files_to_bytes(self._tokenizer.tokenizer)
        message = {"settings": None if files is None else self._settings(), "files": files}
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

    def _cut(self, docs: Sequence[Doc], examples: Sequence[Example] | None) -> list[Wordpieces]:
        with_sentences = docs
        if examples is not None and self.sentences != "doc":
            with_sentences = prediction_docs(examples, self)
        spans = input_spans(with_sentences, self.sentences, self.name)
        pairs = find_pairs(docs, self.separator, examples)
        return cut_docs_and_pairs(self.tokenizer, docs, spans, pairs)

    def _settings(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "max_length": self._model_limit,
            "type_ids": self.tokenizer.type_ids,
        }

    def _load(self, folder: Path, settings: dict[str, Any], where: object) -> None:
        if not folder.is_dir() or not any(folder.iterdir()):
            raise ValueError(errors.TB006.format(path=folder, reason="there are no files"))
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
        )


def _named_by_others(nlp: Language | None) -> tuple[str, str | None]:
    """The checkpoint that another component of the pipeline names."""
    for _, component in nlp.pipeline if nlp is not None else []:
        attrs = getattr(getattr(component, "model", None), "attrs", {})
        if attrs.get("trf_name"):
            return attrs["trf_name"], attrs.get("revision")
    return "", None
