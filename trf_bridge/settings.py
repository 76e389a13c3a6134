"""Settings of the components: the name, type, default and description of each, in one place.

The factories, the architectures, `from_pretrained`, the recipes of pipeline packages and the
command line are built from these classes. A new setting is one field here, and the code that uses
it.
"""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, get_type_hints

from . import errors

# Docs -> the Spans of each.
SpansFunction: TypeAlias = Callable[[Sequence[Any]], Iterable[Iterable[Any]]]

# Options for inputs that are longer than the maximum.
OVERFLOW = ("truncate", "window", "strided")
WINDOW_ROWS = ("most_context", "mean")

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def setting(default: Any, description: str) -> Any:
    """Define a field of a settings class.

    default: The default.
    description (str): One or two sentences, for the reference and the command line.
    RETURNS (dataclasses.Field): The field.
    """
    return dataclasses.field(default=default, metadata={"description": description})


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """Which checkpoint to load, and how."""

    trf_name: str = setting("", "A folder, or a name on the Hugging Face hub.")
    revision: str | None = setting(
        None, "Branch, tag or commit on the hub; null for the main branch."
    )
    trust_remote_code: bool = setting(False, "Run Python code that is part of the checkpoint.")


@dataclass(frozen=True, kw_only=True)
class WordpiecerSettings(CheckpointSettings):
    """How Docs are split into wordpieces."""

    trf_name: str = setting(
        "",
        "A folder, or a name on the Hugging Face hub; empty to use the checkpoint of the "
        "pipeline's trf_tok2vec. Read once, by nlp.initialize.",
    )
    sentences: str | SpansFunction = setting(
        "sents",
        'The inputs of the model: the sentences of a Doc ("sents"), the whole Doc ("doc"), or the '
        "Spans that a function of Docs returns for each Doc.",
    )
    max_length: int | None = setting(
        None,
        "The maximum number of wordpieces of an input, special tokens included. null for the "
        "model's own maximum, or 4096 for a model without one.",
    )
    overflow: str = setting(
        "truncate",
        'How inputs longer than this are handled: "truncate" drops the end, "window" splits the '
        'input into overlapping windows. "strided" does so without special tokens between them, '
        "and takes means, as pipelines of spacy-curated-transformers were trained.",
    )
    stride: int = setting(
        128,
        "The number of wordpieces that neighbouring windows share, up to half of a window.",
    )
    window_rows: str = setting(
        "most_context",
        "The row of a wordpiece that several windows contain: that of the window in which it has "
        'the "most_context", or the "mean" of all.',
    )
    split_special_tokens: bool = setting(
        False,
        'Split special tokens that occur in a text, such as "[SEP]", like any other text. By '
        "default each is one wordpiece, as in a plain call of the Hugging Face tokenizer.",
    )
    by_token: bool = setting(
        False,
        "Split each token of spaCy into wordpieces by itself instead of the text of an input, as "
        "pipelines of spacy-curated-transformers were trained.",
    )
    separator: str | None = setting(
        None,
        'The text of the token that separates a Doc into a pair of texts, such as "|||"; null for '
        "none. doc._.trf_separator overrides it for one Doc.",
    )

    def __post_init__(self) -> None:
        """Check the values.

        RAISES (ValueError, TypeError): TB008, TB009, TB037.
        """
        check_sentences(self.sentences)
        check_choice("overflow", self.overflow, OVERFLOW)
        check_choice("window_rows", self.window_rows, WINDOW_ROWS)
        check_whole_number(
            "stride", self.stride, 0, "It is the number of wordpieces that windows share."
        )
        if self.max_length is not None:
            check_whole_number(
                "max_length", self.max_length, 1, "Use null for the model's own maximum."
            )
        check_separator(self.separator)


@dataclass(frozen=True, kw_only=True)
class TransformerSettings(CheckpointSettings):
    """How the transformer is run and trained."""

    words_per_batch: int = setting(
        3000,
        "The maximum size of a subbatch in wordpieces, padding included; 0 for no limit. On a CPU, "
        "subbatches of wide models are smaller, which is faster.",
    )
    output_hidden_states: bool = setting(False, "Store the output of every layer.")
    output_attentions: bool = setting(False, "Store the attention weights of every layer.")
    precision: str = setting(
        "fp32",
        'The precision of the model: "fp32", "bf16", "fp16" (on a GPU only), or "auto" for "bf16" '
        "on hardware with instructions for it. Outputs are always float32.",
    )
    products: str = setting(
        "auto",
        'The library for matrix products in fp32 on a CPU: the default of torch ("torch"), '
        '"onednn", or "auto" for oneDNN in the engine "encoder" and on processors of AMD.',
    )
    engine: str = setting(
        "auto",
        'How the model is run: "encoder" (computed from its weights, for BERT and models with the '
        'same layers), "tiles" (its own forward, several short inputs in a row), "padded" (its own '
        'forward, padded inputs), or "auto" for the first that gives the same outputs.',
    )
    freeze: str | int = setting(
        "none",
        'Which weights training leaves unchanged: "none", "embeddings", a number n of layers (the '
        'embeddings and the lowest n layers), or "all".',
    )
    layer_lr_decay: float = setting(
        1.0,
        "The learning rate of a layer as a fraction of the rate of the layer above; 1 for the same "
        "rate everywhere.",
    )
    gradient_checkpointing: bool = setting(
        False, "Save memory in training, at the cost of a second forward pass."
    )

    def __post_init__(self) -> None:
        """Check the values.

        RAISES (ValueError, TypeError): TB008, TB009, TB025.
        WARNS: TB108 for `freeze = 0`, a deprecated name of "embeddings".
        """
        check_whole_number(
            "words_per_batch", self.words_per_batch, 0, "0 means no limit; the default is 3000."
        )
        check_choice("precision", self.precision, ("fp32", "bf16", "fp16", "auto"))
        check_choice("engine", self.engine, ("auto", "encoder", "tiles", "padded"))
        check_choice("products", self.products, ("auto", "torch", "onednn"))
        check_freeze(self.freeze)
        decay = self.layer_lr_decay
        if not isinstance(decay, (int, float)) or not 0 < decay <= 1:
            message = errors.TB025.format(field="layer_lr_decay", least=0, most=1, got=decay)
            raise ValueError(message)


def defaults_of(settings: type[CheckpointSettings]) -> dict[str, Any]:
    """Return the defaults of a settings class, in the order of its fields.

    settings (type): The class.
    RETURNS (dict): Default by name.
    """
    return {field.name: field.default for field in dataclasses.fields(settings)}


def descriptions_of(settings: type[CheckpointSettings]) -> dict[str, str]:
    """Return the descriptions of a settings class, in the order of its fields.

    settings (type): The class.
    RETURNS (dict): Description by name.
    """
    return {f.name: f.metadata["description"] for f in dataclasses.fields(settings)}


def takes_settings(settings: type[CheckpointSettings]) -> Callable[[FunctionT], FunctionT]:
    """List the fields of a settings class in the signature of a function with `**settings`.

    spaCy checks a config against the signatures of registered functions, and adds the defaults.

    settings (type): The class.
    RETURNS (callable): The decorator.
    """

    def decorate(function: FunctionT) -> FunctionT:
        hints = get_type_hints(settings)
        signature = inspect.signature(function)
        own = [
            parameter.replace(annotation=_evaluate(parameter.annotation, function))
            for parameter in signature.parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        listed = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name]
            )
            for name, default in defaults_of(settings).items()
            if name not in signature.parameters
        ]
        parameters = [*own, *listed]
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        function.__annotations__ = {p.name: p.annotation for p in parameters} | {
            "return": signature.return_annotation
        }
        return function

    return decorate


def _evaluate(annotation: Any, function: Any) -> Any:
    # The annotation of what a function returns may name a class that is defined later.
    return eval(annotation, function.__globals__) if isinstance(annotation, str) else annotation


def check_choice(field: str, got: Any, expected: Sequence[str]) -> None:
    """Check a setting that is one of several names.

    field (str): Name of the setting.
    got (str): Its value.
    expected (sequence of str): The names.
    RAISES (ValueError): TB008.
    """
    if got not in expected:
        listed = ", ".join(repr(option) for option in expected)
        raise ValueError(errors.TB008.format(field=field, got=repr(got), expected=listed))


def check_whole_number(field: str, got: Any, least: int, advice: str) -> None:
    """Check a setting that is a whole number.

    field (str): Name of the setting.
    got (int): Its value.
    least (int): The smallest valid value.
    advice (str): A sentence that explains the setting.
    RAISES (ValueError, TypeError): TB009.
    """
    wrong_type = isinstance(got, bool) or not isinstance(got, int)
    if wrong_type or got < least:
        message = errors.TB009.format(
            field=field, least=least, got=got, got_type=type(got).__name__, advice=advice
        )
        raise TypeError(message) if wrong_type else ValueError(message)


def check_sentences(sentences: Any) -> None:
    """Check the setting `sentences`.

    sentences (str, callable): Its value.
    RAISES (ValueError, TypeError): TB008.
    """
    if callable(sentences) or sentences in ("sents", "doc"):
        return
    expected = (
        "'sents', 'doc', or a function of Docs that returns the Spans of each (in a config, a "
        "block with @misc)"
    )
    message = errors.TB008.format(field="sentences", got=repr(sentences), expected=expected)
    raise ValueError(message) if isinstance(sentences, str) else TypeError(message)


def check_separator(separator: Any, field: str = "separator") -> None:
    """Check the setting `separator`, or the extension attribute that overrides it.

    separator (str): Its value; None for no separator.
    field (str): Name of the setting or attribute.
    RAISES (ValueError, TypeError): TB037.
    """
    if separator is None or (isinstance(separator, str) and separator):
        return
    message = errors.TB037.format(
        field=field, got=repr(separator), got_type=type(separator).__name__
    )
    raise ValueError(message) if isinstance(separator, str) else TypeError(message)


def check_freeze(freeze: Any) -> None:
    """Check the setting `freeze`.

    freeze (str, int): Its value.
    RAISES (ValueError): TB008.
    WARNS: TB108 for 0.
    """
    is_number = isinstance(freeze, int) and not isinstance(freeze, bool)
    if freeze in ("none", "embeddings", "all") or (is_number and freeze >= 1):
        return
    if is_number and freeze == 0:
        warnings.warn(errors.TB108, DeprecationWarning, stacklevel=4)
        return
    expected = "'none', 'embeddings', 'all', or a number of layers of at least 1"
    raise ValueError(errors.TB008.format(field="freeze", got=repr(freeze), expected=expected))
