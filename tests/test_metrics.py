"""What Prometheus reads, and the rules and dashboards that read it from there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gevent
import httpx
import pytest
import redis
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from rq.job import Job

from eslbot import metrics_server
from eslbot.accounts import Accounts
from eslbot.fleet import Fleet
from eslbot.link import Link
from eslbot.outbox import Outbox
from eslbot.rig.house import RedisProcess, free_port
from tests.house import ROOT, until
from workers import streams
from workers.bot import load
from workers.messages import DialogState, Turn

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "eslbot.json"
BOT = load(ROOT / "eslbot/bots/energy.yaml")
TURN = Turn("a", 1, "eslbot:out:here", BOT.sha, listen_s=20, answer_s=20, state=DialogState())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    one = RedisProcess(tmp_path_factory.mktemp("redis"))
    one.start()
    yield one
    one.kill()


@pytest.fixture
def client(server: RedisProcess) -> Iterator[redis.Redis]:
    one = streams.connect(server.url, 2.0, 4)
    one.flushall()
    yield one
    one.close()


def link(client: redis.Redis) -> Link:
    return Link(client, "here", BOT, 60, lambda *_: None)


def names(text: str) -> set[str]:
    """The series that a page of metrics holds."""
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[:1] != "#"}


def all_of_ours(client: redis.Redis) -> str:
    """A listener's page, with a worker of each stage that has said what workers say."""
    one = link(client)
    for stage in streams.STAGES:
        one.workers[stage] = [
            {"slots": 4, "levels": ["a", "b"], "usable": [True, False], "requests": 3, "retries": 1,
             "speech_hits": 2, "speech_misses": 1, "breakers_opened": 1,
             "over_rate": 1}
        ]  # fmt: skip
    accounts = Accounts(lambda: 0)
    accounts.records(Outbox(client, "test", 100))
    fleet = Fleet(one, client)
    fleet._queues = streams.queue_states(client)
    accounts.registry.register(fleet)
    return generate_latest(accounts.registry).decode()


def test_a_waiting_job_has_an_age_and_a_taken_one_none(client: redis.Redis):
    assert {s.jobs for s in streams.queue_states(client).values()} == {0}
    pipe = client.pipeline()
    streams.enqueue(pipe, TURN, "llm")
    streams.enqueue(pipe, TURN, "llm")
    pipe.execute()
    first = client.lrange("rq:queue:llm", 0, 0)[0].decode()
    then = datetime.now(UTC) - timedelta(seconds=40)
    client.hset(Job.key_for(first), "enqueued_at", then.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    states = streams.queue_states(client)
    assert states["llm"].jobs == 2
    assert 40 <= states["llm"].oldest_s < 100
    client.delete(Job.key_for(first))  # expired where it waits
    assert streams.queue_states(client)["llm"].oldest_s == 0
    client.delete("rq:queue:llm")
    assert streams.queue_states(client)["llm"] == (0, 0.0)


def test_what_workers_say_is_added_up_by_stage(client: redis.Redis):
    rows = dict(line.rsplit(" ", 1) for line in all_of_ours(client).splitlines() if line[:1] != "#")
    assert rows['eslbot_workers{stage="stt"}'] == "1.0"
    assert rows['eslbot_worker_slots{stage="stt"}'] == "4.0"
    assert rows['eslbot_engine_usable{level="0",stage="llm"}'] == "1.0"
    assert rows['eslbot_engine_usable{level="1",stage="llm"}'] == "0.0"
    assert rows['eslbot_workers_speech_hits{stage="tts"}'] == "2.0"
    assert rows["eslbot_redis_up"] == "0.0"


def test_no_figure_of_the_queues_is_told_that_is_not_known():
    away = streams.connect(f"redis://127.0.0.1:{free_port()}/0", 0.2, 2)
    registry = CollectorRegistry()
    registry.register(Fleet(link(away), away))
    assert "eslbot_queue_jobs{" not in generate_latest(registry).decode()


# -- rules and dashboards


def expressions() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    found = [rule["expr"] for group in groups for rule in group["rules"]]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        found += [target["expr"] for target in panel.get("targets", ())]
    return found


def test_rules_and_dashboards_read_nothing_that_is_not_there(client: redis.Redis):
    there = names(all_of_ours(client))
    asked = {
        name
        for expr in expressions()
        for name in re.findall(r"\b(?:eslbot|process)_[a-z0-9_]+\b(?!:)", expr)
    }
    assert len(asked) > 15
    assert asked - there == set()


def test_a_dashboard_s_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    ids = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken and at["x"] + at["w"] <= 24
        taken |= cells
        ids.add(panel["id"])
    assert len(ids) == len(json.loads(DASHBOARD.read_text())["panels"])


needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="prometheus and promtool are not installed here",
)


@needs_prometheus
def test_the_alerts_ring_when_they_should(tmp_path: Path):
    folder = DEPLOY / "prometheus"
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yml"], cwd=folder,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_a_prometheus_loads_the_rules_and_answers_every_panel(tmp_path: Path, client: redis.Redis):
    port, ours = free_port(), free_port()
    page = all_of_ours(client)
    web = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(ours)], stdin=subprocess.PIPE, text=True
    )
    assert web.stdin is not None
    web.stdin.write(page)
    web.stdin.close()
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["rule_files"] = [str(RULES)]
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{ours}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={tmp_path}/prometheus.yml",
         f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}",
         "--log.level=error"],
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}/api/v1"
    try:
        until(lambda: up(base), 60, "our page was read")
        for expr in expressions():
            asked = expr.replace("$__rate_interval", "1m")
            answer = httpx.get(f"{base}/query", params={"query": asked}, timeout=10).json()
            assert answer["status"] == "success", (expr, answer)
        rules = httpx.get(f"{base}/rules", timeout=10).json()["data"]["groups"][0]["rules"]
        assert len(rules) == len(yaml.safe_load(RULES.read_text())["groups"][0]["rules"])
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    finally:
        for process in (prometheus, web):
            process.kill()
            process.wait()


SERVE = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
page = sys.stdin.read().encode()
class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(page)
    def log_message(self, *args): pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


def up(base: str) -> bool:
    try:
        answer = httpx.get(f"{base}/query", params={"query": "up"}, timeout=5).json()
    except httpx.HTTPError:
        return False
    return any(row["value"][1] == "1" for row in answer["data"]["result"])


def test_the_reference_page_has_every_metric_and_no_other(client: redis.Redis):
    families = re.findall(r"^# TYPE (\S+) (\S+)$", all_of_ours(client), re.MULTILINE)
    there = {(name, kind) for name, kind in families if name.startswith("eslbot_")}
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(eslbot_\w+)` \| (\w+) \|", page, re.MULTILINE)) == there


def test_whoever_asks_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    """Each connection costs a descriptor, which calls need."""
    monkeypatch.setattr(metrics_server, "REQUEST_S", 0.2)
    port = free_port()
    server = metrics_server.MetricsServer("127.0.0.1", port, CollectorRegistry(), str, str)
    server.start()
    idle = gevent.socket.create_connection(("127.0.0.1", port), 10)
    idle.sendall(b"GET /live HTTP/1.1\r\nX: ")
    told = b""
    while more := idle.recv(4096):
        told += more
    assert b"200 OK" not in told
    idle.close()
    server.stop()
