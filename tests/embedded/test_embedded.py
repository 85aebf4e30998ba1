"""The embedded server: what its users may rely on."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgq_core.embedded import EmbeddedServer, binaries, find_binaries, watchdog
from pgq_core.errors import EmbeddedServerError
from tests.support import until

AS_ROOT = os.geteuid() == 0

STARTS_AND_WAITS = """
import sys
from pgq_core.embedded import EmbeddedServer

server = EmbeddedServer()
server.start()
print(server.pid, server.dsn(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A temporary directory the server's account can enter (pytest's own is closed to it)."""
    directory = Path(tempfile.mkdtemp(prefix="pgq-test-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any PostgreSQL."""
    monkeypatch.delenv("PGQ_POSTGRES_BIN", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(binaries, "WHEELS", ())
    monkeypatch.setattr(binaries, "DISTRIBUTION_DIRECTORIES", ())


def ask(server: EmbeddedServer, statement: str) -> object:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def run_directory(server: EmbeddedServer) -> Path:
    return Path(str(ask(server, "SHOW unix_socket_directories")))


def test_starts_and_stops() -> None:
    """The embedded server takes connections once start returns, and stop leaves nothing."""
    with EmbeddedServer() as server:
        assert ask(server, "SELECT 1") == 1
        directory, pid = run_directory(server), server.pid
    assert not alive(pid)
    assert not directory.exists()


def test_is_durable_by_default() -> None:
    """What the embedded server has committed is on disk, as on any PostgreSQL."""
    with EmbeddedServer() as server:
        assert ask(server, "SHOW fsync") == "on"
        assert ask(server, "SHOW synchronous_commit") == "on"


def test_settings_are_postgresqls() -> None:
    """Any PostgreSQL setting can be given at start."""
    with EmbeddedServer(settings={"fsync": "off", "work_mem": "5MB"}) as server:
        assert ask(server, "SHOW fsync") == "off"
        assert ask(server, "SHOW work_mem") == "5MB"


def test_a_wrong_setting_is_explained() -> None:
    """A server that cannot start says why, in PostgreSQL's own words."""
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        EmbeddedServer(settings={"no_such_setting": "1"}).start()


def test_keeps_data_in_a_data_directory(open_directory: Path) -> None:
    """With a data directory of your own the data is still there at the next start."""
    data = open_directory / "data"
    with EmbeddedServer(data) as server:
        ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    with EmbeddedServer(data) as server:
        assert ask(server, "SELECT answer FROM kept") == 42


def test_leaves_other_directories_alone(open_directory: Path) -> None:
    """A data directory that holds something else is refused and not touched."""
    (open_directory / "thesis.txt").touch()
    before = open_directory.stat()
    with pytest.raises(EmbeddedServerError, match="neither empty"):
        EmbeddedServer(open_directory).start()
    after = open_directory.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_keeps_data_and_dsn(mode: str) -> None:
    """A restart, and even a crash, keeps the committed data and the DSN."""
    with EmbeddedServer() as server:
        dsn, pid = server.dsn("other"), server.pid
        ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        server.restart(mode)  # type: ignore[arg-type]
        assert server.dsn("other") == dsn
        assert server.pid != pid
        assert ask(server, "SELECT answer FROM kept") == 42


def test_starts_again_after_stop(open_directory: Path) -> None:
    """A stopped server can be started again under the same DSN."""
    with EmbeddedServer(open_directory / "data") as server:
        dsn = server.dsn()
        server.stop("immediate")
        assert not server.running
        server.start()
        assert server.dsn() == dsn
        assert ask(server, "SELECT 1") == 1


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
def test_notices_a_server_that_died(number: signal.Signals) -> None:
    """A server killed from outside is seen as gone, and start brings it back with its data."""
    with EmbeddedServer() as server:
        ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(server.pid, number)
        until(lambda: not server.running)
        server.start()
        assert ask(server, "SELECT answer FROM kept") == 42


def test_has_no_network_port() -> None:
    """Nobody can reach the embedded server over the network unless you ask for it."""
    with EmbeddedServer() as server:
        assert ask(server, "SHOW listen_addresses") == ""
        assert run_directory(server).stat().st_mode & 0o077 == 0


def test_tcp_needs_the_password() -> None:
    """On its loopback port the server wants the random password that its DSN carries."""
    with EmbeddedServer(tcp=True) as server:
        assert ask(server, "SELECT host(inet_server_addr())") == "127.0.0.1"
        with psycopg.connect(server.dsn()) as connection:
            password = connection.info.password
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            psycopg.connect(server.dsn().replace(password, "wrong"))


@pytest.mark.skipif(not AS_ROOT, reason="only root has privileges to drop")
def test_root_drops_to_nobody() -> None:
    """Started by root, the server runs as nobody: no account is created, no home opened."""
    with EmbeddedServer() as server:
        owner = Path(f"/proc/{server.pid}").stat().st_uid
        assert owner == pwd.getpwnam("nobody").pw_uid
        assert run_directory(server).stat().st_uid == owner


@pytest.mark.skipif(not AS_ROOT, reason="a normal user runs the binaries where they are")
def test_starts_binaries_nobody_cannot_reach(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout inside root's closed home works, and its modes stay as they were."""
    home = open_directory / "home"
    home.mkdir(mode=0o700)
    prefix = find_binaries().parent
    libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")
    if not libraries.is_dir():
        pytest.skip("only the wheel's binaries can be moved")
    shutil.copytree(prefix.parent, home / prefix.parent.name)
    shutil.copytree(libraries, home / libraries.name)
    monkeypatch.setenv("PGQ_POSTGRES_BIN", str(home / prefix.parent.name / prefix.name / "bin"))
    with EmbeddedServer() as server:
        assert ask(server, "SELECT 1") == 1
        server.restart()
        assert ask(server, "SELECT 1") == 1
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_stops_with_its_parent(number: signal.Signals) -> None:
    """However the starting process ends, kill -9 included, no server and no file is left."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_WAITS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid_text, dsn = parent.stdout.readline().split()
        with psycopg.connect(dsn) as connection:
            row = connection.execute("SHOW unix_socket_directories").fetchone()
        assert row is not None
        parent.send_signal(number)
    until(lambda: not alive(int(pid_text)))
    until(lambda: not Path(row[0]).exists())


def test_a_started_process_does_not_keep_it(open_directory: Path) -> None:
    """Processes that the parent started and left behind do not keep the server alive."""
    script = STARTS_AND_WAITS.replace(
        "print(", "import subprocess; child = subprocess.Popen(['sleep', '300'])\nprint(child.pid, "
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child, server, _ = parent.stdout.readline().split()
        parent.kill()
    try:
        until(lambda: not alive(int(server)))
        assert alive(int(child))
    finally:
        os.kill(int(child), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_neither_keeps_nor_stops_it() -> None:
    """A forked worker may come and go: the server belongs to the process that started it."""
    with EmbeddedServer() as server:
        context = multiprocessing.get_context("fork")
        forked = context.Process(target=server.stop)
        forked.start()
        forked.join()
        assert forked.exitcode == 0
        assert ask(server, "SELECT 1") == 1

        waiting, go = context.Event(), context.Event()
        forked = context.Process(target=lambda: (waiting.set(), go.wait()))
        forked.start()
        waiting.wait()
        pid = server.pid
        server.stop()
        assert not alive(pid)
        go.set()
        forked.join()


@pytest.mark.usefixtures("nothing_installed")
def test_says_what_to_do_when_nothing_is_found() -> None:
    """Without any PostgreSQL the error names the three ways out."""
    with pytest.raises(EmbeddedServerError) as caught:
        EmbeddedServer().start()
    message = str(caught.value)
    assert "pip install 'pgq-suite[embedded]'" in message
    assert "install PostgreSQL" in message
    assert "PGQ_DSN" in message


def test_the_environment_chooses_the_binaries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGQ_POSTGRES_BIN decides which PostgreSQL runs, and a wrong one is not passed over."""
    monkeypatch.setenv("PGQ_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(EmbeddedServerError, match="PGQ_POSTGRES_BIN"):
        find_binaries()


def test_ignores_libpq_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """PGPORT and its relatives, set for another server, do not change this one."""
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    with EmbeddedServer() as server:
        assert ask(server, "SHOW port") == "5432"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="arguments are read from /proc")
def test_secrets_of_the_environment_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment holds is not to be read in the arguments of any process, and the server
    does not have it either."""
    monkeypatch.setenv("SOME_PASSWORD", "swordfish")
    with EmbeddedServer() as server:
        found = [text_of(process / "cmdline") for process in Path("/proc").glob("[0-9]*")]
        assert any(watchdog.__file__ in text for text in found)
        found.append(text_of(Path(f"/proc/{server.pid}/environ")))
        assert "PATH=" in found[-1]
        assert not any("swordfish" in text for text in found)


def text_of(file: Path) -> str:
    """What the kernel tells of a process; nothing when it has just ended."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def test_has_no_dsn_before_start() -> None:
    """Asking for the DSN of a server that was never started is an error, not a wrong DSN."""
    server = EmbeddedServer()
    with pytest.raises(EmbeddedServerError, match="not started"):
        server.dsn()
    server.stop()
