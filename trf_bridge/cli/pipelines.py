"""Pipelines that the commands load: installed packages and saved folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

PIPELINE = "an installed pipeline, or the folder of a saved one"
NEEDS = ("trf_wordpiecer", "trf_tok2vec")


def load_transformer(name: str, *, output_attentions: bool = False) -> Language:
    """Load a pipeline up to its transformer.

    name (str): An installed package, or a folder.
    output_attentions (bool): Let the transformer keep its attentions, whatever the config says.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): TB043, TB044; TB013 where the checkpoint gives no attentions.
    """
    if not output_attentions:
        return load_pipeline(name, needs=NEEDS, only=True)
    import spacy

    folder = find_pipeline(name)
    needed = find_components(folder, name, NEEDS)
    names = list(read_components(folder))
    last = max(names.index(component) for component in needed.values())
    config = {"components": {needed["trf_tok2vec"]: {"model": {"output_attentions": True}}}}
    return spacy.load(folder, exclude=names[last + 1 :], config=config)


def run_over(nlp: Language, like: Doc) -> Doc:
    """Run a pipeline over the tokens, and the sentences, of a Doc of another pipeline.

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
    RAISES (ValueError): TB044 where it is neither.
    """
    from spacy.util import get_package_path, is_package

    if is_package(name):
        return _data_folder(get_package_path(name))
    folder = Path(name)
    if not folder.exists():
        reason = "it is neither an installed package nor a folder"
    elif not is_pipeline(folder):
        reason = "it is not the folder of a saved pipeline: it lacks config.cfg or meta.json"
    else:
        return folder
    raise ValueError(errors.TB044.format(path=name, reason=reason, expected=PIPELINE))


def is_pipeline(folder: Path) -> bool:
    """RETURNS (bool): Whether a folder has what each saved pipeline has."""
    return all((folder / name).is_file() for name in ("config.cfg", "meta.json"))


def _data_folder(package: Path) -> Path:
    """The folder in a package of a pipeline that has what `nlp.to_disk` saved."""
    import srsly

    if (package / "meta.json").is_file():
        meta = srsly.read_json(package / "meta.json")
        folder = package / f"{meta['lang']}_{meta['name']}-{meta['version']}"
        if is_pipeline(folder):
            return folder
    reason = "it is installed, and it is no package of a spaCy pipeline"
    raise ValueError(errors.TB044.format(path=package.name, reason=reason, expected=PIPELINE))


def read_components(folder: Path) -> dict[str, str]:
    """Read what a pipeline is made of.

    folder (Path): The folder of the pipeline.
    RETURNS (dict): Factory of each component by its name, in the order of the pipeline.
    """
    from spacy.util import load_config

    config = load_config(folder / "config.cfg", interpolate=False)
    names, blocks = config.get("nlp", {}).get("pipeline", []), config.get("components", {})
    return {name: blocks.get(name, {}).get("factory", "") for name in names}


def find_components(folder: Path, pipeline: str, needs: Sequence[str]) -> dict[str, str]:
    """Find the components that a command needs.

    folder (Path): The folder of the pipeline.
    pipeline (str): What the user calls it.
    needs (sequence of str): Factories of components, such as "trf_wordpiecer".
    RETURNS (dict): Name of the component by each of these; of several, the first.
    RAISES (ValueError): TB043 where one is missing.
    """
    components = read_components(folder)
    names = {factory: name for name, factory in reversed(components.items())}
    for factory in needs:
        if factory not in names:
            found = ", ".join(components) or "none"
            raise ValueError(errors.TB043.format(pipeline=pipeline, needs=factory, found=found))
    return {factory: names[factory] for factory in needs}


def load_pipeline(name: str, *, needs: Sequence[str], only: bool = False) -> Language:
    """Load a pipeline that has what a command needs.

    name (str): An installed package, or a folder.
    needs (sequence of str): Factories of components, such as "trf_wordpiecer".
    only (bool): Leave out, and don't read, the components after the last of these.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): TB043 where there is no such component; TB044 where there is no such
        pipeline; what its components raise.
    """
    import spacy

    folder = find_pipeline(name)
    needed = find_components(folder, name, needs)
    names = list(read_components(folder))
    last = max(names.index(component) for component in needed.values())
    return spacy.load(folder, exclude=names[last + 1 :] if only else [])
