"""The Python blocks of the pages run, and the generated parts match the code."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import re
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import pytest
import spacy
import typer
from markdown_it import MarkdownIt
from spacy.language import Language
from spacy.tokens.underscore import Underscore
from thinc.api import Config
from trained import IOB2, TEXTS, TOKENS, TOPICS, save_trained

import trf_bridge
from trf_bridge import errors
from trf_bridge.settings import TransformerSettings, WordpiecerSettings, descriptions_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
PAGES += sorted(DOCS.glob("*.md"))
IDS = [str(page.relative_to(ROOT)) for page in PAGES]

# Small checkpoints that replace a package or a name on the hub, in the working directory.
PIPELINES = {"en_trf_bert": "bert"}
CHECKPOINTS = {"distilbert/distilbert-base-uncased": "bert"}
# The same with heads: family, task and labels.
TRAINED = {
    "dslim/bert-base-NER": ("bert", TOKENS, IOB2),
    "cardiffnlp/twitter-roberta-base-sentiment-latest": ("roberta", TEXTS, TOPICS),
    "cross-encoder/nli-distilroberta-base": ("roberta", TEXTS, TOPICS),
}
LISTENER = "trf_bridge.Tok2VecListener.v1"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the line before the text."""

    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    tokens = MarkdownIt().parse(page.read_text(encoding="utf8"))
    fences = [token for token in tokens if token.type == "fence"]
    return [Block(t.info.strip(), t.content, t.map[0] + 1) for t in fences if t.map]


def python_blocks(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.language == "python"]


@pytest.fixture(autouse=True)
def modules_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (DOCS, ROOT / "examples"):
        monkeypatch.syspath_prepend(folder)


@pytest.fixture(scope="module")
def trained(
    checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Save the checkpoints with heads."""
    folder = tmp_path_factory.mktemp("trained")
    return {
        name: save_trained(checkpoint(family), folder / name, task, labels)
        for name, (family, task, labels) in TRAINED.items()
    }


@pytest.fixture
def working_directory(
    tmp_path: Path,
    checkpoint: Callable[[str], Path],
    trained: dict[str, Path],
    pipeline: Callable[..., Language],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Create a folder with small checkpoints under the names that the blocks load."""
    for name, family in PIPELINES.items():
        pipeline(family).to_disk(tmp_path / name)
    for name, family in CHECKPOINTS.items():
        shutil.copytree(checkpoint(family), tmp_path / name)
    for name, path in trained.items():
        shutil.copytree(path, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    # spaCy would prefer the package that `make demo` installs to the folder.
    monkeypatch.setattr(spacy.util, "is_package", lambda name: False)
    return tmp_path


@pytest.fixture
def cpu() -> Iterator[None]:
    """Return to the CPU after blocks that prefer a GPU."""
    yield
    spacy.require_cpu()


@pytest.fixture
def namespace() -> Iterator[dict[str, Any]]:
    """Return the globals of a page, in a module that pickle and typing can find."""
    module = types.ModuleType("page")
    sys.modules[module.__name__] = module
    yield vars(module)
    del sys.modules[module.__name__]


WITH_PYTHON = [page for page in PAGES if python_blocks(page)]


@pytest.mark.filterwarnings("ignore:.*W109")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=[IDS[PAGES.index(p)] for p in WITH_PYTHON])
def test_python_blocks_run(
    page: Path, working_directory: Path, namespace: dict[str, Any], cpu: None
) -> None:
    for block in python_blocks(page):
        # With empty lines above, tracebacks show the line of the page.
        code = compile("\n" * block.line + block.text, str(page), "exec")
        exec(code, namespace)


def test_pages_have_blocks_to_run() -> None:
    blocks = [block for page in WITH_PYTHON for block in python_blocks(page)]
    assert len(blocks) > 25
    # Code in a block without a language would not run.
    others = [block for page in PAGES for block in blocks_of(page) if block.language != "python"]
    assert not [block for block in others if re.search(r"^(import|from) \w+", block.text, re.M)]
    assert {block.language for block in others} <= {
        *["bash", "console", "ini", "text", "{include} ../CHANGELOG.md", "{include} ../README.md"],
        *["{include} ../CONTRIBUTING.md", "{toctree}"],
    }


def test_output_of_the_first_screen() -> None:
    """The README shows what the pipeline of `make demo` prints."""
    if not spacy.util.is_package("en_trf_bert"):
        pytest.skip("the pipeline en_trf_bert is not installed; `make demo` installs it")
    code, output = blocks_of(ROOT / "README.md")[1:3]
    assert (code.language, output.language) == ("python", "text")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.text, {})
    assert printed.getvalue() == output.text


def test_a_failing_block_shows_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nx = 1\nraise KeyError(x)\n```\n")
    (block,) = python_blocks(page)
    with pytest.raises(KeyError) as error:
        exec(compile("\n" * block.line + block.text, str(page), "exec"), {})
    assert error.traceback[-1].lineno + 1 == 5


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_configs_use_existing_names(page: Path) -> None:
    for block in blocks_of(page):
        if block.language != "ini":
            continue
        for name, component in read_config(block.text).get("components", {}).items():
            check_component(name, component)


def read_config(text: str) -> Config:
    """Read a part of a config, with the missing outer sections added."""
    sections = re.findall(r"^\[([\w.]+)\]$", text, re.M)
    parents = {".".join(s.split(".")[:i]) for s in sections for i in range(1, s.count(".") + 1)}
    above = "".join(f"[{section}]\n" for section in sorted(parents - set(sections)))
    return Config().from_str(above + text, interpolate=False)


def check_component(name: str, component: dict[str, Any]) -> None:
    factory = component.get("factory", name)
    if factory in ours("spacy_factories"):
        known = {"factory", "source", *Language.get_factory_meta(factory).default_config}
        assert set(component) <= known
    for registry, block in named_functions(component):
        if block[registry].startswith("trf_bridge."):
            function = getattr(spacy.registry, registry[1:]).get(block[registry])
            assert set(block) - {registry} <= set(inspect.signature(function).parameters)


def named_functions(block: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in block.items():
        if isinstance(value, dict):
            yield from named_functions(value)
        elif key.startswith("@"):
            yield key, block


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_and_paths_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = page.read_text(encoding="utf8")
    for block in blocks_of(page):
        if block.language in ("bash", "console"):
            assert set(re.findall(r"^make ([a-z-]+)", block.text, re.M)) <= targets
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= targets
    folders = "trf_bridge|docs|examples|packaging|benchmarks|tests"
    for path in re.findall(rf"\b(?:{folders})/[\w./-]*\w", text):
        if not path.startswith(("docs/_build", "examples/data")):
            assert list(ROOT.glob(path)), path


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_link_targets_exist(page: Path) -> None:
    text = page.read_text(encoding="utf8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


# Generated parts


def generated(part: str) -> str:
    text: str = importlib.import_module("reference").GENERATED[part]()
    return text


def section(text: str, title: str) -> str:
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert match, title
    return match[1]


def rows_of(text: str) -> dict[str, list[str]]:
    """Return the cells of each row of a table, by the name in its first cell."""
    rows = re.findall(r"^\| `\*{0,2}(\w+)` \| (.*) \|$", text, re.M)
    return {name: rest.split(" | ") for name, rest in rows}


def ours(group: str) -> dict[str, Any]:
    own = [e for e in entry_points(group=group) if e.value.startswith("trf_bridge.")]
    return {entry.name: entry.load() for entry in own}


def test_components_are_described_with_every_field() -> None:
    text = generated("components")
    assert re.findall(r"^## (\w+)$", text, re.M) == list(ours("spacy_factories"))
    for name, make in ours("spacy_factories").items():
        defaults = Language.get_factory_meta(name).default_config
        rows = rows_of(section(text, name))
        assert list(rows) == list(defaults) == list(inspect.signature(make).parameters)[2:]
        assert all(len(cells[0] + cells[-1]) > 20 for cells in rows.values())
        (config,) = re.findall(r"```ini\n(.*?)```", section(text, name), re.S)
        assert read_config(config)["components"] == {name: {"factory": name, **defaults}}


@pytest.mark.parametrize(
    ("part", "group"),
    [
        ("architectures", "spacy_architectures"),
        ("sentence functions", "spacy_misc"),
        ("scorers", "spacy_scorers"),
        ("loggers", "spacy_loggers"),
    ],
)
def test_registered_functions_are_described_with_every_argument(part: str, group: str) -> None:
    text = generated(part)
    assert re.findall(r"^## ([\w.]+)$", text, re.M) == list(ours(group))
    for name, function in ours(group).items():
        rows = rows_of(section(text, name))
        parameters = inspect.signature(function).parameters
        assert list(rows) == list(parameters)
        for argument, (_, default, description) in rows.items():
            assert json.loads(default.strip("`")) == parameters[argument].default
            assert len(description) > 20
        (config,) = re.findall(r"```ini\n(.*?)```", section(text, name), re.S)
        block = Config().from_str(f"[block]\n{config}")["block"]
        assert next(iter(block.values())) == name
        assert list(block)[1:] == list(parameters)


def test_public_names_are_described() -> None:
    text = generated("public names")
    names = [name for name in trf_bridge.__all__ if callable(getattr(trf_bridge, name))]
    assert re.findall(r"^## ([\w.]+)$", text, re.M) == sorted([*names, "align.align"])
    fields = list(trf_bridge.Wordpieces.__dataclass_fields__)
    assert list(rows_of(section(text, "Wordpieces"))) == fields


def test_settings_are_described_instead_of_keyword_arguments() -> None:
    """The table of a function with `**settings` has the fields of the settings classes."""
    rows = rows_of(section(generated("public names"), "from_pretrained"))
    fields = {
        **descriptions_of(WordpiecerSettings),
        **descriptions_of(TransformerSettings),
    }
    del fields["trf_name"]  # the argument name_or_path
    assert list(rows) == ["name_or_path", "lang", "head", *fields]
    assert rows["stride"] == ["int, default `128`", fields["stride"]]
    assert rows["precision"][0] == 'str, default `"fp32"`'
    rows = rows_of(section(generated("components"), "trf_wordpiecer"))
    assert rows["stride"] == ["int", "`128`", fields["stride"]]
    assert rows["separator"][:2] == ["str", "`null`"]
    assert rows["sentences"][:2] == ["str, callable", '`"sents"`']


def test_signatures() -> None:
    text = generated("public names")
    code = "\n\n```python\ntrf_bridge.{}\n```\n\n"
    call = """from_pretrained(
    name_or_path,
    lang="en",
    *,
    head=True,
    **settings,
) -> Language"""
    assert text.count(code.format(call)) == 1
    assert code.format("install_extensions()") in text
    assert code.format("align.align(texts, token_spans, wordpieces) -> Alignment") in text
    assert '    *,\n    style="alignment",\n' in section(text, "render")
    assert ") -> Model\n```" in section(text, "TransformerModel")
    assert "\n### Activations.copy\n" in text


def test_public_members_of_components_are_described() -> None:
    text = section(generated("components"), "trf_tok2vec")
    assert "### TrfTok2Vec.settle\n\n```python\nTrfTok2Vec.settle()\n```\n" in text
    assert "### TrfTok2Vec.engine\n" in text


def test_docstrings_are_parsed() -> None:
    def function() -> None:
        """Do something.

        It needs a second
        line: this one.

        one, two (int, (n, 2)): Two arguments, whose description
            continues.
        **settings: Fields of `WordpiecerSettings`.
        RETURNS (list of int, (n,)): The result.
        RAISES (ValueError): TB001.
        SOURCE: A paper.
        """

    parsed = importlib.import_module("docstrings").read_docstring(function)
    assert parsed.paragraphs == ["Do something.", "It needs a second line: this one."]
    assert list(parsed.arguments) == ["one", "two", "settings"]
    assert parsed.arguments["one"] == parsed.arguments["two"]
    assert parsed.arguments["two"].type == "int, (n, 2)"
    assert parsed.arguments["two"].text == "Two arguments, whose description continues."
    assert list(parsed.notes) == ["RETURNS", "RAISES", "SOURCE"]
    assert parsed.notes["RETURNS"].type == "list of int, (n,)"


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("Two *stars* and `*code*`.", "Two \\*stars\\* and `*code*`."),
        ("Set max_length on trf_wordpiecer.", "Set `max_length` on `trf_wordpiecer`."),
        ("doc._.trf_outputs, freeze = 0.", "`doc._.trf_outputs`, `freeze = 0`."),
        ("float32 (n_wp, width)", "float32 (n\\_wp, width)"),
        ('the "most_context"', 'the "most\\_context"'),
    ],
)
def test_names_in_prose_are_code(text: str, markdown: str) -> None:
    assert importlib.import_module("markup").as_prose(text) == markdown


def test_errors_are_listed_with_their_messages() -> None:
    text = generated("errors")
    codes = sorted(name for name in vars(errors) if re.fullmatch(r"TB\d{3}", name))
    assert re.findall(r"^### (TB\d{3})$", text, re.M) == codes
    plain = re.sub(r"(?<!\\)\*(\w+(?:\\_\w+)*)(?<!\\)\*", r"{\1}", text)
    plain = plain.replace("\\", "").replace("`", "") + "\n"
    for code in codes:
        message = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", getattr(errors, code))
        assert f"### {code}\n\n{message.removeprefix(f'[{code}] ')}\n" in plain
    assert text.index("## Errors") < text.index("## Warnings") < text.index("### TB101")


def test_config_of_the_old_library_is_converted_as_shown() -> None:
    from trf_bridge.conversion.translating import convert_config

    text = (DOCS / "from_spacy_transformers.md").read_text(encoding="utf8")
    blocks = re.findall(r"```ini\n(.*?)```", section(text, "A config"), re.S)
    rest = '[nlp]\npipeline = ["transformer","ner"]\n\n[components]\n\n[components.ner]\n\n'
    rest += "[components.ner.model]\n\n"
    old, new = (Config().from_str(rest + block) for block in blocks)
    converted, _ = convert_config(old)
    assert converted["components"] == new["components"]
    assert converted["nlp"]["pipeline"] == ["trf_wordpiecer", "transformer", "ner"]


def test_recipes_are_listed() -> None:
    recipes = sorted(path.stem for path in (ROOT / "packaging" / "recipes").glob("*.cfg"))
    assert list(rows_of(generated("recipes"))) == recipes


def test_results_are_shown() -> None:
    text = generated("measurements")
    for path in (ROOT / "benchmarks" / "results").glob("*/*"):
        assert f"## {path.stem}.py, {path.parent.name}\n" in text
        if path.suffix == ".md":
            assert path.read_text(encoding="utf8").strip() in text


def test_lines_without_results_are_listed_as_not_measured() -> None:
    reference = importlib.import_module("reference")
    if list(reference.RESULTS.glob("*/gpu.json")):
        assert "results are below" in generated("lines of the gpu benchmark")
    else:
        assert generated("lines of the gpu benchmark").count("| not measured |") == 4


def test_results_without_a_table_are_formatted_as_one() -> None:
    numbers = importlib.import_module("reference")._numbers
    assert "| speed | 4,829 |" in numbers({"speed": 4829.008, "versions": {"torch": "2"}})
    assert "| apart | 1.544e-07 |" in numbers({"apart": 1.5441e-07})
    assert numbers([{"a": 1, "b": 0.5}]) == "| a | b |\n| --- | --- |\n| 1 | 0.5 |"


def test_generated_headings_are_below_the_heading_of_the_page() -> None:
    fill_in = importlib.import_module("reference").fill_in
    text = fill_in(
        "# Title\n\n## Part\n\n```bash\n# no heading\n```\n\n<!-- generated: scorers -->\n"
    )
    assert "\n### trf_bridge.textcat_scorer.v1\n" in text
    with pytest.raises(KeyError, match="no such part"):
        fill_in("<!-- generated: no such part -->")


def test_pages_contain_all_generated_parts() -> None:
    parts = {
        part
        for page in PAGES
        for part in re.findall(r"<!-- generated: ([a-z ]+) -->", page.read_text(encoding="utf8"))
    }
    assert parts == set(importlib.import_module("reference").GENERATED)


def test_attributes_match_the_installed_ones() -> None:
    trf_bridge.install_extensions()
    text = (DOCS / "attributes.md").read_text(encoding="utf8")
    installed = {name for name in Underscore.doc_extensions if name.startswith("trf_")}
    assert set(re.findall(r"`doc\._\.(trf_\w+)`", text)) == installed


def test_names_in_the_table_of_the_peer_exist() -> None:
    """The names in the second column of the page on spacy-transformers exist in the code."""
    trf_bridge.install_extensions()
    page = (DOCS / "from_spacy_transformers.md").read_text(encoding="utf8")
    rows = re.findall(r"^\| (?!spacy-transformers|---).*? \| (.*?) \| .*\|$", page, re.M)
    assert len(rows) > 25
    fields = {
        *inspect.signature(trf_bridge.TransformerModel).parameters,
        *inspect.signature(ours("spacy_architectures")[LISTENER]).parameters,
        *Language.get_factory_meta("trf_wordpiecer").default_config,
    }
    for name in re.findall(r"`([^`]+)`", " ".join(rows)):
        if name.startswith("trf_bridge."):
            assert name in ours("spacy_architectures")
        elif name.startswith("doc._."):
            assert name.removeprefix("doc._.") in Underscore.doc_extensions
        elif name.startswith("doc."):
            assert hasattr(spacy.tokens.Doc, name.removeprefix("doc."))
        else:
            known = {*fields, *ours("spacy_factories"), "@misc"}
            assert name.partition(" = ")[0] in known, name


def test_plans_match_the_command() -> None:
    from trf_bridge.cli.training_config import PLANS

    text = (DOCS / "training.md").read_text(encoding="utf8")
    (header,) = re.findall(r"^\| \| (.*) \|\n\|---", text, re.M)
    names = re.findall(r"`(\w+)`", header)
    assert set(names) == set(PLANS)
    rows = re.findall(r"^\| (?:the tr|of its|training|or after|the score).*", text, re.M)
    for place, name in enumerate(names, 2):
        cells = [row.split(" | ")[place - 1].rstrip(" |") for row in rows]
        plan = PLANS[name]
        assert f'"{plan.model.get("precision", "fp32")}"' in cells[0]
        assert f"`freeze = {json.dumps(plan.model.get('freeze', 'none'))}`" in cells[1]
        numbers = [int(re.sub(r"\D", "", cell)) for cell in cells[2:]]
        assert numbers == [plan.steps, plan.patience, plan.eval_frequency]


# Commands


class Style(str, Enum):
    a = "a"
    b = "b"


def look(
    text: list[str],
    style: Annotated[Style, typer.Option(help="How | it looks.")] = Style.a,
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
    secret: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Check a text.

    More of it, with `code` and <tags>.

    \b
    Example:
      look TEXT
        and more
    """


def test_commands_are_described() -> None:
    app = typer.Typer(rich_markup_mode=None)
    app.command("look")(look)
    app.command("other")(lambda: None)
    text = importlib.import_module("commands").commands(typer.main.get_command(app))
    assert re.findall(r"^## (\w+)$", text, re.M) == ["look", "other"]
    assert re.match(r"## look\n\n```text\npython -m spacy trf look .+\n```\n\nCheck a text", text)
    assert "\n\nMore of it, with `code` and \\<tags\\>.\n\n" in text
    assert "\n\nExample:\n\n```text\nlook TEXT\n  and more\n```\n" in text
    assert re.search(r"^\| `text\S* .*` \| .* \|$", text, re.M)
    assert re.search(r"^\| `--style .*a\\\|b.*` \| How \\\| it looks\..* \|$", text, re.M)
    assert re.search(r"^\| `--force` \| Overwrite\. \|$", text, re.M)
    assert "secret" not in text


def test_commands_of_the_package_are_described() -> None:
    group, text = importlib.import_module("commands").find_group(), generated("commands")
    names = [] if group is None else group.list_commands(None)
    assert re.findall(r"^## (\w+)$", text, re.M) == names
    for name in names:
        for parameter in group.get_command(None, name).params:
            term = (parameter.metavar or parameter.opts[-1]).replace("|", "\\|")
            assert getattr(parameter, "hidden", False) or term in section(text, name)


# Pictures


def test_picture_is_up_to_date() -> None:
    drawing = importlib.import_module("draw_alignment")
    assert drawing.PICTURE.read_text(encoding="utf8") == drawing.draw(drawing.compute())


def test_picture_shows_the_wordpieces_of_an_uncased_bert(tmp_path: Path) -> None:
    from transformers import BertTokenizerFast

    drawing = importlib.import_module("draw_alignment")
    vocabulary = tmp_path / "vocab.txt"
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "she",
        "is",
        "isn",
        "'",
        "t",
        "home",
        ".",
    ]
    vocabulary.write_text("\n".join(words))
    tokenizer = BertTokenizerFast.from_pretrained(tmp_path)
    encoding = tokenizer(drawing.TEXT, return_offsets_mapping=True, return_special_tokens_mask=True)
    assert tokenizer.convert_ids_to_tokens(encoding["input_ids"]) == drawing.PIECES
    assert encoding["offset_mapping"] == drawing.OFFSETS
    assert encoding["special_tokens_mask"] == [int(edge) for edge in drawing.BOUNDARY]
    assert [token.text for token in spacy.blank("en")(drawing.TEXT)] == drawing.TOKENS


def test_picture_shows_the_weights() -> None:
    drawing = importlib.import_module("draw_alignment")
    alignment = drawing.compute()
    assert alignment.tolist() == [[0, 1, 7], [0, 2, 7], [0, 2, 3, 4, 7], [0, 5, 7], [0, 6, 7]]
    text = drawing.PICTURE.read_text(encoding="utf8")
    assert re.findall(r">(1|1/2|1/5 each)<", text) == [
        *["1", "1/2", "1/2", "1", "1", "1", "1", "1/5 each", "1/5 each"]
    ]


@pytest.mark.parametrize(
    ("part", "kind", "words"),
    [
        ("picture of an alignment", "alignment", ["n&#x27;t", "[CLS]", "1/5"]),
        ("picture of attention", "attention", ["shares", "[CLS]"]),
        ("picture of similarity", "similarity", ["shares", "delicious"]),
    ],
)
def test_pictures_are_drawn_into_the_page(
    part: str, kind: str, words: list[str], working_directory: Path
) -> None:
    text = generated(part)
    assert text.startswith('```{raw} html\n<div class="trf-render"')
    assert text.endswith("\n```")
    assert text.count("```") == 2
    assert f'data-kind="{kind}"' in text
    assert all(word in text for word in words)
