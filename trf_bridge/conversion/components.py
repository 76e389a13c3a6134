"""The components of a config, and what refers to them."""

from __future__ import annotations

from typing import Any

from ..wrappers.spacy_pipelines import OTHER_FACTORIES
from .curated_blocks import DEFAULT_MODEL as DEFAULT_CURATED
from .curated_blocks import MODELS as CURATED_MODELS
from .curated_blocks import UNFREEZING, translate_curated, translate_loaders
from .encoders import DEFAULT_MODEL, MODEL, MODELS, STANDALONE, translate_encoder
from .job import Encoder, Job
from .listeners import LISTENERS, translate_listener, translate_pooling
from .origins import OWN
from .rows import Row
from .sourced import source_wordpiecer

WORDPIECER, TRANSFORMER = OWN
TOK2VEC = "trf_bridge.Tok2VecTransformer.v1"
NULL_SETTER = "spacy-transformers.null_annotation_setter.v1"


class Translation:
    """The conversion of all components of one config.

    job (Job): The conversion.
    wordpiecers (dict): Block of the wordpiecer that a component needs before it, by component.
    """

    def __init__(self, job: Job) -> None:
        """Start a conversion.

        job (Job): The config; rows are added.
        """
        self.job = job
        self.wordpiecers: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, Any]:
        """Convert the config.

        RETURNS (dict): The new config.
        RAISES (ValueError): TB066, TB067.
        """
        old = self.job.config
        blocks = {name: self._component(name, b) for name, b in old["components"].items()}
        new = {**old, "nlp": dict(old["nlp"]), "components": {}}
        names = self._name_wordpiecers(list(blocks))
        for name, block in blocks.items():
            if name in names:
                new["components"][names[name]] = self._with_factory(self.wordpiecers[name])
            new["components"][name] = block
        for key in ("pipeline", "disabled"):
            if isinstance(old["nlp"].get(key), list):
                new["nlp"][key] = self._list_components(old["nlp"][key], names, key)
        self._initialize(new)
        self._training(new)
        self._rest(blocks, new)
        return new

    def _component(self, name: str, block: dict[str, Any]) -> dict[str, Any]:
        """Convert one component."""
        where = f"components.{name}"
        if block.get("factory") in OTHER_FACTORIES:
            return self._transformer(name, block, where)
        if "source" in block:
            wordpiecer = source_wordpiecer(self.job, name, block)
            if wordpiecer is not None:
                self.wordpiecers[name] = wordpiecer
            return block
        converted: dict[str, Any] = self._layers(name, block, where)
        return converted

    def _transformer(self, name: str, block: dict[str, Any], where: str) -> dict[str, Any]:
        """Convert a transformer that other components share."""
        job, factory = self.job, block["factory"]
        why = f'factory = "{TRANSFORMER}", with a {WORDPIECER} before it'
        job.add(where, "factory", factory, "translated", why)
        curated = factory == "curated_transformer"
        default = DEFAULT_CURATED if curated else DEFAULT_MODEL
        given = block.get("model", {})
        model = {**default, **(job.resolve(given) if isinstance(given, str) else given)}
        known = CURATED_MODELS if curated else MODELS
        if model["@architectures"] not in known:
            reason = f"{where}.model uses the architecture '{model['@architectures']}'"
            raise job.refuse(reason, f"Expected an architecture of {OTHER_FACTORIES[factory]}.")
        translate = translate_curated if curated else translate_encoder
        if not curated:
            job.add(
                f"{where}.model", "@architectures", model["@architectures"], "translated", MODEL
            )
        wordpiecer, settings = translate(job, model, f"{where}.model", name)
        self._set_wordpiecer(name, wordpiecer, settings)
        for key, value in block.items():
            if key not in ("factory", "model"):
                self._component_setting(where, key, value, settings)
        return {"factory": TRANSFORMER, "model": settings}

    def _component_setting(self, where: str, key: str, value: Any, model: dict[str, Any]) -> None:
        """Convert a setting beside the model of a transformer."""
        job, resolved = self.job, self.job.resolve(value)
        if key == "max_batch_items":
            model["words_per_batch"] = value
            why = "model.words_per_batch, in wordpieces instead of tokens, in training as well"
            job.add(where, key, value, "translated", why)
        elif key == "all_layer_outputs":
            model["output_hidden_states"] = value
            job.add(where, key, value, "translated", "model.output_hidden_states")
        elif key == "frozen":
            model["freeze"] = "all" if resolved else "none"
            job.add(where, key, value, "translated", f'model.freeze = "{model["freeze"]}"')
        elif key == "set_extra_annotations":
            null = isinstance(resolved, dict) and NULL_SETTER in resolved.values()
            why = "it does nothing" if null else "write a component that runs after this one"
            job.add(where, key, value, "dropped", why)
        else:
            job.add(where, key, value, "dropped", "no counterpart")

    def _layers(self, component: str, value: Any, where: str) -> Any:
        """Convert the layers in a block, at any depth."""
        if isinstance(value, list):
            return [self._layers(component, inner, where) for inner in value]
        if not isinstance(value, dict):
            return value
        registered = value.get("@architectures")
        if registered in LISTENERS:
            return translate_listener(self.job, value, where)
        if registered in STANDALONE:
            encoder = translate_encoder(self.job, value, where, component)
            return self._standalone(component, value, where, encoder, value)
        if registered in CURATED_MODELS:
            encoder = translate_curated(self.job, value, where, component)
            listener = value.get("wrapped_listener") or {}
            return self._standalone(component, value, where, encoder, listener)
        return {
            name: self._layers(component, inner, f"{where}.{name}") for name, inner in value.items()
        }

    def _standalone(
        self,
        component: str,
        block: dict[str, Any],
        where: str,
        encoder: Encoder,
        listener: dict[str, Any],
    ) -> dict[str, Any]:
        """Convert the transformer of one head."""
        wordpiecer, model = encoder
        self._set_wordpiecer(component, wordpiecer, model)
        self.job.add(where, "@architectures", block["@architectures"], "translated", TOK2VEC)
        settings = {**model, "@architectures": TOK2VEC}
        settings.update(translate_pooling(self.job, listener, where))
        if "grad_factor" in listener:
            settings["grad_factor"] = listener["grad_factor"]
            factor = listener["grad_factor"]
            self.job.add(where, "grad_factor", factor, "kept", "the same setting")
        return settings

    def _set_wordpiecer(
        self, component: str, wordpiecer: dict[str, Any], model: dict[str, Any]
    ) -> None:
        """Store the wordpiecer of a component, with the checkpoint of its model."""
        origin: dict[str, Any] = {
            name: model[name] for name in ("trf_name", "revision") if name in model
        }
        self.wordpiecers[component] = {**origin, **wordpiecer}

    def _name_wordpiecers(self, taken: list[str]) -> dict[str, str]:
        """Choose a name for each wordpiecer. A head can use an equal one before it."""
        names: dict[str, str] = {}
        pipeline, blocks = self.job.config["nlp"]["pipeline"], self.job.config["components"]
        order = [n for n in pipeline if n in self.wordpiecers]
        order += [n for n in self.wordpiecers if n not in order]
        current: dict[str, Any] | None = None
        for component in order:
            shared = blocks[component].get("factory") in OTHER_FACTORIES
            if self.wordpiecers[component] == current and not shared:
                continue
            current = self.wordpiecers[component]
            name = WORDPIECER
            while name in taken:
                name = f"{component}_{WORDPIECER}" if name == WORDPIECER else f"{name}_"
            names[component] = name
            taken.append(name)
        if len(names) == 1 and blocks[next(iter(names))].get("factory") in OTHER_FACTORIES:
            # By default, it has the checkpoint of the transformer.
            for setting in ("trf_name", "revision"):
                self.wordpiecers[next(iter(names))].pop(setting, None)
        return names

    @staticmethod
    def _with_factory(block: dict[str, Any]) -> dict[str, Any]:
        """Return the block of a wordpiecer."""
        return block if "source" in block else {"factory": WORDPIECER, **block}

    def _list_components(self, listed: list[str], names: dict[str, str], key: str) -> list[str]:
        """Add the wordpiecers to a list of components."""
        new = [part for n in listed for part in ([names[n], n] if n in names else [n])]
        if new != listed:
            added = ", ".join(names[n] for n in listed if n in names)
            self.job.add("nlp", key, listed, "translated", f"with {added}")
        return new

    def _initialize(self, new: dict[str, Any]) -> None:
        """Convert the settings that initialize transformers."""
        components = new.get("initialize", {}).get("components")
        if not isinstance(components, dict):
            return
        kept = {}
        for name, block in components.items():
            loaders = isinstance(block, dict) and {"encoder_loader", "piecer_loader"} & set(block)
            remaining = translate_loaders(self.job, name, block) if loaders else block
            if remaining or not loaders:
                kept[name] = remaining
        new["initialize"] = {**new["initialize"], "components": kept}

    def _training(self, new: dict[str, Any]) -> None:
        """Convert callbacks of the training."""
        callback = new.get("training", {}).get("before_update")
        if isinstance(callback, dict) and UNFREEZING in callback.values():
            why = 'no counterpart; freeze the lowest layers, as with model.freeze = "embeddings"'
            self.job.add("training", "before_update", callback, "dropped", why)
            new["training"] = {**new["training"], "before_update": None}

    def _rest(self, blocks: dict[str, Any], new: dict[str, Any]) -> None:
        """Add rows for what is unchanged."""
        old = self.job.config
        same = [n for n, b in blocks.items() if b == old["components"][n] and "source" not in b]
        if same:
            why = "nothing in them belongs to the transformer"
            self.job.rows.append(Row("components", ", ".join(same), "kept", why))
        sections = [n for n in new if n not in ("nlp", "components") and new[n] == old[n]]
        if sections:
            listed = ", ".join(f"[{name}]" for name in sections)
            why = "settings of spaCy; names of components are the same"
            self.job.rows.append(Row("", listed, "kept", why))
