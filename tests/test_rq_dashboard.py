"""rq-dashboard on our Redis: it shows, and does no more.

What it needs is no part of the project's own packages; `make rq-dashboard` installs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from tests.conftest import RedisServer, free_port, wait_until
from tests.house import ROOT

PACKAGES = ROOT / "var" / "rq-dashboard"


@pytest.fixture(scope="module")
def packages() -> Path:
    if not (PACKAGES / "rq_dashboard").is_dir():
        made = subprocess.run(
            ["make", "-o", ".venv/ready", "var/rq-dashboard/ready-0.9.0"],
            cwd=ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"rq-dashboard can't be installed: {made.stderr[-200:]}")
    return PACKAGES


def command(url: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "eslbot.rq_dashboard", *more],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "REDIS_URL": url}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
def page(packages: Path, client, shared_redis: RedisServer) -> Iterator[httpx.Client]:
    port = free_port()
    process = command(shared_redis.url, "--packages", str(packages), "--port", str(port))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as one:

            def up() -> bool:
                assert process.poll() is None, process.communicate()
                try:
                    return one.get("/favicon.ico").status_code == 200
                except httpx.TransportError:
                    return False

            wait_until(up, 60)
            yield one
    finally:
        process.kill()
        process.communicate()


def test_it_shows_queues_jobs_and_workers(page: httpx.Client, client):
    queue = Queue("stt", connection=client, serializer=JSONSerializer)
    job = queue.enqueue("workers.jobs.transcribe", "a-turn", description="a turn")
    for view in ("/", "/0/view/workers", f"/0/view/job/{job.id}",
                 "/0/view/jobs/stt/queued/8/asc/1"):  # fmt: skip
        assert page.get(view).status_code == 200, view
    (shown,) = page.get("/0/data/queues.json").json()["queues"]
    assert (shown["name"], shown["count"]) == ("stt", 1)
    (found,) = page.get("/0/data/jobs/stt/queued/8/asc/1.json").json()["jobs"]
    assert (found["id"], found["description"]) == (job.id, "a turn")
    assert page.get(f"/0/data/job/{job.id}.json").json()["status"] == "queued"
    assert page.get("/0/data/workers.json").json() == {"workers": []}


def test_it_changes_nothing(page: httpx.Client, client):
    queue = Queue("stt", connection=client, serializer=JSONSerializer)
    job = queue.enqueue("workers.jobs.transcribe", "a-turn")
    for path in (f"/job/{job.id}/delete", "/queue/stt/queued/empty", "/queue/stt/compact",
                 f"/job/{job.id}/requeue"):  # fmt: skip
        assert page.post(path).status_code == 405, path
    assert queue.job_ids == [job.id]


def test_it_is_for_this_machine_alone(page: httpx.Client):
    assert page.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_it_unpickles_nothing(page: httpx.Client, client, tmp_path: Path):
    """Given a job whose data and meta are a pickle that would write a file when it is loaded."""
    mark = tmp_path / "ran"
    code = f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    queue = Queue("stt", connection=client, serializer=JSONSerializer)
    job = queue.enqueue("workers.jobs.transcribe", "a-turn")
    client.hset(job.key, mapping={"data": code, "meta": code})
    for path in (f"/0/view/job/{job.id}", f"/0/data/job/{job.id}.json", "/",
                 "/0/data/jobs/stt/queued/8/asc/1.json"):  # fmt: skip
        page.get(path)
    assert not mark.exists()


def test_without_its_packages_it_says_how_to_get_them(shared_redis: RedisServer):
    process = command(shared_redis.url, "--port", str(free_port()))
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "make rq-dashboard" in told
    assert len(told.splitlines()) == 1


def test_without_redis(packages: Path):
    process = command("redis://127.0.0.1:9/0", "--packages", str(packages))
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "REDIS_URL: ConnectionError" in told
