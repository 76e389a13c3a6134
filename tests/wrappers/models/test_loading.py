"""Loading checkpoints, and the errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import spacy
from spacy.training import Example
from tiny import MAX_LENGTH

import trf_bridge
from trf_bridge.wrappers import configs
from trf_bridge.wrappers.models import loading
from trf_bridge.wrappers.models.layer import get_shim
from trf_bridge.wrappers.tokenizers.loading import load_tokenizer


@pytest.fixture
def copied(checkpoint, tmp_path) -> Path:
    shutil.copytree(checkpoint("bert"), tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def change_config(folder, **values):
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf8"))
    for key, value in values.items():
        if value is None:
            config.pop(key, None)
        else:
            config[key] = value
    path.write_text(json.dumps(config), encoding="utf8")


def expect(code, name, **options):
    """Check that loading fails with a code and the name of the checkpoint, and return the
    message."""
    with pytest.raises(ValueError, match=rf"^\[{code}\]") as caught:
        trf_bridge.from_pretrained(name, **options)
    message = str(caught.value)
    assert str(name) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "name", ["trf-bridge-tests/no-such-model", "no-such-model", "./no/such/folder", "a/b/c", " "]
)
def test_unknown_name_is_refused(name):
    message = expect("TB002", name)
    assert "revision main" in message


def test_unknown_name_with_a_revision_is_refused():
    assert "revision v1.2" in expect("TB002", "trf-bridge-tests/none", revision="v1.2")


def test_empty_name_is_refused():
    with pytest.raises(ValueError, match=r"^\[TB001\]"):
        trf_bridge.from_pretrained("")


def test_empty_folder_is_refused(tmp_path):
    message = expect("TB002", tmp_path)
    for missing in ("no config.json", "no weights", "no tokenizer.json"):
        assert missing in message
    assert "network" not in message


def test_folder_without_a_config_is_refused(copied):
    (copied / "config.json").unlink()
    message = expect("TB002", copied)
    assert "the folder has no config.json" in message
    assert "no weights" not in message
    assert "no tokenizer.json" not in message
    assert "network" not in message


def test_folder_without_weights_is_refused(copied):
    (copied / "model.safetensors").unlink()
    assert "model.safetensors" in expect("TB003", copied)


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.99])
def test_truncated_weights_are_refused(copied, kept):
    path = copied / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    expect("TB003", copied)


def test_weights_that_lack_a_layer_are_refused(copied):
    from safetensors.torch import load_file, save_file

    path = copied / "model.safetensors"
    weights = load_file(path)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    assert "encoder.layer.1.output.dense.weight" in expect("TB003", copied)


def test_weights_of_another_size_are_refused(copied):
    change_config(copied, intermediate_size=24)
    expect("TB003", copied)


def remove_weights(folder, part):
    """Remove the weights whose name contains a string."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = {name: w for name, w in load_file(path).items() if part not in name}
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize("name", ["bert", "roberta", "albert", "mobilebert"])
@pytest.mark.parametrize("engine", ["auto", "padded"])
def test_checkpoint_without_weights_of_a_pooler_has_no_pooler(checkpoint, tmp_path, name, engine):
    folder = shutil.copytree(checkpoint(name), tmp_path / "checkpoint")
    expected = trf_bridge.from_pretrained(folder, engine=engine)("One. Two.")
    assert expected._.trf_pooler_output is not None
    remove_weights(folder, "pooler.")
    nlp = trf_bridge.from_pretrained(folder, engine=engine)
    nlp.to_disk(tmp_path / "pipeline")
    copied = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    for one in (nlp, spacy.load(tmp_path / "pipeline"), copied):
        doc = one("One. Two.")
        assert doc._.trf_pooler_output is None
        assert doc.tensor == pytest.approx(expected.tensor, abs=1e-6)
    names = [
        name for name, _ in get_shim(nlp.get_pipe("trf_tok2vec").model)._model.named_parameters()
    ]
    assert names
    assert not any("pooler" in name for name in names)


def test_model_without_a_pooler_learns(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "checkpoint")
    remove_weights(folder, "pooler.")
    nlp = trf_bridge.from_pretrained(folder)
    textcat = nlp.add_pipe("trf_textcat")
    for label in ("A", "B"):
        textcat.add_label(label)
    cats = [{"cats": {"A": 1.0, "B": 0.0}}, {"cats": {"A": 0.0, "B": 1.0}}]
    texts = ["One good text.", "Another one."]
    examples = [
        Example.from_dict(nlp.make_doc(text), gold) for text, gold in zip(texts, cats, strict=True)
    ]
    nlp.initialize(lambda: examples)
    before = nlp("One.").tensor.copy()
    nlp.update(examples, sgd=nlp.create_optimizer())
    assert not (nlp("One.").tensor == before).all()


def test_half_of_a_pooler_is_refused(copied):
    remove_weights(copied, "pooler.dense.bias")
    assert "pooler.dense.bias" in expect("TB003", copied)


def test_saved_pipeline_that_lost_its_pooler_is_refused(pipeline, tmp_path):
    pipeline("bert").to_disk(tmp_path)
    remove_weights(tmp_path / "trf_tok2vec", "pooler.")
    with pytest.raises(ValueError, match=r"^\[TB003\] .*pooler\.dense\.bias"):
        spacy.load(tmp_path)


def test_pipeline_saved_before_poolers_were_recorded_is_read(pipeline, tmp_path):
    pipeline("bert").to_disk(tmp_path)
    path = tmp_path / "trf_tok2vec" / "tok2vec.json"
    settings = json.loads(path.read_text(encoding="utf8"))
    assert settings.pop("has_pooler")
    path.write_text(json.dumps(settings), encoding="utf8")
    assert spacy.load(tmp_path)("One.")._.trf_pooler_output is not None


def test_extra_weights_are_ignored(copied):
    # The position_ids of an old checkpoint, and a head that is not used.
    import torch
    from safetensors.torch import load_file, save_file

    path = copied / "model.safetensors"
    expected = trf_bridge.from_pretrained(copied)("One.").tensor
    extra = {
        "embeddings.position_ids": torch.arange(MAX_LENGTH)[None],
        "cls.predictions.bias": torch.zeros(3),
    }
    save_file({**load_file(path), **extra}, path, metadata={"format": "pt"})
    assert (trf_bridge.from_pretrained(copied)("One.").tensor == expected).all()


def test_weights_of_a_model_with_a_head_are_read(copied):
    from transformers import BertForMaskedLM

    expected = trf_bridge.from_pretrained(copied)("One.").tensor
    (copied / "model.safetensors").rename(copied / "body.safetensors")
    model = BertForMaskedLM(configs.load_config(str(copied)))
    from safetensors.torch import load_file

    model.bert.load_state_dict(load_file(copied / "body.safetensors"), strict=False)
    (copied / "body.safetensors").unlink()
    model.save_pretrained(copied)
    assert (trf_bridge.from_pretrained(copied)("One.").tensor == expected).all()


def test_weights_in_half_precision_are_read_as_fp32(copied):
    import torch
    from transformers import AutoModel

    AutoModel.from_pretrained(copied).to(torch.float16).save_pretrained(copied)
    model = loading.load_model(str(copied))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_weights_in_several_files_are_read_and_saved_as_one(copied, tmp_path):
    from transformers import AutoModel

    expected = trf_bridge.from_pretrained(copied)("One.").tensor
    model = AutoModel.from_pretrained(copied)
    (copied / "model.safetensors").unlink()
    model.save_pretrained(copied, max_shard_size="20KB")
    assert len(list(copied.glob("model-*.safetensors"))) > 1
    nlp = trf_bridge.from_pretrained(copied)
    assert (nlp("One.").tensor == expected).all()
    nlp.to_disk(tmp_path / "pipeline")
    assert (tmp_path / "pipeline" / "trf_tok2vec" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "config.json is not valid JSON: Expecting value"),
        ("{", "config.json is not valid JSON: Expecting property name"),
        ("[]", "expected an object in config.json, got list"),
        ("null", "expected an object in config.json, got NoneType"),
    ],
)
def test_broken_config_is_refused(copied, content, reason):
    (copied / "config.json").write_text(content, encoding="utf8")
    message = expect("TB002", copied)
    assert reason in message
    assert "network" not in message


def test_config_without_a_model_type_is_refused(copied):
    change_config(copied, model_type=None)
    expect("TB002", copied)


def test_config_of_an_unknown_model_type_is_refused(copied):
    change_config(copied, model_type="no-such-architecture")
    assert "no-such-architecture" in expect("TB002", copied)


@pytest.mark.parametrize(
    "kept", [["tokenizer_config.json"], ["special_tokens_map.json"], ["added_tokens.json"], []]
)
def test_folder_without_a_tokenizer_is_refused(copied, kept):
    for path in copied.iterdir():
        if path.name not in [*kept, "config.json", "model.safetensors"]:
            path.unlink()
    expect("TB004", copied)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"version": "1.0"}'])
def test_broken_tokenizer_is_refused(copied, content):
    (copied / "tokenizer.json").write_text(content, encoding="utf8")
    expect("TB004", copied)


def test_vocabulary_larger_than_the_embedding_table_is_refused(copied):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copied)
    n_rows = len(tokenizer)
    tokenizer.add_tokens(["harbourmaster"])
    tokenizer.save_pretrained(copied)
    message = expect("TB007", copied)
    assert f"{n_rows + 1} wordpieces" in message
    assert f"only {n_rows} rows" in message


def test_code_of_a_checkpoint_is_not_run_unless_allowed(copied, tmp_path):
    code = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    (copied / "configuration_own.py").write_text(
        code + "from transformers import BertConfig\n\n\nclass OwnConfig(BertConfig):\n"
        "    model_type = 'own-bert'\n",
        encoding="utf8",
    )
    change_config(
        copied,
        model_type="own-bert",
        auto_map={"AutoConfig": "configuration_own.OwnConfig"},
    )
    assert "trust_remote_code = true" in expect("TB016", copied)
    assert not (tmp_path / "ran").exists()


def test_errors_keep_their_cause(copied):
    (copied / "model.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ValueError, match="TB003") as caught:
        loading.load_model(str(copied))
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("family", "positions", "maximum"),
    [
        ("bert", MAX_LENGTH, MAX_LENGTH),
        ("roberta", MAX_LENGTH, MAX_LENGTH),
        ("xlm_roberta", MAX_LENGTH, MAX_LENGTH),
        ("gpt2", MAX_LENGTH, MAX_LENGTH),
        ("t5", None, MAX_LENGTH),
        ("xlnet", None, None),
    ],
)
def test_maximum_length(checkpoint, family, positions, maximum):
    folder = str(checkpoint(family))
    config, tokenizer = configs.load_config(folder), load_tokenizer(folder)
    assert configs.max_positions(config) == positions
    assert configs.max_length(config, tokenizer) == maximum


def test_positions_before_the_first_wordpiece_do_not_count():
    from transformers import BertConfig, RobertaConfig

    sizes = {"hidden_size": 8, "num_attention_heads": 2, "vocab_size": 64, "pad_token_id": 1}
    bert = BertConfig(max_position_embeddings=64, **sizes)
    roberta = RobertaConfig(max_position_embeddings=64, **sizes)
    assert configs.max_positions(bert) == 64
    assert configs.max_positions(roberta) == 62


def test_maximum_is_the_smaller_of_the_tokenizers_and_the_models(checkpoint):
    folder = str(checkpoint("bert"))
    config, tokenizer = configs.load_config(folder), load_tokenizer(folder)
    for given, expected in [(10, 10), (10_000, MAX_LENGTH), (10**30, MAX_LENGTH)]:
        tokenizer.model_max_length = given
        assert configs.max_length(config, tokenizer) == expected


def test_progress_bars_of_transformers_stay_unchanged(checkpoint):
    from transformers.utils import logging

    assert logging.is_progress_bar_enabled()
    loading.load_model(str(checkpoint("bert")))
    assert logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        loading.load_model(str(checkpoint("bert")))
        assert not logging.is_progress_bar_enabled()
    finally:
        logging.enable_progress_bar()


def test_nothing_is_printed_while_a_checkpoint_is_loaded_and_saved(family, fresh, tmp_path, capfd):
    fresh(family).to_disk(tmp_path)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.hub
def test_checkpoint_of_the_hub():
    nlp = trf_bridge.from_pretrained("prajjwal1/bert-tiny")
    assert nlp("Apple pie.").tensor.shape == (3, 128)
