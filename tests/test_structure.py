"""Who imports whom, and the book-keeping of error codes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import trf_bridge
from trf_bridge import errors

PACKAGE = Path(trf_bridge.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
TESTS = Path(__file__).parent

CODES = sorted(name for name in vars(errors) if re.fullmatch(r"TB\d{3}", name))

HEAVY = {"torch", "transformers", "spacy", "tokenizers"}

# Room -> what nothing in it may import. `pipes` and `cli` know everything below them.
FORBIDDEN = {
    "": {*HEAVY, "thinc"},
    "align": {*HEAVY, "trf_bridge.wrappers", "trf_bridge.pipes"},
    "wrappers": {
        *["spacy", "trf_bridge.pipes", "trf_bridge.align", "trf_bridge.pictures"],
        "trf_bridge.cli",
    },
    "pipes": {"trf_bridge.pictures", "trf_bridge.cli"},
    "pictures": {"torch", "transformers", "tokenizers", "trf_bridge.wrappers", "trf_bridge.cli"},
}

# Strings in, arrays out: tokenizers that give no offsets get them there.
ALLOWED = {"wrappers": {"trf_bridge.wrappers.tokenizers.slow.placing"}}


def module_name(path):
    parts = ("trf_bridge", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path, type_checking=False):
    """Absolute names of everything that a module imports, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    skipped = set()
    if not type_checking:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped.update(id(inner) for child in node.body for inner in ast.walk(child))
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def reaches(name, forbidden):
    return any(name == room or name.startswith(f"{room}.") for room in forbidden)


@pytest.mark.parametrize("path", MODULES, ids=[module_name(path) for path in MODULES])
def test_rooms_know_only_those_below_them(path):
    inside = path.relative_to(PACKAGE).parts
    room = inside[0] if len(inside) > 1 else ""
    bad = sorted({name for name in imports_of(path) if reaches(name, FORBIDDEN.get(room, ()))})
    bad = [name for name in bad if not reaches(name, ALLOWED.get(room, ()))]
    if room == "":
        bad = [name for name in bad if not reaches(name, {"trf_bridge"})]
    assert not bad


def test_the_walk_sees_relative_and_late_imports(tmp_path):
    assert "trf_bridge.align.offsets" in set(imports_of(PACKAGE / "align" / "apply.py"))
    assert "spacy" in set(imports_of(PACKAGE / "pipes" / "pretrained.py"))
    assert "transformers" in set(imports_of(PACKAGE / "wrappers" / "loading.py"))
    names = set(imports_of(PACKAGE / "__init__.py"))
    assert "trf_bridge.pipes.pretrained" not in names
    assert "trf_bridge.pipes.pretrained" in set(imports_of(PACKAGE / "__init__.py", True))


def test_every_room_is_a_package_that_is_installed():
    assert {path.parent.name for path in MODULES} >= {"align", "wrappers", "pipes", "pictures"}
    for path in MODULES:
        assert (path.parent / "__init__.py").is_file()


def test_codes_are_unique_and_stand_in_their_messages():
    assert len(CODES) > 18
    for code in CODES:
        message = getattr(errors, code)
        assert message.startswith(f"[{code}] ")
        assert message.count("[TB") == 1
        assert message.endswith((".", "}", "trf_bridge"))


def source_of(paths):
    return "\n".join(path.read_text(encoding="utf8") for path in paths)


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_used(code):
    assert re.search(rf"errors\.{code}\b", source_of(MODULES))


def test_every_code_that_is_used_exists():
    assert set(re.findall(r"errors\.(TB\d{3})", source_of(MODULES))) == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_test(code):
    others = [path for path in TESTS.glob("test_*.py") if path.name != Path(__file__).name]
    assert code in source_of(others)


@pytest.mark.parametrize("path", MODULES, ids=[module_name(path) for path in MODULES])
def test_nothing_is_printed_and_no_user_data_asserted(path):
    tree = ast.parse(path.read_text(encoding="utf8"))
    if "cli" in path.parts:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):  # for the type checker, about a layer of our own
            assert ast.unparse(node.test).startswith("isinstance(model, ")
        is_print = isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
        assert not is_print


def test_public_functions_have_docstrings():
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf8"))
        assert ast.get_docstring(tree) or not tree.body
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if public and path.name != "__init__.py":
                assert ast.get_docstring(node), f"{module_name(path)}.{node.name}"
