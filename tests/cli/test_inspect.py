"""`spacy trf inspect`: its tables and counts, compared with a plain Hugging Face tokenizer."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
from command_line import refused, trf
from oracles import align_doc, load_plain_tokenizer, plain_sentences, shares
from spacy.language import Language
from spacy.tokens import DocBin
from tiny import MAX_LENGTH

from trf_bridge.cli.measures import WORDS_PER_BATCH
from trf_bridge.cli.tables import escape_unprintable, make_table, width_of

TEXTS = [
    "Anna saw Berlin. It rained, didn't it?",
    "",
    "A snowman ☃ and \u2603\u2603 melted.",
    "one two three " * 30,
    "\x1b[31mred\n\nline",
]


@pytest.fixture(scope="module")
def folders(
    pipeline: Callable[..., Language], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Return the folder of a saved pipeline, by the name of its family and its settings."""
    made: dict[Any, Path] = {}

    def get(name: str, **options: Any) -> Path:
        key = (name, *sorted(options.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp(name) / "pipeline"
            pipeline(name, **options).to_disk(made[key])
        return made[key]

    return get


@pytest.mark.filterwarnings("ignore:.*TB101")
@pytest.mark.parametrize("name", ["bert", "roberta", "xlnet", "gpt2"])
def test_record_equals_the_output_of_a_plain_tokenizer(
    name: str, folders: Callable[..., Path], checkpoint: Callable[[str], Path]
) -> None:
    records = json.loads(trf("inspect", folders(name), "--json", "--", *TEXTS))
    tokenizer = load_plain_tokenizer(checkpoint(name))
    limit = None if name == "xlnet" else MAX_LENGTH
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    assert [record["text"] for record in records] == TEXTS
    for record, doc in zip(records, nlp.pipe(TEXTS), strict=True):
        sentences = plain_sentences(doc, tokenizer, limit)
        links = align_doc(doc, sentences)
        ids = [i for sentence in sentences for i in sentence.ids]
        assert [piece["id"] for piece in record["wordpieces"]] == ids
        n_of = shares(links, len(ids))
        assert [token["text"] for token in record["tokens"]] == [token.text for token in doc]
        for token, rows in zip(record["tokens"], links, strict=True):
            assert token["wordpieces"] == rows
            assert token["weights"] == [1 / n_of[row] for row in rows]
        assert [of["end"] - of["start"] for of in record["inputs"]] == [
            len(sentence.ids) for sentence in sentences
        ]
        assert [i for of in record["inputs"] for i in of["tokens"]] == list(range(len(doc)))


def test_table_shows_tokens_wordpieces_weights_and_boundary_pieces(
    folders: Callable[..., Path],
) -> None:
    text = "Anna saw Berlin. It rained."
    (record,) = json.loads(trf("inspect", folders("bert"), text, "--json"))
    shown = trf("inspect", folders("bert"), text)
    assert "Sentence 1 of 2: 4 tokens" in shown
    assert "Sentence 2 of 2: 3 tokens" in shown
    lines = [re.split(r" {3,}", line.strip()) for line in shown.splitlines()]
    rows = [line for line in lines if line[0].isdigit()]
    assert len(rows) == len(record["tokens"])
    for row, token in zip(rows, record["tokens"], strict=True):
        own = [
            record["wordpieces"][i]["text"]
            for i in token["wordpieces"]
            if not record["wordpieces"][i]["boundary"]
        ]
        assert row[1:3] == [token["text"], " ".join(own)]
        assert row[4] == "[CLS] [SEP]"
        n_tokens = 4 if int(row[0]) < 4 else 3
        assert row[5] == f"1/{n_tokens} 1/{n_tokens}"


def test_titles_of_windows_and_pairs(folders: Callable[..., Path]) -> None:
    windows = folders("bert", overflow="window", max_length=16, stride=4)
    assert "Window 1 of " in trf("inspect", windows, "one two three " * 10)
    pairs = folders("bert", separator="|||")
    assert "Pair 1 of 1" in trf("inspect", pairs, "Anna slept. ||| It rained.")


def test_control_characters_are_escaped(folders: Callable[..., Path]) -> None:
    shown = trf("inspect", folders("bert"), TEXTS[-1])
    assert "\x1b" not in shown
    assert "\\x1b" in shown


def test_columns_are_aligned_in_any_script() -> None:
    rows = [["東京", "1"], ["cafe\u0301", "22"], ["  ", "333"], ["a\tb", "4"]]
    lines = make_table(["token", "n"], rows, right=[1]).splitlines()
    assert len({width_of(line) for line in lines}) == 1
    assert escape_unprintable("  ") == "␣␣"
    assert "a\\tb" in lines[-1]


def write_corpus(folder: Path, kind: str, texts: list[str]) -> Path:
    path = folder / f"corpus.{kind}"
    if kind == "spacy":
        nlp = spacy.blank("en")
        DocBin(docs=[nlp.make_doc(text) for text in texts]).to_disk(path)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf8")
    else:
        path.write_text("\n".join(texts) + "\n\n", encoding="utf8")
    return path


CORPUS = [
    *["Anna saw Berlin. It rained, didn't it?", "A snowman ☃ melted.", "☃ ☃"],
    *["one two three " * 30, "Robert left.", "Very short. And then " + "again " * 60 + "."],
]


def plain_inputs(tokenizer: Any, texts: list[str]) -> Iterator[tuple[Any, Any]]:
    """Yield each sentence with its encoding by the Hugging Face tokenizer, not truncated."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    for doc in nlp.pipe(texts):
        for sentence in doc.sents:
            yield (
                sentence,
                tokenizer(
                    sentence.text, return_special_tokens_mask=True, return_offsets_mapping=True
                ),
            )


@pytest.mark.parametrize("kind", ["txt", "jsonl", "spacy"])
@pytest.mark.parametrize("overflow", ["truncate", "window"])
def test_measures_equal_those_of_a_plain_tokenizer(
    folders: Callable[..., Path],
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    kind: str,
    overflow: str,
) -> None:
    path = write_corpus(tmp_path, kind, CORPUS)
    pipeline = folders("bert", overflow=overflow)
    found = json.loads(trf("inspect", pipeline, "--corpus", path, "--json"))
    tokenizer = load_plain_tokenizer(checkpoint("bert"))
    inputs = list(plain_inputs(tokenizer, CORPUS))
    lengths = [len(encoding["input_ids"]) for _, encoding in inputs]
    n_tokens = sum(len(sentence) for sentence, _ in inputs)
    n_boundary = sum(sum(encoding["special_tokens_mask"]) for _, encoding in inputs)
    unknown = [encoding["input_ids"].count(tokenizer.unk_token_id) for _, encoding in inputs]
    assert found["texts"] == len(CORPUS)
    assert found["sentences"] == len(inputs)
    assert found["tokens"] == n_tokens
    assert found["boundary_pieces"] == n_boundary
    assert found["wordpieces"] == sum(lengths) - n_boundary
    assert found["wordpieces_per_token"] == round((sum(lengths) - n_boundary) / n_tokens, 4)
    assert found["unknown_wordpieces"] == sum(unknown) > 0
    assert found["unknown_tokens"][0] == {"text": "☃", "count": 3}
    assert sum(found["tokens_by_wordpieces"].values()) == n_tokens
    past = [i for i, length in enumerate(lengths) if length > MAX_LENGTH]
    assert found["past_maximum"]["sentences"] == len(past) == 2
    lost = sum(count_lost_tokens(*inputs[i]) for i in past) if overflow == "truncate" else 0
    assert found["past_maximum"]["tokens_lost"] == lost
    assert [of["wordpieces"] for of in found["longest"]] == sorted(lengths, reverse=True)[:5]


def count_lost_tokens(sentence: Any, encoding: Any) -> int:
    """Return the number of tokens after the last wordpiece within the maximum length."""
    content = [
        end
        for (_, end), special in zip(
            encoding["offset_mapping"], encoding["special_tokens_mask"], strict=True
        )
        if not special
    ]
    end = sentence.start_char + content[MAX_LENGTH - 2 - 1]
    return sum(token.idx >= end for token in sentence)


def padding_of(found: dict[str, Any]) -> dict[int, float]:
    """Return the share of padding by words_per_batch."""
    return {line["words_per_batch"]: line["share"] for line in found["padding"]}


@pytest.mark.filterwarnings("ignore:.*TB101")
@pytest.mark.parametrize(
    ("name", "engine"), [("gpt2", "tiles"), ("bart", "padded"), ("xlnet", "padded")]
)
def test_padding_is_that_of_the_model(
    name: str, engine: str, folders: Callable[..., Path], tmp_path: Path
) -> None:
    """The padding equals that of the ids that the model receives when the pipeline runs."""
    texts = [*CORPUS, *("word " * n for n in range(2, 44, 2))]
    path = write_corpus(tmp_path, "txt", texts)
    found = json.loads(trf("inspect", folders(name), "--corpus", path, "--json"))
    assert found["engine"] == engine
    shares = padding_of(found)
    assert list(shares) == list(WORDS_PER_BATCH)
    for words_per_batch, share in shares.items():
        computed, real = count_computed(folders(name), texts, words_per_batch)
        assert math.isclose(share, 1 - real / computed, abs_tol=5e-5)
    assert (shares[0] > 0.2) == (engine == "padded")
    assert f"padding by the {engine} engine" in trf("inspect", folders(name), "--corpus", path)


def count_computed(folder: Path, texts: list[str], words_per_batch: int) -> tuple[int, int]:
    """Run a pipeline, and count the ids that its model receives, and the wordpieces."""
    model = {"words_per_batch": words_per_batch}
    nlp = spacy.load(folder, config={"components": {"trf_tok2vec": {"model": model}}})
    sizes: list[int] = []

    def count(module: Any, args: Any, kwargs: Any) -> None:
        sizes.append(kwargs["input_ids"].numel())

    shim = nlp.get_pipe("trf_tok2vec").model.shims[0]
    shim._model.register_forward_pre_hook(count, with_kwargs=True)
    docs = list(nlp.pipe(texts))
    return sum(sizes), sum(len(doc._.trf_word_pieces) for doc in docs)


def test_padding_without_a_transformer_is_that_of_padded_batches(
    fresh: Callable[..., Language], checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    nlp = fresh("bert")
    nlp.remove_pipe("trf_tok2vec")
    nlp.to_disk(tmp_path / "pipeline")
    path = write_corpus(tmp_path, "txt", CORPUS)
    found = json.loads(trf("inspect", tmp_path / "pipeline", "--corpus", path, "--json"))
    assert found["engine"] == "padded"
    inputs = plain_inputs(load_plain_tokenizer(checkpoint("bert")), CORPUS)
    read = [min(len(encoding["input_ids"]), MAX_LENGTH) for _, encoding in inputs]
    shares = padding_of(found)
    assert math.isclose(shares[0], 1 - sum(read) / (len(read) * max(read)), abs_tol=5e-5)
    assert all(0 <= share <= shares[0] for share in shares.values())


def test_the_model_is_not_run_over_a_corpus(
    folders: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the model was run")

    path = write_corpus(tmp_path, "txt", CORPUS)
    monkeypatch.setattr("trf_bridge.pipes.tok2vec.TrfTok2Vec.predict", refuse)
    assert "padding by the tiles engine" in trf("inspect", folders("gpt2"), "--corpus", path)


def test_tokens_are_counted_by_their_number_of_wordpieces(
    folders: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_corpus(tmp_path, "txt", ["Anna saw Berlin in the extraordinary weather."])
    found = json.loads(trf("inspect", folders("bert"), "--corpus", path, "--json"))
    text = path.read_text(encoding="utf8").strip()
    (record,) = json.loads(trf("inspect", folders("bert"), text, "--json"))
    numbers = Counter(
        min(sum(not record["wordpieces"][i]["boundary"] for i in token["wordpieces"]), 4)
        for token in record["tokens"]
    )
    expected = {key: numbers[i] for i, key in enumerate(["0", "1", "2", "3", "4+"])}
    assert found["tokens_by_wordpieces"] == expected


def test_tables_of_a_corpus(folders: Callable[..., Path], tmp_path: Path) -> None:
    path = write_corpus(tmp_path, "txt", CORPUS)
    found = json.loads(trf("inspect", folders("bert"), "--corpus", path, "--json"))
    shown = trf("inspect", folders("bert"), "--corpus", path, "--longest", 2)
    rows = [re.split(r" {2,}", line.strip()) for line in shown.splitlines()]
    assert ["texts", "6"] in rows
    assert ["tokens", str(found["tokens"])] in rows
    per_token = f"{found['wordpieces_per_token']:.2f} per token"
    assert ["wordpieces", str(found["wordpieces"]), per_token] in rows
    assert ["☃", "3"] in rows
    lost = f"{found['past_maximum']['tokens_lost']} tokens lost"
    assert [f"sentences longer than {MAX_LENGTH}", "2", lost] in rows
    for of in found["padding"]:
        name = str(of["words_per_batch"] or "no limit")
        assert [name, f"{100 * of['share']:.1f} %"] in rows
    listed = [row for row in rows if row[-1].startswith(("one two", "And then"))]
    assert [int(row[0]) for row in listed] == [of["wordpieces"] for of in found["longest"][:2]]


def test_a_large_corpus_is_measured_batch_by_batch(
    folders: Callable[..., Path], tmp_path: Path
) -> None:
    once = write_corpus(tmp_path, "txt", CORPUS)
    one = json.loads(trf("inspect", folders("bert"), "--corpus", once, "--json"))
    many = write_corpus(tmp_path, "jsonl", CORPUS * 300)
    all_of_them = json.loads(trf("inspect", folders("bert"), "--corpus", many, "--json"))
    for key in ("texts", "sentences", "tokens", "wordpieces", "unknown_wordpieces"):
        assert all_of_them[key] == 300 * one[key]
    first = one["longest"][0]["text"]
    expected = [first + len(CORPUS) * i for i in range(5)]
    assert [of["text"] for of in all_of_them["longest"]] == expected


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("corpus.txt", "grün".encode("latin1"), "TB042"),
        ("corpus.jsonl", b'{"text": "\xff"}', "TB042"),
        ("corpus.txt", b"\n \n", "TB044"),
        ("corpus.jsonl", b'{"text": "a"}\n{"txt": "b"}', "TB044"),
        ("corpus.jsonl", b'{"text": "a"', "TB044"),
        ("corpus.jsonl", b"5", "TB044"),
        ("corpus.spacy", b"no DocBin", "TB044"),
        ("corpus.txt", None, "TB044"),
    ],
)
def test_bad_corpus_is_one_line(
    folders: Callable[..., Path], tmp_path: Path, name: str, content: bytes | None, code: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    line = refused("inspect", folders("bert"), "--corpus", path)
    assert code in line
    assert name in line


def test_texts_and_corpus_exclude_each_other(folders: Callable[..., Path], tmp_path: Path) -> None:
    path = write_corpus(tmp_path, "txt", CORPUS)
    assert "TB049" in refused("inspect", folders("bert"))
    assert "TB049" in refused("inspect", folders("bert"), "a text", "--corpus", path)


def test_weights_are_not_read_for_texts(folders: Callable[..., Path], tmp_path: Path) -> None:
    """The wordpieces of a text are shown even if the file of the weights is damaged."""
    import shutil

    shutil.copytree(folders("bert"), tmp_path / "pipeline")
    for file in (tmp_path / "pipeline" / "trf_tok2vec").rglob("*.safetensors"):
        file.write_bytes(b"")
    assert "Sentence 1 of 1" in trf("inspect", tmp_path / "pipeline", "Anna slept.")
