"""Published tokenizers give the ids of transformers 4.57, with every version of transformers."""

from __future__ import annotations

import hashlib
import json

import pytest
import transformers
from real_data import DATA, TOKENIZERS, naughty_strings, paragraphs

from trf_bridge.wrappers.tokenizers.loading import load_tokenizer

pytestmark = pytest.mark.shared

LANGUAGES = ("ar", "en", "hi", "ru", "th", "zh")
MODEL_TYPES = {
    "gpt2": "gpt2",
    "openai-gpt": "openai-gpt",
    "roberta-base": "roberta",
    "t5-small": "t5",
    "xlm-roberta-base_rebuilt": "xlm-roberta",
    "xlnet-base-cased": "xlnet",
}
# The start of the SHA-256 of what `describe` returns for the AutoTokenizer of transformers 4.57.6,
# which the tests compute again when that version is installed.
DIGESTS = {
    "bert-base-uncased": "c99a3a800b9b4a6c7c5d1105df1ed55e",
    "bert-base-cased": "9d93584907d2b4088447719b3c3d4831",
    "bert-base-multilingual-cased": "a1221b01d5fadd25a76ebd6924db8979",
    "bert-base-chinese": "871c6e55f6a1c92c3b8bc471c5fd866b",
    "roberta-base": "3c1e0d377d060f80449959c07c15df78",
    "gpt2": "52e5d39605813c39370427c697daf0fc",
    "xlnet-base-cased": "762a3b5036bca6ae0841d2ea47452930",
    "t5-small": "0f229445bf844b9c03a1062fbd3d5662",
    "openai-gpt": "b78443b1056203a62cf4ac0bcaf16e85",
    "xlm-roberta-base_rebuilt": "41a7c73e62ae3b3ad97df0843f51a0f3",
}


def texts():
    return [*naughty_strings(), *(text for lang in LANGUAGES for text in paragraphs(lang))]


def describe(tokenizer):
    """Return the wordpieces of all texts, with boundary mask and types, and the settings."""
    encoded = [tokenizer(text, return_special_tokens_mask=True) for text in texts()]
    fields = ["input_ids", "special_tokens_mask"]
    if "token_type_ids" in tokenizer.model_input_names:
        fields.append("token_type_ids")
    return {
        **{field: [list(one[field]) for one in encoded] for field in fields},
        "special": [str(getattr(tokenizer, f"{name}_token")) for name in SPECIAL],
        "added": sorted(tokenizer.get_added_vocab().items()),
        "sides": [tokenizer.truncation_side, tokenizer.padding_side],
        "n_pieces": len(tokenizer),
    }


SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def digest(tokenizer):
    return hashlib.sha256(json.dumps(describe(tokenizer)).encode()).hexdigest()[:32]


@pytest.fixture(params=TOKENIZERS)
def checkpoint_folder(request, tmp_path):
    name = request.param
    for path in (DATA / "tokenizers" / name).iterdir():
        target = path.name.replace(".rebuilt", "")
        (tmp_path / target).write_bytes(path.read_bytes())
    model_type = MODEL_TYPES.get(name, "bert")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf8")
    if model_type == "bert":
        settings = {"do_lower_case": name.endswith("uncased")}
        path = tmp_path / "tokenizer_config.json"
        path.write_text(json.dumps(settings), encoding="utf8")
    return name, tmp_path


def test_ids_are_those_of_transformers_4(checkpoint_folder):
    name, folder = checkpoint_folder
    assert digest(load_tokenizer(str(folder))) == DIGESTS[name]


@pytest.mark.skipif(not transformers.__version__.startswith("4."), reason="needs transformers 4")
def test_digests_are_those_of_transformers_4(checkpoint_folder):
    name, folder = checkpoint_folder
    assert digest(transformers.AutoTokenizer.from_pretrained(folder)) == DIGESTS[name]
