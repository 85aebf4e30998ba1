"""The runner of the documentation is itself right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.pages import blocks, commands, prints, scenarios
from tests.docs.running import Desk

PAGE = """\
Some text.

```python
print(1)
```

```text
1
```

```text
no output of anything
```

<!-- not run: needs a project -->
```python
broken(
```

<!-- file: jobs.py -->
```python
x = 1
```

Text between.

<!-- run -->
<!-- same database -->
```console
$ echo a
a
```

```bash
rm -rf /
```

- in a list

  ```python
  if True:
      print(2)
  ```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of its own."""
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_blocks_have_marks_and_output(page: Path) -> None:
    """Comments before a block and the output after it belong to it."""
    first, unrun, file, console, bash, nested = blocks(page)
    assert (first.text, first.output, first.line) == ("print(1)", "1", 3)
    assert unrun.marks == {"not run": "needs a project"}
    assert file.marks == {"file": "jobs.py"}
    assert console.marks == {"run": "", "same database": ""}
    assert bash.marks == {}
    assert nested.text == "if True:\n    print(2)"


def test_scenarios_group_what_shares_a_database(page: Path) -> None:
    """A block that goes on is run after the one before, and what is not marked is not run."""
    languages = [[block.language for block in scenario] for scenario in scenarios(page)]
    assert languages == [["python"], ["python", "console"], ["python"]]


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        ("a\nb", "a  \nb\n", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("took ... ms", "took 12.5 ms", True),
        ("a", "a\nb", False),
        ("a.b", "axb", False),
    ],
)
def test_output_is_compared(expected: str, found: str, same: bool) -> None:
    """`...` stands for anything; everything else counts, but for blanks at line ends."""
    assert prints(expected, found) is same


def test_console_blocks_hold_commands_and_output() -> None:
    """Commands begin with `$ `; what follows up to the next one is their output."""
    console = "$ echo a\na\n$ echo \\\n  b\n"
    assert commands(console) == [("echo a", "a\n"), ("echo \\\n  b", "")]


def test_a_wrong_output_fails(page: Path, tmp_path: Path) -> None:
    """A block that prints something else than the page says fails its test."""
    block = pages.Block("page.md", 1, "python", "print(1)", {}, "2")
    with pytest.raises(AssertionError, match="prints something else"):
        Desk(tmp_path, "").run(block)


def test_a_failing_block_fails(page: Path, tmp_path: Path) -> None:
    """A block that raises fails its test."""
    with pytest.raises(AssertionError, match="ended with 1"):
        Desk(tmp_path, "").run(pages.Block("page.md", 1, "python", "1 / 0"))
