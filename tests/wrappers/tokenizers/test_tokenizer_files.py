"""The tokenizer.json of a checkpoint is its tokenizer, with every version of transformers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import pairwise

import pytest
from small_vocabularies import train_sentencepiece
from tokenizer_folders import FOLDERS, save_folder

import trf_bridge
from trf_bridge import WordpieceTokenizer
from trf_bridge.wrappers.tokenizers.loading import load_tokenizer

TEXTS = [
    "My name is Robert, and this is [SEP] my contact: robert@example.com.",
    "L'été dernier, j'ai visité la Provence : les lavandes étaient en FLEUR.",
    "我住在北京。今天天气很好",
    "The harbour master and the <mask> or [MASK], <s> it.",
    "  two  spaces\tand\nlines  ",
    "It's state-of-the-art: 12.5% to $24.2 billion 🙂 naïve",
    "</s>Apple <unk> pie",
    "สวัสดีครับ",
]


@pytest.fixture(params=FOLDERS)
def folder_and_expected(request, tmp_path):
    return tmp_path, save_folder(request.param, tmp_path)


def test_ids_and_boundary_pieces_are_those_of_the_file(folder_and_expected):
    folder, made = folder_and_expected
    encoded = WordpieceTokenizer.from_pretrained(folder, overflow="window").encode(TEXTS)
    encodings = made.expected.encode_batch(TEXTS)
    assert encoded.wordpieces.ids.tolist() == [i for one in encodings for i in one.ids]
    masks = [flag for one in encodings for flag in one.special_tokens_mask]
    assert encoded.wordpieces.boundary.astype("int32").tolist() == masks
    assert (encoded.wordpieces.type_ids is not None) == made.type_ids


def test_pairs_are_those_of_the_file(folder_and_expected):
    folder, made = folder_and_expected
    tokenizer = load_tokenizer(str(folder))
    for first, second in pairwise(TEXTS):
        found = tokenizer(first, second)
        expected = made.expected.encode(first, second)
        assert found["input_ids"] == expected.ids
        if made.type_ids:
            assert found["token_type_ids"] == expected.type_ids


def test_special_and_added_tokens_are_those_of_the_files(folder_and_expected):
    folder, made = folder_and_expected
    tokenizer = load_tokenizer(str(folder))
    for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(tokenizer, f"{name}_token") == made.special.get(f"{name}_token"), name
    assert tokenizer.get_vocab() == made.expected.get_vocab()
    truncation = json.loads((folder / "tokenizer.json").read_text(encoding="utf8"))["truncation"]
    assert tokenizer.truncation_side == ("left" if truncation else "right")


def test_saved_tokenizer_is_the_same(folder_and_expected, tmp_path_factory):
    """Through a component: the class of the checkpoint is gone."""
    import spacy

    folder, made = folder_and_expected
    nlp = spacy.blank("en")
    wordpiecer = nlp.add_pipe(
        "trf_wordpiecer", config={"trf_name": str(folder), "sentences": "doc"}
    )
    nlp.initialize()
    saved = tmp_path_factory.mktemp("saved")
    nlp.to_disk(saved)
    loaded = spacy.load(saved)
    for text in TEXTS:
        expected = made.expected.encode(text).ids
        for one in (nlp, loaded):
            assert one(text)._.trf_word_pieces.tolist() == expected
    assert wordpiecer.tokenizer.type_ids == made.type_ids


def test_tokenizer_written_in_python_keeps_its_own_way(tmp_path):
    save_folder("unnamed-wordpiece", tmp_path)
    settings = {"tokenizer_class": "ByT5Tokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf8")
    tokenizer = load_tokenizer(str(tmp_path))
    assert not tokenizer.is_fast
    assert tokenizer("a")["input_ids"][0] == ord("a") + 3


OWN = """
from transformers import PreTrainedTokenizerFast


class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""


def test_code_of_a_tokenizer_is_not_replaced(tmp_path):
    save_folder("unnamed-wordpiece", tmp_path)
    (tmp_path / "own.py").write_text(OWN, encoding="utf8")
    settings = {"auto_map": {"AutoTokenizer": [None, "own.OwnTokenizer"]}}
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(settings), encoding="utf8")
    tokenizer = load_tokenizer(str(tmp_path), trust_remote_code=True)
    assert type(tokenizer).__name__ == "OwnTokenizer"
    # The class of transformers for the type of the model, without the code.
    assert type(load_tokenizer(str(tmp_path))).__name__ != "OwnTokenizer"


# Files that can't be read


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2.0"},
        {"model": {"type": "WordPiece2", "vocab": {"a": 0}}},
        {"normalizer": {"type": "NFKCWithMore"}},
        {"pre_tokenizer": {"type": "Digits3", "width": 3}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_file_of_a_newer_format_is_refused(checkpoint, tmp_path, change):
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "checkpoint")
    path = folder / "tokenizer.json"
    content = {**json.loads(path.read_text(encoding="utf8")), **change}
    path.write_text(json.dumps(content), encoding="utf8")
    with pytest.raises(ValueError, match=r"^\[TB059\] .*tokenizer\.json.*pip install -U") as caught:
        trf_bridge.from_pretrained(folder)
    assert str(path) in str(caught.value)


def test_saved_file_of_a_newer_format_is_refused(pipeline, tmp_path):
    import spacy

    pipeline("bert").to_disk(tmp_path)
    path = tmp_path / "trf_wordpiecer" / "tokenizer" / "tokenizer.json"
    content = {**json.loads(path.read_text(encoding="utf8")), "version": "2.0"}
    path.write_text(json.dumps(content), encoding="utf8")
    with pytest.raises(ValueError, match=r"^\[TB059\] .*tokenizer\.json"):
        spacy.load(tmp_path)


# Vocabularies of SentencePiece and tiktoken

HIDE = """
import importlib.util, sys
hidden = set(sys.argv[2:])
find = importlib.util.find_spec
def find_spec(name, *args):
    return None if name.partition(".")[0] in hidden or name in hidden else find(name, *args)
importlib.util.find_spec = find_spec
sys.modules.update(dict.fromkeys(hidden))
from trf_bridge.wrappers.tokenizers.loading import load_tokenizer
try:
    load_tokenizer(sys.argv[1])
except ValueError as error:
    print(error)
"""


def load_without(folder, *hidden):
    """Load a tokenizer in a process without some packages, and return the message."""
    command = [sys.executable, "-c", HIDE, str(folder), *hidden]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def deberta(tmp_path_factory):
    """The files of a DeBERTa-v3: spm.model, and no tokenizer.json."""
    folder = tmp_path_factory.mktemp("deberta")
    symbols = ["[CLS]", "[SEP]"]
    content = train_sentencepiece(
        pad_id=0, pad_piece="[PAD]", bos_id=-1, eos_id=-1, unk_id=3, control_symbols=symbols
    )
    (folder / "spm.model").write_bytes(content)
    config = {"model_type": "deberta-v2", "vocab_size": 1000}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf8")
    settings = {"do_lower_case": False, "vocab_type": "spm"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf8")
    return folder


def test_sentencepiece_vocabulary_alone_is_read(deberta):
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(deberta / "spm.model"))
    tokenizer = load_tokenizer(str(deberta))
    for text in ("Apple pie is delicious.", "My name is Robert, and it's 12.5%."):
        pieces = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
        assert pieces == ["[CLS]", *processor.encode(text, out_type=str), "[SEP]"]


@pytest.mark.parametrize("hidden", [["sentencepiece"], ["google.protobuf"]], ids=str)
def test_sentencepiece_vocabulary_without_its_packages(deberta, hidden):
    message = load_without(deberta, *hidden)
    assert message.startswith("[TB004]")
    assert 'pip install "trf_bridge[sentencepiece]"' in message
    assert hidden[0] in message
    assert "tiktoken" not in message


def test_tiktoken_vocabulary_without_its_package(tmp_path):
    import base64

    lines = [f"{base64.b64encode(bytes([i])).decode()} {i}" for i in range(256)]
    (tmp_path / "tokenizer.model").write_text("\n".join(lines), encoding="utf8")
    config = {"model_type": "llama", "vocab_size": 256}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf8")
    message = load_without(tmp_path, "tiktoken")
    assert message.startswith("[TB004]")
    assert 'pip install "trf_bridge[tiktoken]"' in message
