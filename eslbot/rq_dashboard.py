"""`make rq-dashboard`: the page of RQ's own world (rq-dashboard), to look at and no more.

It is not part of the console: its page needs scripts inline and `eval`, which the console's policy
refuses, and on an origin of its own nothing of it can give the console's orders. Here it gets

    our connection to Redis     TLS, Sentinels and time-outs as everywhere
    JSON alone                  it would unpickle jobs: whoever writes to Redis could run code
    GET alone                   its buttons that delete, requeue and empty are refused
    loopback alone              and asked for by a name of this machine
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis
from gevent.pywsgi import WSGIServer
from rq import serializers

from eslbot.console.login import host_of, is_loopback
from workers import streams
from workers.settings import Settings, SettingsError, load

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PORT = 9181
MAX_CONNECTIONS = 32


class NotInstalled(Exception):
    """rq-dashboard can't be imported."""


def application(client: redis.Redis) -> Callable[..., Iterable[bytes]]:
    """The WSGI application. Raises NotInstalled."""
    # Some jobs it reads with RQ's default, which is pickle: in this process that is JSON as well.
    for name in ("loads", "dumps"):
        of_json = staticmethod(getattr(serializers.JSONSerializer, name))
        setattr(serializers.DefaultSerializer, name, of_json)
    try:
        cli: Any = importlib.import_module("rq_dashboard.cli")
        web: Any = importlib.import_module("rq_dashboard.web")
    except ImportError as error:
        raise NotInstalled(f"{error}: make rq-dashboard") from None
    web.config.serializer = serializers.JSONSerializer
    # It connects anew for each request, by its own reading of the URL.
    web.from_url = lambda *_, **__: ("redis", client)
    flask: Any = cli.make_flask_app(None, None, None, "")
    flask.config.update(RQ_DASHBOARD_REDIS_URL=("redis://of-eslbot",), DEPRECATED_OPTIONS=[],
                        RQ_DASHBOARD_DISABLE_DELETE=True)  # fmt: skip
    flask.redis_conn = client

    def guarded(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if not is_loopback(host_of(environ.get("HTTP_HOST", ""))):
            return _refused(start, "403 Forbidden", "asked for by another machine's name")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refused(start, "405 Method Not Allowed", "this dashboard only shows")
        found: Iterable[bytes] = flask(environ, start)
        return found

    return guarded


def _refused(start: Callable[..., Any], status: str, why: str) -> Iterable[bytes]:
    body = f"{why}\n".encode()
    start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _serve(settings: Settings, port: int) -> None:
    timeout_s = settings.redis_timeout_ms / 1000
    client = streams.connect(settings.redis, timeout_s, 4, settings.redis_tls)
    client.ping()
    server = WSGIServer((HOST, port), application(client), log=None, error_log=log,
                        spawn=MAX_CONNECTIONS)  # fmt: skip
    server.start()
    print(f"rq-dashboard: http://{HOST}:{server.server_port}/", flush=True)
    server.serve_forever()


def main(argv: list[str] | None = None) -> int:
    """Exit code 2 with one line where it can't start."""
    parser = argparse.ArgumentParser(prog="rq-dashboard", description="RQ's queues, to look at.")
    parser.add_argument("--port", type=int, default=PORT, help="on loopback (%(default)s)")
    parser.add_argument("--packages", type=Path, help="folder in which rq-dashboard is installed")
    arguments = parser.parse_args(argv)
    if arguments.packages:
        sys.path.append(str(arguments.packages))  # what we have pinned ourselves comes first
    try:
        _serve(load(), arguments.port)
    except (SettingsError, NotInstalled) as error:
        print(f"rq-dashboard: {error}", file=sys.stderr)
    except (redis.RedisError, ValueError) as error:
        print(f"rq-dashboard: REDIS_URL: {streams.plain(error)}", file=sys.stderr)
    except (OSError, OverflowError) as error:
        print(f"rq-dashboard: --port {arguments.port}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())
