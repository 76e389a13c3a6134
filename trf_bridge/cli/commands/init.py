"""`spacy trf init`: create a pipeline folder from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...settings import TransformerSettings, WordpiecerSettings, defaults_of
from ..console import Force, quiet_downloads, say, steps
from ..setting_options import setting_options
from ..writing import check_output, creating_folder


@setting_options(WordpiecerSettings, TransformerSettings, exclude=("trf_name",))
def command(
    name_or_path: Annotated[
        str, typer.Argument(help="A checkpoint: a folder, or a name on the Hugging Face hub.")
    ],
    out: Annotated[Path, typer.Argument(help="The folder to create.")],
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="Language code of spaCy's tokenizer.")
    ] = "en",
    head: Annotated[
        bool, typer.Option("--head/--no-head", help="Add a component for the checkpoint's head.")
    ] = True,
    force: Force = False,
    **settings: Any,
) -> None:
    """Create a pipeline folder from a Hugging Face checkpoint.

    The folder contains the weights, the tokenizer and the settings. spacy.load loads it without a
    network connection. A head for token or sequence classification becomes a component with the
    checkpoint's labels. Most options are settings of trf_wordpiecer and trf_tok2vec, and have the
    names and defaults of a config; null is the value of an option that is not given. A function for
    sentences can be set in a config only.

    \b
    Example:
      python -m spacy trf init distilbert/distilbert-base-uncased ./en_distilbert --lang en
    """
    check_output(out, force=force, folder=True)
    quiet_downloads()
    with steps(2) as step:
        step("Loading the checkpoint")
        from ...pipes.pretrained import from_pretrained
        from ...pipes.storage import replacing

        # Without the defaults, so that the head of a checkpoint can bring its own.
        known = {**defaults_of(WordpiecerSettings), **defaults_of(TransformerSettings)}
        given = {name: value for name, value in settings.items() if value != known[name]}
        nlp = from_pretrained(name_or_path, lang=lang, head=head, **given)
        step("Saving the pipeline")
        with creating_folder(out.absolute().parent), replacing(out.absolute()) as folder:
            nlp.to_disk(folder)
    say(f"Saved the pipeline to {out}: {', '.join(nlp.pipe_names)}", style="good")
