"""Under which account the server runs, and what that account must be able to reach."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgq_core.errors import EmbeddedServerError

UNPRIVILEGED = "nobody"
SOCKET_DIRECTORY_LIMIT = 80
"""A socket's whole path must stay below about 104 bytes (macOS) or 107 (Linux)."""


@dataclass(frozen=True)
class Account:
    """The account of the server process; ``user=None`` means our own."""

    user: str | None = None
    uid: int = -1
    gid: int = -1

    @classmethod
    def current(cls) -> Account:
        """Our own, except for root: PostgreSQL refuses to run as root."""
        if os.name != "posix":
            raise EmbeddedServerError(
                "The embedded server needs Unix sockets; set PGQ_DSN to a server of yours."
            )
        if os.geteuid() != 0:
            return cls()
        import pwd  # noqa: PLC0415  (absent on Windows)

        try:
            entry = pwd.getpwnam(UNPRIVILEGED)
        except KeyError:
            raise EmbeddedServerError(
                f"PostgreSQL refuses to run as root and there is no account {UNPRIVILEGED!r}; "
                "start this as a normal user."
            ) from None
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)

    @property
    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments that make ``subprocess`` start a child under this account."""
        if self.user is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, directory: Path) -> None:
        """Give a directory to this account and to nobody else."""
        directory.chmod(0o700)
        if self.user is not None:
            os.chown(directory, self.uid, self.gid)

    def temporary_directory(self, *, prefix: str = "pgq-") -> Path:
        """A fresh private directory with a short path that this account can enter."""
        for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
            if len(parent) < SOCKET_DIRECTORY_LIMIT and self._can_enter(Path(parent)):
                directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
                self.own(directory)
                return directory
        raise EmbeddedServerError("No temporary directory is short and open enough; set TMPDIR.")

    def reachable_binaries(self, binaries: Path, scratch: Path) -> Path:
        """The same binaries; below ``scratch`` where this account cannot run them in place (an
        environment in root's home, usually)."""
        if self._can_run(binaries / "postgres"):
            return binaries
        prefix = binaries.parent
        again = scratch / "binaries" / prefix.parent.name / prefix.name
        if not again.exists():
            _link_tree(prefix, again)
            # The wheel's tools load libpq from a sibling folder by relative path.
            libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")
            if libraries.is_dir():
                _link_tree(libraries, again.parent.with_name(libraries.name))
        return again / binaries.name

    def _can_run(self, program: Path) -> bool:
        try:
            subprocess.run(
                [program, "--version"],
                check=True,
                cwd="/",
                capture_output=True,
                **self.popen_options,
            )
        except PermissionError:
            return False
        except (OSError, subprocess.CalledProcessError) as error:
            raise EmbeddedServerError(f"{program} does not run here: {error}") from error
        return True

    def _can_enter(self, directory: Path) -> bool:
        if self.user is None:
            return os.access(directory, os.W_OK | os.X_OK)
        return all(path.stat().st_mode & stat.S_IXOTH for path in (directory, *directory.parents))


def _link_tree(source: Path, target: Path) -> None:
    """The same tree without its parents' modes: hard links, copies on another file system."""
    shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)
