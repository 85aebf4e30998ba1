"""Run one block of a page as its reader would: a process of its own, PGQ_DSN set."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.docs.pages import ROOT, Block, commands, prints

PATIENCE = 100


@dataclass(frozen=True)
class Desk:
    """A directory and a database to run blocks with."""

    directory: Path
    dsn: str

    def run(self, block: Block) -> None:
        """Run the block and compare what it prints with what the page says."""
        if block.language == "sql":
            self._sql(block)
        elif block.language == "console":
            for command, expected in commands(block.text):
                self._compare(
                    block, self._process(block, ["bash", "-c", command]), expected or None
                )
        elif block.language == "python":
            script = self.directory / block.marks.get("file", f"line_{block.line}.py")
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(block.text + "\n", encoding="utf-8")
            self._compare(block, self._process(block, [sys.executable, str(script)]), block.output)
        else:
            done = self._process(block, ["bash", "-euo", "pipefail", "-c", block.text])
            self._compare(block, done, block.output)

    def _sql(self, block: Block) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(block.text.encode())

    def _compare(self, block: Block, found: str, expected: str | None) -> None:
        assert expected is None or prints(expected, found), (
            f"{block.name} prints something else:\n{found}\ninstead of\n{expected}"
        )

    def _process(self, block: Block, command: list[str]) -> str:
        # A console shows both streams; of a script the page shows what it prints.
        together = block.language == "console"
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if together else subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        wanted = int(block.marks.get("exit code", 0))
        assert done.returncode == wanted, (
            f"{block.name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr or ''}"
        )
        return done.stdout

    def _environment(self) -> dict[str, str]:
        """Ours without anything that names a database, and `python` is the one that runs us."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PG", "DATABASE_URL", "DJANGO_"))
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        return {**kept, "PATH": path, "PGQ_DSN": self.dsn, "PYTHONPATH": str(ROOT)}
