"""example_projects/django_shop, as real processes, driven over HTTP."""

from __future__ import annotations

import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest

from tests.django.settings import database as entry_of
from tests.support import Databases
from tests.support import until as until_soon

SHOP = Path(__file__).parents[2] / "example_projects" / "django_shop"


until = functools.partial(until_soon, patience=60.0)  # processes start slowly on a busy machine


class Outside(ThreadingHTTPServer):
    """The payment provider and the warehouse, played by the test."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.reset()

    def reset(self) -> None:
        """Nothing has been asked for yet, and everything works."""
        self.payments: list[int] = []
        self.failures = 0
        self.refuse = False
        self.packing: list[int] = []
        self.packed = threading.Event()
        self.packed.set()

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Answer(BaseHTTPRequestHandler):
    server: Outside

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/pay":
            self.server.payments.append(body["order"])
            self.server.failures -= 1
            code = 402 if self.server.refuse else 503 if self.server.failures >= 0 else 200
            self.answer(code, {"receipt": f"R{body['order']}"})
        else:
            self.server.packing.append(body["order"])
            self.server.packed.wait(60)
            self.answer(200, {"by": "Ada"})

    def answer(self, code: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        try:
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # whoever asked was killed
            pass

    def log_message(self, *args: Any) -> None:
        pass


class Shop:
    """The site, its workers and its database."""

    def __init__(self, dsn: str, outside: Outside) -> None:
        entry = entry_of(dsn)
        self.dsn = dsn
        self.outside = outside
        self.port = free_port()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DJANGO_SUPERUSER_PASSWORD": "secret",
            "SHOP_DATABASE": entry["NAME"],
            **{f"PG{name}": entry[name] for name in ("HOST", "PORT", "USER", "PASSWORD")},
            "SHOP_PAYMENT_URL": outside.address("pay"),
            "SHOP_WAREHOUSE_URL": outside.address("pack"),
        }

    def manage(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.Popen(command, cwd=SHOP, env=self.environment, stdout=subprocess.DEVNULL)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        process = self.manage(*arguments)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else text

    def admin(self, path: str) -> str:
        """A page of the admin, as root: what logging in by its form leads to."""
        jar = urllib.request.HTTPCookieProcessor()
        browser = urllib.request.build_opener(jar)
        login = f"http://127.0.0.1:{self.port}/admin/login/?next={path}"
        browser.open(login).close()
        token = next(str(one.value) for one in jar.cookiejar if one.name == "csrftoken")
        form = {"username": "root", "password": "secret", "csrfmiddlewaretoken": token}
        with browser.open(login, urlencode(form).encode()) as answer:
            assert answer.url.endswith(path)
            return str(answer.read().decode())

    def order(self, quantity: int = 1) -> tuple[int, Any]:
        wanted = {"product": "tea", "quantity": quantity, "email": "a@example.org"}
        return self.call("POST", "/orders/", wanted)

    def shown(self, order: int) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/orders/{order}/")[1]
        return found

    def sql(self, statement: str) -> list[Any]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


COMMANDS = """
from django.core.management import call_command
call_command("check", databases=["default"], fail_level="WARNING")
call_command("makemigrations", check_changes=True)
call_command("pgq_health", min_workers=0)
"""
CLEAR = """
TRUNCATE shop_order, shop_report, pgq_jobs, pgq_ready, pgq_deferred, pgq_blocked, pgq_leases,
    pgq_attempts, pgq_workers, pgq_schedules;
UPDATE shop_product SET stock = 5
"""


@pytest.fixture(scope="module")
def open_shop(databases: Databases) -> Iterator[Shop]:
    """The migrated shop with its web server."""
    dsn = databases.create()
    with ExitStack() as stack:
        stack.callback(databases.drop, dsn)
        outside = stack.enter_context(Outside())
        stack.callback(outside.shutdown)
        threading.Thread(target=outside.serve_forever, daemon=True).start()
        made = Shop(dsn, outside)
        assert made.manage("migrate", "-v0").wait(60) == 0
        made.sql("INSERT INTO shop_product (name, stock, cents) VALUES ('tea', 5, 300)")
        stack.enter_context(made.running("runserver", "--noreload", f"127.0.0.1:{made.port}"))
        until(lambda: listens(made.port))
        yield made


@pytest.fixture
def shop(open_shop: Shop) -> Shop:
    """The shop without orders, and no worker yet."""
    open_shop.sql(CLEAR)
    open_shop.outside.reset()
    return open_shop


def test_orders(shop: Shop) -> None:
    """A sold-out order leaves no job; a placed one is confirmed, charged and packed once."""
    assert shop.order(99) == (409, {"error": "only 5 of tea left"})
    assert shop.sql("SELECT count(*) FROM pgq_jobs") == [(0,)]
    with shop.running("pgq_worker"):
        status, answer = shop.order(2)
        assert status == 201
        done = {"confirmed": True, "paid": f"R{answer['order']}", "packed_by": "Ada"}
        until(lambda: shop.shown(answer["order"]) == done)
    assert shop.outside.payments == [answer["order"]] == shop.outside.packing
    assert shop.sql("SELECT stock FROM shop_product") == [(3,)]


def test_payments(shop: Shop) -> None:
    """A payment provider that is down is asked again; a refused card is not."""
    shop.outside.failures = 2
    with shop.running("pgq_worker"):
        order = shop.order()[1]["order"]
        until(lambda: shop.shown(order)["paid"] == f"R{order}")
        assert shop.outside.payments == [order] * 3
        shop.outside.refuse = True
        refused = shop.order()[1]["order"]
        until(lambda: shop.shown(refused)["paid"] == "refused")
        until(lambda: shop.sql("SELECT count(*) FROM pgq_job_states WHERE state = 'failed'")[0][0])
    assert shop.outside.payments.count(refused) == 1


def test_a_worker_is_killed(shop: Shop) -> None:
    """The job of a killed worker is run by another one."""
    shop.outside.packed.clear()
    with shop.running("pgq_worker") as first:
        order = shop.order()[1]["order"]
        until(lambda: shop.outside.packing == [order])
        with shop.running("pgq_worker"):
            until(lambda: len(shop.sql("SELECT 1 FROM pgq_workers")) == 2)
            first.send_signal(signal.SIGKILL)
            shop.outside.packed.set()
            until(lambda: shop.shown(order)["packed_by"] == "Ada")
    assert shop.outside.packing == [order, order]
    outcomes = "SELECT outcome FROM pgq_attempts WHERE outcome = 'lost'"
    assert shop.sql(outcomes) == [("lost",)]


def test_the_nightly_report(shop: Shop) -> None:
    """The schedule declared in code is known to the queue, and can be run at any time."""
    with shop.running("pgq_worker"):
        until(lambda: shop.sql("SELECT next_at FROM pgq_schedules WHERE next_at IS NOT NULL"))
        assert shop.manage("pgq_schedules", "--run", "shop.tasks.nightly_report").wait(30) == 0
        until(lambda: shop.sql("SELECT orders FROM shop_report") == [(0,)])
    assert shop.sql("SELECT timezone FROM pgq_schedules") == [("Europe/Paris",)]


def test_the_admin_and_the_commands(shop: Shop) -> None:
    """The admin answers, the checks pass, and no migration is missing."""
    created = shop.manage("createsuperuser", "--noinput", "--username=root", "--email=a@b.org")
    assert created.wait(30) == 0
    order = shop.order()[1]["order"]
    assert "shop.tasks.charge" in shop.admin("/admin/pgq_django/job/")
    assert "Queue overview" in shop.admin("/admin/pgq_django/job/overview/")
    assert f"/admin/shop/order/{order}/change/" in shop.admin("/admin/shop/order/")
    assert shop.manage("shell", "-v0", "-c", COMMANDS).wait(30) == 0
