"""Heads that are already trained: their labels, weights and form, and which ones are dropped."""

from __future__ import annotations

import json
import warnings

import pytest
from safetensors.torch import load_file, save_file
from trained import IOB2, TEXTS, TOKENS, TOPICS, save_trained

from trf_bridge.wrappers.models.trained_heads import load_trained_head

FORMS = [
    ("bert", "pooler", None),
    ("roberta", "class", "tanh"),
    ("distilbert", "class", "relu"),
    ("electra", "class", "gelu"),
    ("xlm_roberta", "class", "tanh"),
    ("camembert", "class", "tanh"),
    ("mpnet", "class", "tanh"),
    ("deberta_v2", "class", "gelu"),
    ("albert", "pooler", None),
]


def edit_config(folder, **fields):
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


@pytest.mark.parametrize("name", [name for name, _, _ in FORMS])
def test_token_heads_are_one_linear_layer(checkpoint, tmp_path, name):
    folder = save_trained(checkpoint(name), tmp_path / "model", TOKENS, IOB2)
    head = load_trained_head(str(folder))
    assert head is not None
    assert (head.task, head.labels, head.rows, head.activation) == ("tokens", IOB2, "tokens", None)
    ((weights, bias),) = head.layers
    saved = load_file(folder / "model.safetensors")
    assert (weights == saved["classifier.weight"].numpy()).all()
    assert (bias == saved["classifier.bias"].numpy()).all()


@pytest.mark.parametrize(("name", "rows", "activation"), FORMS)
def test_the_form_of_sequence_heads_is_found(checkpoint, tmp_path, name, rows, activation):
    folder = save_trained(checkpoint(name), tmp_path / "model", TEXTS, TOPICS)
    head = load_trained_head(str(folder))
    assert head is not None
    assert (head.task, head.labels, head.output) == ("texts", TOPICS, "softmax")
    assert (head.rows, head.activation) == (rows, activation)
    assert len(head.layers) == (1 if activation is None else 2)


@pytest.mark.parametrize(
    ("problem", "labels", "output"),
    [
        ("single_label_classification", TOPICS, "softmax"),
        ("multi_label_classification", TOPICS, "sigmoid"),
        ("regression", ["SIMILARITY"], "none"),
        # A cross-encoder; transformers' pipeline takes the logistic function, too.
        (None, ["RELEVANT"], "sigmoid"),
    ],
)
def test_what_scores_go_through(checkpoint, tmp_path, problem, labels, output):
    fields = {} if problem is None else {"problem_type": problem}
    folder = save_trained(checkpoint("bert"), tmp_path / "model", TEXTS, labels, **fields)
    head = load_trained_head(str(folder))
    assert head is not None
    assert head.output == output


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "t5"])
def test_a_checkpoint_without_a_head_has_none(checkpoint, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_trained_head(str(checkpoint(name))) is None


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("bert", "BertForMaskedLM"),
        ("bert", "BertForQuestionAnswering"),
        ("gpt2", "GPT2LMHeadModel"),
        ("electra", "ElectraForPreTraining"),
        ("t5", "T5ForConditionalGeneration"),
        # Two heads that compute something else: a summary, and the last wordpiece.
        ("xlnet", "XLNetForSequenceClassification"),
        ("gpt2", "GPT2ForSequenceClassification"),
        # A layer norm.
        ("modernbert", "ModernBertForTokenClassification"),
    ],
)
def test_a_head_without_counterpart_is_dropped_with_one_warning(checkpoint, tmp_path, name, task):
    folder = save_trained(checkpoint(name), tmp_path / "model", task, ["A", "B"])
    with pytest.warns(UserWarning, match=rf"\[TB110\] .*{task}") as caught:
        assert load_trained_head(str(folder)) is None
    assert sum("TB110" in str(warning.message) for warning in caught) == 1


# Labels that do not fit


@pytest.mark.parametrize(
    ("names", "got"),
    [
        ({"0": "A", "1": "B"}, "2 labels"),
        ({str(i): "A" for i in range(4)}, "4 labels"),
        ({"0": "A", "1": "A", "2": "B"}, "A, empty or repeated"),
        ({"0": "A", "1": "B", "2": ""}, "'', empty"),
        ({"0": "A", "1": "B", "7": "C"}, r"outputs \[0, 1, 7\]"),
    ],
)
@pytest.mark.parametrize("task", [TOKENS, TEXTS])
def test_labels_that_do_not_fit_are_an_error(checkpoint, tmp_path, task, names, got):
    folder = save_trained(checkpoint("bert"), tmp_path / "model", task, TOPICS)
    edit_config(folder, id2label=names, label2id=None)
    with pytest.raises(ValueError, match=rf"^\[TB062\] .*(3|saved) outputs.*{got}.*head=False"):
        load_trained_head(str(folder))


def test_a_head_without_its_weights_is_an_error(checkpoint, tmp_path):
    folder = save_trained(checkpoint("bert"), tmp_path / "model", TOKENS, IOB2)
    path = folder / "model.safetensors"
    weights = {k: v for k, v in load_file(path).items() if not k.startswith("classifier")}
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"^\[TB003\] .*classifier"):
        load_trained_head(str(folder))
