"""What one version of transformers writes, read by another: the same, or refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from .traits import probe

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# Where transformers 4 keeps the base of the rotary positions of each kind of layer.
ROTARY_BASES = {
    "full_attention": ("global_rope_theta", "rope_theta"),
    "sliding_attention": ("local_rope_theta", "rope_local_base_freq"),
}


def read_rotary(config: PretrainedConfig) -> None:
    """Bring settings of rotary positions to where the installed transformers looks for them.

    transformers 5 writes them as `rope_parameters`, in which 4 sees nothing to look at: it would
    compute with the base of its defaults, and say nothing.

    config (PretrainedConfig): The config; changed where it must be.
    """
    given: Any = getattr(config, "rope_parameters", None)
    if not given or hasattr(config, "standardize_rope_params"):
        return
    flat = dict(given)
    for kind, names in ROTARY_BASES.items():
        nested = flat.pop(kind, None)
        known = [name for name in names if hasattr(config, name)]
        if nested and known:
            setattr(config, known[0], nested["rope_theta"])
    for name in ("rope_theta", "partial_rotary_factor"):
        if name in flat:
            setattr(config, name, flat.pop(name))
    if flat.get("rope_type", "default") != "default":
        config.rope_scaling = flat


def rebuild_tokenizer(folder: Path, *, type_ids: bool) -> PreTrainedTokenizerBase:
    """Load a saved fast tokenizer as its tokenizer.json describes it, whatever its class was.

    The classes of transformers 5 put normalizers of their own in the place of those in the file,
    and those of 4 don't know all that 5 writes.

    folder (Path): What `save_pretrained` wrote.
    type_ids (bool): Whether the model reads type ids.
    RETURNS (PreTrainedTokenizerBase): The tokenizer.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = str(folder / "tokenizer.json")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf8"))
    names = ["input_ids", *(["token_type_ids"] if type_ids else []), "attention_mask"]
    extra = settings.get("additional_special_tokens") or settings.get("extra_special_tokens") or []
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(path),
        model_input_names=names,
        additional_special_tokens=[
            _content(piece) for piece in (extra.values() if isinstance(extra, dict) else extra)
        ],
        **{
            name: _content(value)
            for name, value in settings.items()
            if name.endswith("_token") and isinstance(value, (str, dict))
        },
        **{
            name: settings[name]
            for name in (
                "model_max_length",
                "padding_side",
                "truncation_side",
                "clean_up_tokenization_spaces",
            )
            if name in settings
        },
    )
    # What was read, once more: the class has put settings of its own into what it was given.
    tokenizer._tokenizer = Tokenizer.from_file(path)
    return tokenizer


def describe_origin(model: PreTrainedModel) -> dict[str, Any]:
    """Note by what a model was saved, and a few numbers that it computes.

    model (PreTrainedModel): The model, in evaluation mode.
    RETURNS (dict): What `check_origin` reads.
    """
    from transformers import __version__ as version

    return {"transformers": version, "fingerprint": _fingerprint(model)}


def check_origin(model: PreTrainedModel, origin: dict[str, Any], path: Path) -> None:
    """Check that a model computes what it did where it was saved.

    A setting that one version of transformers writes, and another does not know, is passed over in
    silence, and the numbers that come out look like any others.

    model (PreTrainedModel): The model, in evaluation mode.
    origin (dict): What `describe_origin` gave; nothing is checked where it is not there.
    path (Path): Where the model is from, for the message.
    RAISES (ValueError): TB031.
    """
    from transformers import __version__ as version

    saved, found = origin.get("fingerprint") or [], _fingerprint(model)
    # Wide enough for other processors; what a wrong setting does is larger.
    tolerance = 1e-2 * max([1.0, *(abs(number) for number in saved)])
    if any(abs(one - two) > tolerance for one, two in zip(saved, found, strict=False)):
        message = errors.TB031.format(
            path=path, saved=origin.get("transformers"), installed=version
        )
        raise ValueError(message)


def _fingerprint(model: PreTrainedModel) -> list[float]:
    """The start of the last hidden state of a wordpiece; nothing where it is not a number."""
    numbers: list[float] = probe(model).last_hidden_state[0, -1, :8].tolist()
    return numbers if all(math.isfinite(number) for number in numbers) else []


def _content(piece: Any) -> str:
    """A special piece may be written down with how it is found in a text."""
    return str(piece["content"] if isinstance(piece, dict) else piece)
