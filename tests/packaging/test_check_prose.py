"""The check of phrases that the project's English avoids."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "packaging" / "check_prose.py"
SPEC = importlib.util.spec_from_file_location("trf_packaging_check_prose", PATH)
assert SPEC is not None
assert SPEC.loader is not None
check_prose = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = check_prose
SPEC.loader.exec_module(check_prose)

# The text of these tests is split, so that the check does not find it here.
BAD = "The model sa" + "ys so"


def find(name: str, text: str) -> list[tuple[int, str]]:
    """Return line and phrase of each hit."""
    return [(hit.line, hit.phrase) for hit in check_prose.find_hits(name, text)]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("docs/page.md", f"# Title\n\n{BAD}.\n", 3),
        ("trf_bridge/x.py", f'"""Title.\n\n{BAD}.\n"""\n', 3),
        ("trf_bridge/x.py", f"def f():\n    '''{BAD}.'''\n", 2),
        ("trf_bridge/x.py", f"x = 1\ny = 2  # {BAD}\n", 2),
        ("trf_bridge/x.py", f"add('--x', help='{BAD}')\n", 1),
        ("trf_bridge/errors.py", f"TB001 = (\n    'x '\n    '{BAD}'\n)\n", 2),
        ("trf_bridge/cli/x.py", f"echo(f'{BAD} {{x}}')\n", 1),
        ("trf_bridge/_x.pyx", f'cdef int x\n"""Title.\n{BAD}\n"""\n', 3),
        ("trf_bridge/_x.pyx", f"cdef int x\n# {BAD}\n", 2),
        ("tests/test_x.py", "def test_what_it_" + "says():\n    pass\n", 1),
        ("Makefile", f"x: ## {BAD}\n", 1),
    ],
)
def test_a_phrase_is_found_with_its_line(name: str, text: str, line: int) -> None:
    assert find(name, text) == [(line, "says")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docs/page.md", f"`{BAD}`\n\n```\n{BAD}\n```\n"),
        ("trf_bridge/x.py", f'"""SOURCE: {BAD}."""\nx = "{BAD}"\n'),
        ("trf_bridge/x.py", '"""Return the essays."""\n'),
        ("Makefile", f"x:\n\techo {BAD}\n"),
    ],
)
def test_code_and_other_words_are_skipped(name: str, text: str) -> None:
    assert find(name, text) == []


def test_phrases_across_lines_and_in_capitals() -> None:
    text = "x = 1\n# Users as" + "ked\n# for it. No" + "body.\n"
    assert find("trf_bridge/x.py", text) == [(2, "as" + "ked for"), (3, "No" + "body")]


def test_every_phrase_has_advice() -> None:
    for pattern, advice in check_prose.PHRASES.items():
        assert advice
        assert pattern == pattern.strip()


def test_exit_status_and_hits_by_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Fine.\n", encoding="utf8")
    assert check_prose.main([], tmp_path) == 0
    assert capsys.readouterr().out == ""
    (tmp_path / "docs" / "b.md").write_text(f"Fine.\n{BAD}.\n", encoding="utf8")
    (tmp_path / "README.md").write_text(f"{BAD}.\n", encoding="utf8")
    assert check_prose.main([], tmp_path) == 1
    captured = capsys.readouterr()
    assert [line.split(": ")[0] for line in captured.out.splitlines()] == [
        "README.md:1",
        "docs/b.md:2",
    ]
    assert "2 phrases" in captured.err
    assert check_prose.main([str(tmp_path / "docs" / "a.md")], tmp_path) == 0
    capsys.readouterr()
    assert check_prose.main(["--count"], tmp_path) == 1
    assert capsys.readouterr().out == ".: 1\ndocs: 1\n"
