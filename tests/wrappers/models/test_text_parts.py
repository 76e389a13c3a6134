"""Models that also read images or sound: their text part, compared with the whole model."""

from __future__ import annotations

import json

import numpy
import pytest
import spacy
from tiny import HEADS, LAYERS, WIDTH
from tiny_tokenizers import names, template, train_byte_level

import trf_bridge

TEXTS = ["My name is Robert.", "Apple pie is delicious, and the tide had gone out.", "One."]
SIZES = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
}
IMAGES = {**SIZES, "image_size": 8, "patch_size": 4}


def save_tokenizer(folder):
    """The boundary pieces of CLIP, whose end has the highest id."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = train_byte_level(["<|startoftext|>", "<pad>"])
    tokenizer.add_special_tokens(["<|endoftext|>"])
    start, end = "<|startoftext|>", "<|endoftext|>"
    template(tokenizer, f"{start} $A {end}", f"{start} $A $B {end}", [start, end])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=48,
        model_input_names=["input_ids", "attention_mask"],
        **names(bos=start, eos=end, pad="<pad>"),
    )
    wrapped.save_pretrained(folder)
    return wrapped


def save(name, folder):
    """Save a random model with a tower for texts and one for images."""
    import torch
    import transformers

    tokenizer = save_tokenizer(folder)
    text = {
        **SIZES,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 48,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=IMAGES)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{name}Model")(config)
        for weights in model.parameters():  # small ones would leave the outputs near zero
            torch.nn.init.normal_(weights, std=0.3)
    model.eval().save_pretrained(folder)
    return tokenizer, model


@pytest.mark.parametrize("name", ["CLIP", "Siglip"])
def test_text_part_is_loaded_and_saved(tmp_path, name):
    import torch

    folder = tmp_path / "checkpoint"
    folder.mkdir()
    tokenizer, model = save(name, folder)
    nlp = trf_bridge.from_pretrained(folder, sentences="doc")
    nlp.to_disk(tmp_path / "pipeline")
    copies = [nlp, spacy.load(tmp_path / "pipeline")]
    copies.append(spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes()))
    for text in TEXTS:
        with torch.inference_mode():
            expected = model.text_model(**tokenizer(text, return_tensors="pt"))
        for one in copies:
            outputs = one(text)._.trf_outputs
            for field in ("last_hidden_state", "pooler_output"):
                numpy.testing.assert_allclose(
                    getattr(outputs, field), expected[field].reshape(-1, WIDTH), atol=1e-5
                )
    assert nlp.get_pipe("trf_wordpiecer").tokenizer.max_length == 48


@pytest.mark.parametrize("name", ["CLIP", "Siglip"])
def test_neighbours_do_not_change_a_text(tmp_path, name):
    save(name, tmp_path)
    nlp = trf_bridge.from_pretrained(tmp_path, sentences="doc")
    alone = [nlp(text)._.trf_outputs for text in TEXTS]
    for one, doc in zip(alone, nlp.pipe(TEXTS), strict=True):
        for field in ("last_hidden_state", "pooler_output"):
            numpy.testing.assert_allclose(
                getattr(doc._.trf_outputs, field), getattr(one, field), atol=1e-5
            )


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_text_part_by_itself(tmp_path, prefix):
    """transformers 4 writes the name of the part before that of the weights, and 5 does not."""
    import torch
    from safetensors.torch import load_file, save_file

    tokenizer, model = save("CLIP", tmp_path)
    path = tmp_path / "model.safetensors"
    head = "text_model."
    weights = {key: w for key, w in load_file(path).items() if key.startswith(head)}
    weights = {prefix + key.removeprefix(head): w for key, w in weights.items()}
    save_file(weights, path, metadata={"format": "pt"})
    content = json.loads((tmp_path / "config.json").read_text(encoding="utf8"))["text_config"]
    content |= {"model_type": "clip_text_model", "architectures": ["CLIPTextModel"]}
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf8")
    nlp = trf_bridge.from_pretrained(tmp_path, sentences="doc")
    with torch.inference_mode():
        expected = model.text_model(**tokenizer(TEXTS[0], return_tensors="pt"))
    found = nlp(TEXTS[0])._.trf_last_hidden_state
    numpy.testing.assert_allclose(found, expected.last_hidden_state[0], atol=1e-5)


def test_model_whose_text_part_is_no_model_is_refused(tmp_path):
    from transformers import BertConfig, ViTConfig
    from transformers import VisionTextDualEncoderConfig as DualConfig
    from transformers import VisionTextDualEncoderModel as DualModel

    tokenizer = save_tokenizer(tmp_path)
    config = DualConfig.from_vision_text_configs(
        ViTConfig(**IMAGES), BertConfig(**SIZES, vocab_size=len(tokenizer)), projection_dim=8
    )
    DualModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"^\[TB060\] .*VisionTextDualEncoderModel"):
        trf_bridge.from_pretrained(tmp_path)
