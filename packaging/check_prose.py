"""Check the prose of the project for phrases that its English avoids.

    python packaging/check_prose.py
    python packaging/check_prose.py README.md trf_bridge/align

The check covers pages, docstrings, comments, names of tests, help texts, and all strings of the
error messages and of the command line. Code in backticks and titles after SOURCE are skipped.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/*.md", ".github/**/*.md")
CONFIGURATION = ("Makefile", "constraints*.txt", ".github/**/*.yml", ".pre-commit-config.yaml")
CODE = (
    *(f"{folder}/**/*.py" for folder in ("trf_bridge", "examples", "benchmarks", "packaging")),
    *("docs/*.py", "tests/**/*.py", "trf_bridge/**/*.pyx", "setup.py"),
)
# Users read all strings of these.
MESSAGES = ("trf_bridge/errors.py", "trf_bridge/cli/")

# Phrase (a regular expression) -> how to write instead. A phrase is listed only if it has no good
# use in this project.
PHRASES = {
    # Software does not speak, know or want.
    "says": "is, contains, returns",
    "(is|are|was|were|been) (told|asked)": "takes, receives, gets",
    "tells? (apart|which|whether|how|what|of)": "shows, distinguishes",
    "told apart": "distinguished",
    "tell (it|them|transformers|torch|spacy|thinc|wasabi)": "pass, register, set",
    "ask(s|ed|ing)? for": "requires, requests",
    "ask(s|ed)": "requests, calls, checks",
    "knows": "has, stores, supports",
    "wants": "needs",
    "(hand|hands|handed) out": "returns, passes",
    "(take|takes|took|taking) part": "is included",
    "(looks?|looking|looked) at": "reads, checks, compares",
    "stands?": "is, represents, replaces",
    "stood": "was, represented",
    # Words and turns of another language.
    "anew": "again, or a verb with re-",
    "parted": "separated",
    "whoever|whomever": "users, callers",
    "nobody|somebody": "no caller, a user",
    "becomes? of|became of": "happens to, or how it is handled",
    "ma(ke|kes|de) (out )?of (it|them)": "computed from it",
    "for want of": "without",
    "(is|are|one) of (its|their) own": "separate, custom",
    "of (one's|someone's) own": "custom",
    "in the place of": "instead of, replaces",
    "go(es)? along": "is included",
    "what is there": "what exists",
    "let(s|ting)? go of": "drops, frees",
    "(is|are) (not )?to be": "must be, or an imperative",
    "(cut|cuts|cutting) (up|off|short)": "splits, truncates",
    "lies? (beside|apart)": "is beside, differs",
    "is said to be|are said to be|what is said": "is declared, is marked",
    "(as|like) (it|they) (was|were)": "unchanged",
    "put side by side": "compare",
    "if need be": "if necessary",
    "the one as the other": "both",
    "in what follows": "below",
}
# Matches phrases across the end of a line.
PATTERN = re.compile(r"\b(?:" + "|".join(PHRASES).replace(" ", r"[\s#]+") + r")\b", re.IGNORECASE)
# Code, and the titles of sources.
SKIPPED = re.compile(r"``.+?``|`[^`\n]+`|SOURCE:.*")
FENCE = re.compile(r"^(\s*)(```|~~~).*?^\s*\2", re.MULTILINE | re.DOTALL)


class Hit(NamedTuple):
    """Store a phrase that was found."""

    path: str
    line: int
    phrase: str
    advice: str


def find_hits(name: str, text: str) -> list[Hit]:
    """Find phrases in a file.

    name (str): Path of the file, relative to the repository, with slashes.
    text (str): Its content.
    RETURNS (list of Hit): The hits, by line.
    """
    hits = []
    for first, passage in split_passages(name, text):
        passage = SKIPPED.sub(_blank, passage)
        for match in PATTERN.finditer(passage):
            phrase = " ".join(match[0].replace("#", " ").split())
            line = first + passage.count("\n", 0, match.start())
            hits.append(Hit(name, line, phrase, _advice(phrase)))
    return sorted(set(hits))


def split_passages(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Split the prose of a file into passages.

    name (str): Path of the file, relative to the repository.
    text (str): Its content.
    YIELDS (tuple of int, str): The number of the first line, and the lines of the passage.
    """
    if name.endswith(".md"):
        yield 1, FENCE.sub(_blank, text)
    elif name.endswith(".py"):
        yield from _comments(text)
        yield from _strings(text, every=name.startswith(MESSAGES))
    elif name.endswith(".pyx"):
        yield from _comments(text)
        for match in re.finditer(r'"""(.*?)"""', text, re.DOTALL):
            yield 1 + text.count("\n", 0, match.start(1)), match[1]
    else:
        for number, line in enumerate(text.splitlines(), start=1):
            if "#" in line:
                yield number, line.partition("#")[2]


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield comments; those on successive lines as one passage."""
    last, lines = 0, []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        number = token.start[0]
        if lines and number != last + 1:
            yield last - len(lines) + 1, "\n".join(lines)
            lines = []
        lines.append(token.string)
        last = number
    if lines:
        yield last - len(lines) + 1, "\n".join(lines)


def _strings(text: str, every: bool) -> Iterator[tuple[int, str]]:
    """Yield docstrings, help texts, names of tests, and all other strings if `every`."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and _is_text(first.value):
                yield first.lineno, _source(text, first)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")
        if isinstance(node, ast.keyword) and node.arg in ("help", "description"):
            yield node.value.lineno, _source(text, node.value)
        if every and _is_text(node):
            yield node.lineno, node.value


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _source(text: str, node: ast.AST) -> str:
    return ast.get_source_segment(text, node) or ""


def _blank(match: re.Match[str]) -> str:
    """Replace code by as many lines without text."""
    return "\n" * match[0].count("\n") or " "


def _advice(phrase: str) -> str:
    return next(advice for pattern, advice in PHRASES.items() if re.match(pattern, phrase, re.I))


def list_files(paths: Sequence[Path], root: Path = ROOT) -> list[Path]:
    """List the files of the check.

    paths (sequence of Path): Files and folders to restrict it to; all if empty.
    root (Path): The repository.
    RETURNS (list of Path): The files, sorted.
    """
    found = {path for pattern in (*PAGES, *CONFIGURATION, *CODE) for path in root.glob(pattern)}
    if paths:
        chosen = [path.resolve() for path in paths]
        found = {path for path in found if any(path.is_relative_to(other) for other in chosen)}
    built = root / "docs" / "_build"
    return sorted(path for path in found if not path.is_relative_to(built))


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Print all hits and return the exit status."""
    parser = argparse.ArgumentParser(description="Check the prose of the project.")
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders; default: all")
    parser.add_argument("--count", action="store_true", help="print the number per folder only")
    options = parser.parse_args(arguments)
    hits: list[Hit] = []
    for path in list_files(options.paths, root):
        name = path.relative_to(root).as_posix()
        hits += find_hits(name, path.read_text(encoding="utf8"))
    if options.count:
        folders = Counter(hit.path.rpartition("/")[0] or "." for hit in hits)
        for folder, count in sorted(folders.items()):
            print(f"{folder}: {count}")
    else:
        for hit in hits:
            print(f"{hit.path}:{hit.line}: '{hit.phrase}'; write: {hit.advice}")
    if hits:
        print(f"error: {len(hits)} phrases that the project avoids", file=sys.stderr)
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main())
