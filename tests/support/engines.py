"""Engines around tiny models, and what the models return for each input alone."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from tiny import no_dropout, sizes

from trf_bridge.settings import TransformerSettings
from trf_bridge.wrappers.engine import Inputs, Request, make_engine
from trf_bridge.wrappers.models.layer import TransformerModel
from trf_bridge.wrappers.models.loading import load_model
from trf_bridge.wrappers.traits import find_traits

# Lengths on both sides of the width of a tile, equal ones, and an input without wordpieces.
LENGTHS = [9, 130, 64, 1, 65, 30, 0, 56, 57, 30, 1, 17, 3]
N_POSITIONS = 140

Outputs = dict[str, torch.Tensor]


def build_model(folder: Any, n_positions: int | None = None, **options: Any) -> Any:
    """Load a model as the package does; or build it with positions for longer inputs."""
    model = load_model(str(folder), **options)
    if n_positions is None:
        return model
    config = model.config
    first_position = int(getattr(config, "pad_token_id", None) or 0) + 1
    starts_late = config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet")
    config.max_position_embeddings = n_positions + first_position * starts_late
    return randomize_model(type(model)(config))


def build_mistral(window: int) -> Any:
    """Build a model that attends in a window."""
    from transformers import MistralConfig, MistralModel

    config = MistralConfig(
        vocab_size=50,
        num_key_value_heads=1,
        sliding_window=window,
        **sizes(),
        **no_dropout("attention_dropout"),
    )
    return randomize_model(MistralModel(config))


def randomize_model(model: Any) -> Any:
    """Make the initial weights larger, so that the outputs differ."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for weights in model.parameters():
            weights.copy_(weights + torch.randn_like(weights) * 0.1)
    return model.eval()


def engine_of(model: Any, precision: str = "fp32", **settings: Any) -> Any:
    """Choose the engine of a model."""
    return make_engine(
        model, find_traits(model), TransformerSettings(**settings), precision=precision
    )


def load_layer(folder: Any, **settings: Any) -> Any:
    """Load a checkpoint as thinc's layer."""
    layer = TransformerModel(str(folder), **settings)
    layer.initialize()
    return layer


def make_inputs(lengths: list[int], *, types: bool = False, seed: int = 0) -> Inputs:
    """Make inputs of random wordpieces; the second half of each can have the type 1."""
    random = numpy.random.default_rng(seed)
    ids = random.integers(6, 45, sum(lengths))
    type_ids = [int(2 * i >= n) for n in lengths for i in range(n)]
    given = numpy.asarray(type_ids, dtype="int64") if types else None
    return Inputs(ids, given, numpy.asarray(lengths, dtype="int64"))


def run_engine(
    engine: Any,
    inputs: Inputs,
    words_per_batch: int = 0,
    *,
    is_train: bool = False,
    request: Request | None = None,
) -> Outputs:
    """Run an engine, and put the outputs into the order of the inputs.

    The pooler output has a row for each input that has wordpieces, the weights of attention a key
    for each.
    """
    run = engine.update if is_train else engine.predict
    parts = list(run(inputs, words_per_batch, request or Request(hidden_states=True)))
    order = torch.from_numpy(numpy.argsort(numpy.concatenate([part.rows for part in parts])))
    named = {"last": torch.cat([part.last_hidden_state for part in parts])[order]}
    for i in range(len(parts[0].hidden_states)):
        named[f"layer {i}"] = torch.cat([part.hidden_states[i] for part in parts])[order]
    indices = numpy.concatenate([part.indices for part in parts])
    real = [i for i in numpy.argsort(indices).tolist() if inputs.lengths[indices[i]]]
    if parts[0].pooler_output is not None:
        named["pooler"] = torch.cat([part.pooler_output for part in parts])[real]
    attentions = [weights for part in parts for weights in part.attentions]
    named.update({f"attention {indices[i]}": attentions[i] for i in real if attentions})
    return named


def run_alone(
    model: Any, inputs: Inputs, *, only: int | None = None, request: Request | None = None
) -> Outputs:
    """Run a model's own forward on each input, or on one of them: the outputs of `run_engine`."""
    request = request or Request(hidden_states=True)
    ends = numpy.cumsum(inputs.lengths).tolist()
    found, attentions = [], {}
    for i, (end, n) in enumerate(zip(ends, inputs.lengths.tolist(), strict=True)):
        if not n or only not in (None, i):
            continue
        own = slice(end - n, end)
        arguments = {"input_ids": torch.from_numpy(inputs.ids[own])[None]}
        if inputs.type_ids is not None:
            arguments["token_type_ids"] = torch.from_numpy(inputs.type_ids[own])[None]
        flags = {"output_hidden_states": request.hidden_states}
        if request.attentions:
            flags["output_attentions"] = True
        outputs = model(**arguments, **flags)
        named = {"last": outputs.last_hidden_state[0]}
        layers = outputs.hidden_states if request.hidden_states else []
        named.update({f"layer {k}": layer[0] for k, layer in enumerate(layers)})
        if outputs.get("pooler_output") is not None:
            named["pooler"] = outputs.pooler_output
        if request.attentions:
            attentions[f"attention {i}"] = torch.stack([each[0] for each in outputs.attentions])
        found.append(named)
    joined = {name: torch.cat([each[name] for each in found]).float() for name in found[0]}
    return {**joined, **attentions}


def assert_alone(
    engine: Any,
    inputs: Inputs,
    words_per_batch: int = 0,
    *,
    model: Any = None,
    request: Request | None = None,
) -> Outputs:
    """Check that an engine predicts what the model returns for each input alone."""
    found = run_engine(engine, inputs, words_per_batch, request=request)
    with torch.no_grad():
        expected = run_alone(model or engine._model, inputs, request=request)
    assert_outputs(found, expected)
    return found


def assert_outputs(found: Outputs, expected: Outputs) -> None:
    """Check that outputs are equal up to rounding."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, atol=1e-5, rtol=1e-5, msg=name)
