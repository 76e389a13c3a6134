"""The rules of the rooms: which folder imports which, sizes, names, and the list of error codes."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import trf_bridge
from trf_bridge import errors

PACKAGE = Path(trf_bridge.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
TESTS = Path(__file__).parent

CODES = sorted(name for name in vars(errors) if re.fullmatch(r"TB\d{3}", name))

# Room -> the rooms that its modules may import, besides its own and the modules of the root.
ROOMS: dict[str, set[str]] = {
    "": set(),
    "align": set(),
    "wrappers": set(),
    "wrappers.tokenizers.slow": {"wrappers"},
    "wrappers.tokenizers": {"wrappers", "wrappers.tokenizers.slow"},
    "wrappers.training": {"wrappers"},
    "wrappers.engine": {"wrappers", "wrappers.training"},
    "wrappers.models": {"wrappers", "wrappers.training", "wrappers.engine"},
    "pipes.doc": {"align", "wrappers.tokenizers"},
    "pipes.heads": {"align", "pipes.doc", "wrappers", "wrappers.models"},
    "pipes": {
        *["align", "pipes.doc", "pipes.heads"],
        *["wrappers", "wrappers.tokenizers", "wrappers.engine", "wrappers.models"],
    },
    "pictures": {"align", "pipes.doc"},
    "conversion.reading": {"pipes.heads", "wrappers.models"},
    "conversion": {
        *["align", "pipes", "pipes.doc", "pipes.heads", "conversion.reading"],
        *["wrappers", "wrappers.tokenizers", "wrappers.models"],
    },
    "cli": {
        *["align", "pipes", "pipes.doc", "pictures", "conversion"],
        *["wrappers.tokenizers", "wrappers.engine"],
    },
    "cli.commands": {"cli", "pipes", "pictures"},
}

HEAVY = {"torch", "transformers", "spacy", "tokenizers"}

# Room -> libraries that it must not import.
LIBRARIES = {
    "": {*HEAVY, "thinc"},
    "align": HEAVY,
    "wrappers": {"spacy"},
    "pictures": {"torch", "transformers", "tokenizers"},
}

# Modules of one name that do the same job: one loads tokenizers, the other models.
SAME_JOB = {"__init__", "loading"}

MAX_MODULES = 14
MAX_LINES = 340
MAX_FUNCTION_LINES = 42


def module_name(path):
    parts = ("trf_bridge", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(path):
    return ".".join(path.relative_to(PACKAGE).parts[:-1])


NAMES = {module_name(path): path for path in MODULES}
IDS = [module_name(path) for path in MODULES]


def parse(path):
    return ast.parse(path.read_text(encoding="utf8"))


def imports_of(path, type_checking=False):
    """List the absolute names of everything that a module imports, at any depth."""
    tree = parse(path)
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


def modules_imported_by(path, type_checking=False):
    """List the modules of the package that a module imports, and not the packages above them."""
    names = [name for name in imports_of(path, type_checking) if name in NAMES]
    return {
        name
        for name in names
        if not any(other.startswith(f"{name}.") for other in names) or "__init__" not in str(path)
    } - {module_name(path), "trf_bridge"}


def reaches(name, forbidden):
    return any(name == library or name.startswith(f"{library}.") for library in forbidden)


def test_every_folder_is_a_room_and_a_package():
    assert {room_of(path) for path in MODULES} == set(ROOMS)
    for path in MODULES:
        assert (path.parent / "__init__.py").is_file()


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_rooms_import_only_rooms_below_them(path):
    room = room_of(path)
    allowed = {"", room, *ROOMS[room]}
    imported = {room_of(NAMES[name]) for name in modules_imported_by(path)}
    # `from ..x import y` also names the packages on the way: `trf_bridge.wrappers` of an import of
    # `trf_bridge.wrappers.engine` is that import's own folder.
    assert imported <= allowed


def test_rooms_have_an_order():
    """Each room can be listed after all the rooms that it imports."""
    left, listed = dict(ROOMS), set()
    while left:
        ready = {room for room, below in left.items() if below <= listed}
        assert ready, f"rooms that import each other: {sorted(left)}"
        listed |= ready
        left = {room: below for room, below in left.items() if room not in ready}


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_rooms_import_only_their_libraries(path):
    parts = room_of(path).split(".")
    forbidden = LIBRARIES.get(parts[0], set())
    assert not sorted({name for name in imports_of(path) if reaches(name, forbidden)})


def find_cycle(graph):
    """Return the nodes of a cycle of a graph; none if there is none."""
    state: dict[str, int] = {}

    def visit(node, trail):
        state[node] = 1
        for other in graph[node]:
            if state.get(other) == 1:
                return [*trail[trail.index(other) :], other] if other in trail else [node, other]
            if other not in state and (cycle := visit(other, [*trail, other])):
                return cycle
        state[node] = 2
        return []

    for node in graph:
        if node not in state and (cycle := visit(node, [node])):
            return cycle
    return []


def test_no_modules_import_each_other():
    assert not find_cycle({name: modules_imported_by(path) for name, path in NAMES.items()})


def test_a_cycle_is_found():
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_the_walk_finds_relative_and_late_imports():
    assert "trf_bridge.align.offsets" in set(imports_of(PACKAGE / "align" / "apply.py"))
    assert "spacy" in set(imports_of(PACKAGE / "pipes" / "pretrained.py"))
    assert "transformers" in set(imports_of(PACKAGE / "wrappers" / "configs.py"))
    names = set(imports_of(PACKAGE / "__init__.py"))
    assert "trf_bridge.pipes.pretrained" not in names
    assert "trf_bridge.pipes.pretrained" in set(imports_of(PACKAGE / "__init__.py", True))


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_behaviour_does_not_depend_on_callers_and_classes_stay(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("_getframe", "f_locals", "f_back", "currentframe")
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            assert not (isinstance(target, ast.Attribute) and target.attr == "__class__")


def test_folders_hold_few_modules():
    counts = Counter(room_of(path) for path in MODULES if path.name != "__init__.py")
    assert max(counts.values()) <= MAX_MODULES


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_modules_and_functions_are_short(path):
    text = path.read_text(encoding="utf8")
    assert text.count("\n") <= MAX_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            n_lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert n_lines <= MAX_FUNCTION_LINES, f"{node.name}: {n_lines} lines"


def test_modules_have_different_names():
    counts = Counter(path.stem for path in MODULES)
    assert {name for name, n in counts.items() if n > 1} <= SAME_JOB


def test_no_helper_is_written_twice():
    seen: dict[str, str] = {}
    for path in MODULES:
        for node in parse(path).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("_"):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                written = "\n".join(ast.dump(statement) for statement in body)
                name = f"{module_name(path)}.{node.name}"
                assert written not in seen, f"{name} repeats {seen[written]}"
                seen[written] = name


def test_codes_are_unique_and_start_their_messages():
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
    others = [path for path in TESTS.rglob("test_*.py") if path.name != Path(__file__).name]
    assert code in source_of(others)


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_nothing_is_printed_and_no_user_data_asserted(path):
    if "cli" in path.relative_to(PACKAGE).parts:
        return
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Assert):  # for the type checker, about a layer of our own
            assert ast.unparse(node.test).startswith("isinstance(model, ")
        is_print = isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
        assert not is_print


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_public_functions_have_docstrings_with_an_imperative_line(path):
    tree = parse(path)
    assert ast.get_docstring(tree) or not tree.body
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            described = ast.get_docstring(node)
            public = not node.name.startswith("_") and path.name != "__init__.py"
            assert described or not (public and node in tree.body), node.name
            assert not (described or "").startswith(("RETURNS", "RAISES", "YIELDS")), node.name
