"""Convert a trained pipeline, with the weights of its transformer and of its heads."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from spacy import util
from spacy.language import Language
from thinc.api import Config

from .. import errors
from ..about import __version__
from ..pipes.standalone import ARCHITECTURE
from ..pipes.storage import replacing
from ..pipes.tok2vec import TrfTok2Vec
from ..pipes.wordpiecer import TrfWordpiecer
from .listeners import LISTENER
from .reading import curated, spacy_transformers
from .reading.heads import load_heads, own_transformers
from .rows import Row, show_setting
from .translating import convert_config

LIBRARIES: dict[str, ModuleType] = {
    library.FACTORY: library for library in (spacy_transformers, curated)
}


def convert_pipeline(source: Path, output: Path, *, force: bool = False) -> list[Row]:
    """Convert a trained pipeline of spacy-transformers or spacy-curated-transformers.

    The converted pipeline has the same components, and predicts the same from the same weights. The
    other library need not be installed.

    source (Path): The folder of the pipeline, with config.cfg and meta.json.
    output (Path): The folder for the converted pipeline.
    force (bool): Whether it may replace an existing folder.
    RETURNS (list of Row): What was done with each part.
    RAISES (ValueError): TB041 if the output exists; TB070, TB071 for the file of a transformer that
        can't be read; TB072 for a head that can't be loaded; TB073 for a part without counterpart;
        the errors of `convert_config` and of loading a checkpoint.
    WARNS: TB114 for a tokenizer without character offsets.
    """
    if output.exists() and not force:
        advice = "Give another path, or replace it with force."
        raise ValueError(errors.TB041.format(path=output, advice=advice))
    config = _read_config(source)
    name, library = _find_transformer(config, source)
    converted, rows = convert_config(config, trained=True, path=str(source / "config.cfg"))
    rows = [*rows, *_complete(converted["components"], "components", library)]
    nlp = util.load_model_from_config(converted, auto_fill=True)
    _check_heads(nlp, source, library)
    own = {
        own_name
        for own_name, component in nlp.components
        if isinstance(component, (TrfWordpiecer, TrfTok2Vec))
    }
    block = _read_config(source, interpolate=True)["components"][name]["model"]
    with TemporaryDirectory() as folder:
        library.read_transformer(source / name / "model", Path(folder), block)
        _load_transformer(nlp, folder)
    # Components such as spaCy's entity_ruler run those before them while they are loaded.
    heads = load_heads(nlp, source, own, library)
    _replace_requirements(nlp, library.PACKAGE)
    with replacing(output) as new:
        nlp.to_disk(new)
    why = "loaded from the pipeline"
    return [*rows, *(Row(f"components.{head}", "weights", "kept", why) for head in [name, *heads])]


def _read_config(source: Path, *, interpolate: bool = False) -> Config:
    path = source / "config.cfg"
    if not path.is_file() or not (source / "meta.json").is_file():
        reason = "expected the folder of a saved pipeline, with config.cfg and meta.json"
        raise ValueError(errors.TB070.format(path=source, reason=reason))
    try:
        return util.load_config(path, interpolate=interpolate)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ValueError(errors.TB070.format(path=path, reason=reason)) from error


def _find_transformer(config: Config, source: Path) -> tuple[str, ModuleType]:
    """Return the name of the transformer's component, and the module for its library."""
    found = [
        (name, LIBRARIES[block["factory"]])
        for name, block in config.get("components", {}).items()
        if block.get("factory") in LIBRARIES
    ]
    if len(found) != 1:
        factories = " or ".join(LIBRARIES)
        reason = f"expected one component with the factory {factories}, found {len(found)}"
        raise ValueError(errors.TB073.format(path=source / "config.cfg", reason=reason))
    return found[0]


def _complete(block: Any, where: str, library: ModuleType) -> list[Row]:
    """Add the settings without which a converted pipeline would read other wordpieces.

    block (dict): A block of the converted config; changed.
    where (str): Its path in the config.
    library (module): The library that the pipeline was trained with.
    RETURNS (list of Row): A row for each setting.
    """
    if not isinstance(block, dict):
        return []
    settings = {}
    if block.get("factory") == "trf_wordpiecer":
        settings = library.WORDPIECER
    elif block.get("@architectures") in (LISTENER, ARCHITECTURE):
        settings = library.LISTENER
    block.update(settings)
    why = "the wordpieces that the heads were trained on"
    rows = [Row(where, show_setting(name, v), "translated", why) for name, v in settings.items()]
    return rows + [
        row for name, v in block.items() for row in _complete(v, f"{where}.{name}", library)
    ]


def _check_heads(nlp: Language, source: Path, library: ModuleType) -> None:
    """Check that no head has a transformer of its own that can't be read.

    nlp (Language): The converted pipeline, without weights.
    source (Path): The folder of the pipeline, for errors.
    library (module): The library that the pipeline was trained with.
    RAISES (ValueError): TB073.
    """
    for name, component in nlp.components:
        if own_transformers(component) and not hasattr(library, "make_own_substitute"):
            reason = f"the component '{name}' has a transformer of its own"
            raise ValueError(errors.TB073.format(path=source / "config.cfg", reason=reason))


def _load_transformer(nlp: Language, folder: str) -> None:
    """Load the checkpoint in a folder; the pipeline's config keeps its own name of the checkpoint.

    nlp (Language): The pipeline; changed.
    folder (str): The folder.
    """
    components = [component for _, component in nlp.components]
    for component in components:
        if isinstance(component, TrfWordpiecer):
            given, component.trf_name = component.trf_name, folder
            component.initialize()
            component.trf_name = given
    for component in components:
        if isinstance(component, TrfTok2Vec):
            attrs = component.model.attrs
            given, attrs["trf_name"] = attrs["trf_name"], folder
            component.initialize(nlp=nlp)
            attrs["trf_name"] = given


def _replace_requirements(nlp: Language, package: str) -> None:
    """Replace the other library among the packages that the pipeline needs."""
    requirements = nlp.meta.get("requirements") or []
    kept = [line for line in requirements if not line.replace("_", "-").startswith(package)]
    if requirements:
        nlp.meta["requirements"] = [*kept, f"trf_bridge>={__version__}"]
