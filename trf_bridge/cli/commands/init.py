"""`spacy trf init`: a ready pipeline folder from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import Force, quiet_downloads, say, steps
from ..writing import check_output, made_folder


def command(
    name_or_path: Annotated[
        str, typer.Argument(help="A checkpoint: a folder, or a name on the Hugging Face hub.")
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="Code of the language whose tokenizer spaCy uses.")
    ] = "en",
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit on the hub.", show_default=False)
    ] = None,
    sentences: Annotated[
        str, typer.Option(help='What the model reads at once: "sents" or the whole "doc".')
    ] = "sents",
    max_length: Annotated[
        int | None,
        typer.Option(
            help="The most wordpieces that it reads at once, if not the model's own maximum.",
            show_default=False,
        ),
    ] = None,
    overflow: Annotated[
        str, typer.Option(help='What becomes of longer texts: "truncate" or "window".')
    ] = "truncate",
    words_per_batch: Annotated[
        int, typer.Option(help="Wordpieces, padding included, of a subbatch; 0 for no limit.")
    ] = 3000,
    precision: Annotated[
        str, typer.Option(help='What the model computes in: "fp32", "bf16", "fp16" or "auto".')
    ] = "fp32",
    output_hidden_states: Annotated[
        bool, typer.Option("--output-hidden-states", help="Keep the output of every layer.")
    ] = False,
    output_attentions: Annotated[
        bool,
        typer.Option("--output-attentions", help="Keep the attention weights of every layer."),
    ] = False,
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Run code that the checkpoint brings with it."),
    ] = False,
    force: Force = False,
) -> None:
    """Make a ready pipeline folder from a checkpoint.

    The folder holds weights, tokenizer and settings: it loads with spacy.load, without a network.

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

        nlp = from_pretrained(
            name_or_path,
            lang=lang,
            revision=revision,
            sentences=sentences,
            max_length=max_length,
            overflow=overflow,
            words_per_batch=words_per_batch,
            precision=precision,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            trust_remote_code=trust_remote_code,
        )
        step("Saving the pipeline")
        with made_folder(out.absolute().parent), replacing(out.absolute()) as folder:
            nlp.to_disk(folder)
    say(f"Saved the pipeline to {out}: {', '.join(nlp.pipe_names)}", style="good")
