"""Find, load and run pipelines: installed packages and saved folders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from ..conversion.origins import library_of_config

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

PIPELINE = "an installed pipeline, or the folder of a saved one"
TRANSFORMER = ("trf_wordpiecer", "trf_tok2vec")


def load_pipeline(
    name: str,
    *,
    needs: Sequence[str],
    optional: Sequence[str] = (),
    only_needed: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> Language:
    """Load a pipeline that has the components that a command needs.

    name (str): An installed package, or a folder.
    needs (sequence of str): Factories of the components, such as "trf_wordpiecer".
    optional (sequence of str): Factories of components that are also needed if the pipeline has
        them.
    only_needed (bool): Leave out the components after the last needed one. Their files are not
        read.
    overrides (dict): Settings by factory, which replace those in the pipeline's config.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): TB043 for a missing component; TB044 for a missing pipeline; TB065 for a
        pipeline of another library; the errors of its components.
    """
    import spacy

    folder = find_pipeline(name)
    components = read_components(folder)
    needs = [*needs, *(factory for factory in optional if factory in components.values())]
    needed = find_components(folder, name, needs)
    names = list(components)
    last = max(names.index(component) for component in needed.values())
    settings = {needed[factory]: block for factory, block in (overrides or {}).items()}
    return spacy.load(
        folder,
        exclude=names[last + 1 :] if only_needed else [],
        config={"components": settings} if settings else {},
    )


def load_transformer(name: str, *, output_attentions: bool = False) -> Language:
    """Load a pipeline up to its transformer.

    name (str): An installed package, or a folder.
    output_attentions (bool): Store the attention weights, whatever the pipeline's config sets.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): TB043, TB044, TB065; TB013 if the checkpoint returns no attention weights.
    """
    overrides = {"trf_tok2vec": {"model": {"output_attentions": True}}} if output_attentions else {}
    return load_pipeline(name, needs=TRANSFORMER, only_needed=True, overrides=overrides)


def run_over(nlp: Language, like: Doc) -> Doc:
    """Run a pipeline over the tokens and sentences of a Doc of another pipeline.

    nlp (Language): The pipeline.
    like (Doc): The Doc.
    RETURNS (Doc): A Doc with the same tokens.
    """
    from spacy.tokens import Doc

    starts: list[bool | int | None] | None = None
    if like.has_annotation("SENT_START"):
        starts = [bool(token.is_sent_start) for token in like]
    words, spaces = [t.text for t in like], [bool(t.whitespace_) for t in like]
    return nlp(Doc(nlp.vocab, words=words, spaces=spaces, sent_starts=starts))


def find_pipeline(name: str) -> Path:
    """Find the folder of a pipeline, as `spacy.load` does.

    name (str): An installed package, or a folder.
    RETURNS (Path): The folder with its config.cfg and meta.json.
    RAISES (ValueError): TB044 if it is neither.
    """
    from spacy.util import get_package_path, is_package

    if is_package(name):
        return _data_folder(get_package_path(name))
    folder = Path(name)
    if not folder.exists():
        reason = "it is neither an installed package nor a folder"
    elif not is_pipeline(folder):
        reason = "the folder is not a saved pipeline: config.cfg or meta.json is missing"
    else:
        return folder
    raise ValueError(errors.TB044.format(path=name, reason=reason, expected=PIPELINE))


def find_pipeline_or_checkpoint(name: str) -> Path | None:
    """Distinguish pipelines from checkpoints, without loading anything.

    name (str): An installed package, a folder, or a name on the Hugging Face hub.
    RETURNS (Path): The folder of the pipeline; None for a checkpoint.
    RAISES (ValueError): TB044 if it is neither.
    """
    from spacy.util import is_package

    folder = Path(name)
    if is_package(name) or (folder / "config.cfg").is_file():
        return find_pipeline(name)
    if folder.exists():
        is_checkpoint = (folder / "config.json").is_file()
        reason = "it has neither the config.cfg of a pipeline nor the config.json of a checkpoint"
    else:
        # At most one slash, and no start of a path: the form of a name on the hub.
        is_checkpoint = re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", name, re.ASCII) is not None
        reason = "it is not an installed pipeline, not a folder, and not a valid name on the hub"
    if is_checkpoint:
        return None
    expected = f"{PIPELINE}, or a checkpoint"
    raise ValueError(errors.TB044.format(path=name, reason=reason, expected=expected))


def is_pipeline(folder: Path) -> bool:
    """Return whether a folder has the files of a saved pipeline."""
    return all((folder / name).is_file() for name in ("config.cfg", "meta.json"))


def _data_folder(package: Path) -> Path:
    """Return the folder of a pipeline's package that `nlp.to_disk` wrote."""
    import srsly

    if (package / "meta.json").is_file():
        meta = srsly.read_json(package / "meta.json")
        folder = package / f"{meta['lang']}_{meta['name']}-{meta['version']}"
        if is_pipeline(folder):
            return folder
    reason = "it is installed, but it is not the package of a spaCy pipeline"
    raise ValueError(errors.TB044.format(path=package.name, reason=reason, expected=PIPELINE))


def read_components(folder: Path) -> dict[str, str]:
    """Read the components of a pipeline from its config.

    folder (Path): The folder of the pipeline.
    RETURNS (dict): Factory of each component by its name, in the order of the pipeline.
    """
    from spacy.util import load_config

    config = load_config(folder / "config.cfg", interpolate=False)
    names, blocks = config.get("nlp", {}).get("pipeline", []), config.get("components", {})
    return {name: blocks.get(name, {}).get("factory", "") for name in names}


def read_language(folder: Path) -> str:
    """Read the language code of a pipeline from its config.

    folder (Path): The folder of the pipeline.
    RETURNS (str): The code.
    """
    from spacy.util import load_config

    lang: str = load_config(folder / "config.cfg", interpolate=False)["nlp"]["lang"]
    return lang


def check_library(folder: Path, pipeline: str) -> None:
    """Check that a pipeline does not need another library for its transformer.

    folder (Path): The folder of the pipeline.
    pipeline (str): The pipeline as the user named it, for errors.
    RAISES (ValueError): TB065.
    """
    from spacy.util import load_config

    library = library_of_config(load_config(folder / "config.cfg", interpolate=False))
    if library:
        raise ValueError(errors.TB065.format(pipeline=pipeline, library=library))


def find_components(folder: Path, pipeline: str, needs: Sequence[str]) -> dict[str, str]:
    """Find the components that a command needs.

    folder (Path): The folder of the pipeline.
    pipeline (str): The pipeline as the user named it, for errors.
    needs (sequence of str): Factories of components, such as "trf_wordpiecer".
    RETURNS (dict): Name of the first component of each factory, by factory.
    RAISES (ValueError): TB043 for a missing component; TB065 for a pipeline of another library.
    """
    components = read_components(folder)
    if not set(needs) <= set(components.values()):
        check_library(folder, pipeline)
    names = {factory: name for name, factory in reversed(components.items())}
    for factory in needs:
        if factory not in names:
            found = ", ".join(components) or "none"
            raise ValueError(errors.TB043.format(pipeline=pipeline, needs=factory, found=found))
    return {factory: names[factory] for factory in needs}
