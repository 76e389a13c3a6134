"""Fast tokenizers as the tokenizer.json of a checkpoint defines them.

Most tokenizer classes of transformers 5 read the vocabulary of the file, and build the other parts
by themselves. The classes of transformers 4 read the file, and change a few settings in it. The
functions of this module make the same changes, so that both versions return the same ids.

SOURCE: `PreTrainedTokenizerFast` and the `tokenization_*_fast.py` of transformers 4.57.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENIZER_FILE = "tokenizer.json"

# Classes that set the normalizer of BERT by `do_lower_case` and the other settings.
BERT_CLASSES = {
    f"{name}Tokenizer"
    for name in (
        *("Bert", "ConvBert", "DPRContextEncoder", "DPRQuestionEncoder", "DPRReader", "DistilBert"),
        *("Electra", "Funnel", "LayoutLM", "LayoutLMv2", "Lxmert", "MPNet", "MobileBert"),
        *("Splinter", "SqueezeBert"),
    )
}
# Those of them that leave the setting for Chinese characters as it is in the file.
KEEP_CHINESE = {"LayoutLMv2Tokenizer", "MPNetTokenizer", "SplinterTokenizer"}
# Classes whose boundary pieces are set by `add_bos_token` and `add_eos_token`, and whether they add
# the first by default.
ADD_BOS = {
    "CodeLlamaTokenizer": True,
    "CohereTokenizer": True,
    "GPTNeoXTokenizer": False,
    "GemmaTokenizer": True,
    "LlamaTokenizer": True,
}
# The default of `add_prefix_space`, if it is not False. None is the setting of the file.
PREFIX_SPACE = {
    "LayoutLMv3Tokenizer": True,
    "LlamaTokenizer": None,
    "T5Tokenizer": None,
}
# Special tokens that only transformers 5 has by default.
NEW_TOKENS = {
    "CohereTokenizer": {"pad_token", "cls_token", "sep_token", "mask_token"},
    "GPTNeoXTokenizer": {"pad_token"},
    "GemmaTokenizer": {"mask_token"},
}
# Classes whose mask includes the space before it, even if the file has other options for it.
MASK_WITH_SPACE = {
    f"{name}Tokenizer"
    for name in (
        *("Albert", "Bart", "Barthez", "BigBird", "Blenderbot", "Camembert", "Cpm", "FNet", "LED"),
        *("LayoutXLM", "Longformer", "MBart", "MBart50", "MPNet", "MarkupLM", "Mvp", "Nllb"),
        *("RemBert", "Roberta", "XLMRoberta", "XLNet"),
    )
}
# Classes that return type ids in transformers 4 alone.
WITH_TYPE_IDS = {
    f"{name}Tokenizer"
    for name in ("Albert", "Funnel", "Herbert", "PreTrained", "RemBert", "Splinter", "XLNet")
}
# The class replaces a part by one in Python.
OWN_PARTS = {"RoFormerTokenizer"}


def find_file(trf_name: str, name: str, options: dict[str, Any]) -> Path | None:
    """Find a file of a checkpoint.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    name (str): The name of the file.
    options (dict): What `loading_options` returned.
    RETURNS (Path): The file, downloaded if it is on the hub; None if there is none.
    """
    from transformers.utils.hub import cached_file

    if Path(trf_name).is_dir():
        path = Path(trf_name) / name
        return path if path.is_file() else None
    found = cached_file(
        trf_name,
        name,
        revision=options.get("revision"),
        _raise_exceptions_for_missing_entries=False,
    )
    return None if found is None else Path(found)


def load_from_file(trf_name: str, options: dict[str, Any]) -> PreTrainedTokenizerBase | None:
    """Load a fast tokenizer from the tokenizer.json of a checkpoint.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    options (dict): What `loading_options` returned.
    RETURNS (PreTrainedTokenizerBase): The tokenizer. None if there is no such file, if the
        tokenizer has its own code or is written in Python, and if the class of the installed
        transformers reads the file as it is.
    """
    from transformers import PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import (
        get_tokenizer_config,
        tokenizer_class_from_name,
    )

    if find_file(trf_name, TOKENIZER_FILE, options) is None:
        return None
    own = {key: value for key, value in options.items() if key != "trust_remote_code"}
    settings = get_tokenizer_config(trf_name, **own)
    name, has_code = _class_name(trf_name, settings, own)
    found = tokenizer_class_from_name(f"{name}Fast") or tokenizer_class_from_name(name)
    if has_code and (options["trust_remote_code"] or found is None):
        return None
    is_fast = found is None or (_is_new() and issubclass(found, PreTrainedTokenizerFast))
    if not is_fast or name in OWN_PARTS:
        return None
    loaded: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(trf_name, **options)
    tokenizer: Any = loaded
    _add_tokens_of_class(tokenizer, found, name, settings)
    for field in ("model_input_names", "padding_side"):
        if field not in settings:
            setattr(tokenizer, field, getattr(found or type(tokenizer), field))
    if found is None:  # a class of transformers 5 in 4, or code that is not there
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    if "model_input_names" not in settings:
        add_type_ids(tokenizer, name)
    _set_normalizer(tokenizer.backend_tokenizer, name, settings)
    _set_prefix_space(tokenizer.backend_tokenizer, name, settings)
    _set_boundaries(tokenizer, name, settings)
    return loaded


def add_type_ids(tokenizer: Any, name: str) -> None:
    """Let a tokenizer return type ids if its class does so in transformers 4.

    tokenizer (PreTrainedTokenizerBase): The tokenizer; changed.
    name (str): The name of its class.
    """
    names = list(tokenizer.model_input_names)
    if name.removesuffix("Fast") in WITH_TYPE_IDS and "token_type_ids" not in names:
        tokenizer.model_input_names = [*names, "token_type_ids"]


def _is_new() -> bool:
    """Return whether the classes of the installed transformers build parts of tokenizers."""
    import transformers

    return hasattr(transformers, "TokenizersBackend")


def _class_name(
    trf_name: str, settings: dict[str, Any], options: dict[str, Any]
) -> tuple[str, bool]:
    """Return the name of a tokenizer's class, without "Fast", and whether it has its own code."""
    from transformers import PretrainedConfig
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    try:
        config, _ = PretrainedConfig.get_config_dict(trf_name, **options)
    except OSError:
        config = {}
    has_code = "auto_map" in settings or "AutoTokenizer" in (config.get("auto_map") or {})
    name = settings.get("tokenizer_class") or config.get("tokenizer_class")
    if name is None:
        known = TOKENIZER_MAPPING_NAMES.get(config.get("model_type", ""))
        # A pair of classes in transformers 4, the slow and the fast one.
        name = next(filter(None, known[::-1]), None) if isinstance(known, tuple) else known
    return str(name or "PreTrainedTokenizerFast").removesuffix("Fast"), has_code


def _add_tokens_of_class(tokenizer: Any, found: Any, name: str, settings: dict[str, Any]) -> None:
    """Set the special tokens that are only defaults of the class, and add them if they are new."""
    from tokenizers import AddedToken

    parameters = {} if found is None else inspect.signature(found.__init__).parameters
    for field, parameter in parameters.items():
        token = parameter.default
        is_default = field.endswith("_token") and isinstance(token, str) and field not in settings
        if not is_default or field in NEW_TOKENS.get(name, ()) or getattr(tokenizer, field, None):
            continue
        lstrip = field == "mask_token" and name in MASK_WITH_SPACE
        if lstrip or token not in tokenizer.get_added_vocab():
            tokenizer.add_tokens(AddedToken(token, lstrip=lstrip, normalized=False, special=True))
        setattr(tokenizer, field, token)


def _set_normalizer(backend: Any, name: str, settings: dict[str, Any]) -> None:
    """Set the normalizer of BERT by the settings."""
    from tokenizers.normalizers import BertNormalizer

    old = backend.normalizer
    if name not in BERT_CLASSES or not isinstance(old, BertNormalizer):
        return
    lowercase = settings.get("do_lower_case", True)
    strip_accents = settings.get("strip_accents")
    chinese = settings.get("tokenize_chinese_chars", True)
    if name in KEEP_CHINESE:
        chinese = old.handle_chinese_chars
    backend.normalizer = BertNormalizer(
        clean_text=old.clean_text,
        handle_chinese_chars=chinese,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )


def _set_prefix_space(backend: Any, name: str, settings: dict[str, Any]) -> None:
    """Set whether a space is added before a text that is split into bytes."""
    from tokenizers.pre_tokenizers import ByteLevel

    old = backend.pre_tokenizer
    wanted = settings.get("add_prefix_space", PREFIX_SPACE.get(name, False))
    if isinstance(old, ByteLevel) and wanted is not None and old.add_prefix_space != wanted:
        backend.pre_tokenizer = ByteLevel(add_prefix_space=wanted, use_regex=old.use_regex)


def _set_boundaries(tokenizer: Any, name: str, settings: dict[str, Any]) -> None:
    """Set the boundary pieces of classes with settings for them."""
    from tokenizers.processors import TemplateProcessing

    if name not in ADD_BOS:
        return
    has_bos = settings.get("add_bos_token", ADD_BOS[name]) and tokenizer.bos_token is not None
    has_eos = settings.get("add_eos_token", False) and tokenizer.eos_token is not None
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    sides = [
        [f"{bos}:{i}"] * has_bos + [f"${text}:{i}"] + [f"{eos}:{i}"] * has_eos
        for i, text in enumerate("AB")
    ]
    specials = [(bos, tokenizer.bos_token_id)] * has_bos + [(eos, tokenizer.eos_token_id)] * has_eos
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=" ".join(sides[0]), pair=" ".join([*sides[0], *sides[1]]), special_tokens=specials
    )
