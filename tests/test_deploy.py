"""The files for those who run it: they name what is there, and the tools they are for take them."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from eslbot.rig.house import free_port
from eslbot.switch.caller import Caller, Say
from eslbot.switch.channel import Channel, Dialplan
from tests.house import ROOT, House, recording, until
from workers.settings import SettingsError, load

DEPLOY = ROOT / "deploy"
KUBERNETES = "1.29"


def documents(name: str) -> list[dict[str, Any]]:
    text = (DEPLOY / "kubernetes" / name).read_text()
    return [document for document in yaml.safe_load_all(text) if document]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text())
    return found


# -- Kubernetes


@pytest.mark.parametrize("document", documents("eslbot.yaml") + documents("workers.yaml")
                         + documents("recorder.yaml"),
                         ids=lambda d: f"{d['kind']} {d['metadata']['name']}")  # fmt: skip
def test_a_manifest_is_one_that_kubernetes_takes(document: dict[str, Any]):
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_each_stage_has_workers_and_is_scaled_by_its_own_queue():
    workers = {d["metadata"]["name"]: d for d in documents("workers.yaml")}
    assert set(workers) == {"eslbot-stt", "eslbot-llm", "eslbot-tts"}
    for scaled in documents("keda.yaml"):
        target = scaled["spec"]["scaleTargetRef"]["name"]
        role = target.removeprefix("eslbot-")
        container = workers[target]["spec"]["template"]["spec"]["containers"][0]
        assert container["args"] == ["workers", role]
        first = scaled["spec"]["triggers"][0]["metadata"]["query"]
        assert first == f'max(eslbot_queue_oldest_seconds{{stage="{role}"}})'
        assert scaled["spec"]["minReplicaCount"] >= 2  # or there is nobody to take over


def settings_in(place: str) -> dict[str, str]:
    if place == "kubernetes":
        found: dict[str, str] = documents("eslbot.yaml")[0]["data"]
        return found
    if place == "compose":
        found = compose()["services"]["listener"]["environment"]
        return {k: re.sub(r"\$\{\w+:-(.*)\}", r"\1", v) for k, v in found.items()}
    lines = (DEPLOY / "systemd" / "eslbot.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and line[0] != "#")


@pytest.mark.parametrize("place", ["kubernetes", "compose", "systemd"])
def test_every_setting_is_one_of_ours(place: str):
    assert load(settings_in(place))
    with pytest.raises(SettingsError):
        load(settings_in(place) | {"ESLBOT_NO_SUCH": "1"})


def test_who_stops_a_listener_waits_until_its_calls_have_ended():
    drain_s = load({}).drain_s
    pod = documents("eslbot.yaml")[1]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > drain_s
    unit = (DEPLOY / "systemd" / "eslbot-listener.service").read_text()
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop and int(stop[1]) > drain_s
    period = compose()["services"]["listener"]["stop_grace_period"]
    assert int(period.removesuffix("s")) > drain_s


# -- containers


def test_the_image_holds_what_a_process_needs():
    text = (DEPLOY / "container" / "Containerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE)
              for name in line.split()}  # fmt: skip
    assert copied == {"requirements.txt", "eslbot", "workers"}
    assert all((ROOT / name).exists() for name in copied)
    commands = [s["command"] for n, s in compose()["services"].items() if "build" in s]
    assert sorted(map(tuple, commands)) == [
        ("eslbot", "console"), ("eslbot", "recorder"), ("eslbot", "serve"),
        ("workers", "llm"), ("workers", "stt"), ("workers", "tts"),
    ]  # fmt: skip


# -- systemd


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
def test_systemd_takes_the_units(tmp_path: Path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    for unit in (DEPLOY / "systemd").glob("eslbot*.*"):
        text = unit.read_text().replace("/opt/eslbot/.venv/bin/python", str(python))
        (tmp_path / unit.name).write_text(text)
    shutil.copy(tmp_path / "eslbot-worker@.service", tmp_path / "eslbot-worker@stt-2.service")
    units = [str(p) for p in tmp_path.glob("eslbot*") if "@." not in p.name and p.suffix != ".env"]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True,
                          text=True, timeout=60, check=False)  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "eslbot" in line]
    assert not ours


def test_a_worker_s_unit_starts_the_role_that_its_name_begins_with():
    unit = (DEPLOY / "systemd" / "eslbot-worker@.service").read_text()
    line = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    assert line
    for instance, role in (("stt", "stt"), ("tts-2", "tts")):
        script = line[1].replace("%%", "%").replace("%i", instance).replace("$$", "$")
        script = script.replace("exec /opt/eslbot/.venv/bin/python", "echo")
        done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True,
                              timeout=10, check=True)  # fmt: skip
        assert done.stdout.split() == ["-m", "workers", role]


# -- proxies


@pytest.mark.skipif(not shutil.which("kamailio"), reason="there is no Kamailio here")
def test_kamailio_takes_its_configuration():
    config = str(DEPLOY / "kamailio" / "kamailio.cfg")
    done = subprocess.run(["kamailio", "-c", "-f", config], capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("state"))
    one.start_all()
    yield one
    one.stop()


@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no HAProxy here")
def test_calls_go_through_haproxy_to_the_listener_that_is_ready(house: House, tmp_path: Path):
    front, dead, dead_metrics = free_port(), free_port(), free_port()
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    for then, now in (
        ("127.0.0.1:8083", f"127.0.0.1:{front}"),
        ("127.0.0.1:8084 check port 9184", f"127.0.0.1:{dead} check port {dead_metrics}"),
        ("127.0.0.1:8088 check port 9185",
         f"127.0.0.1:{house.port} check port {house.metrics_port}"),
    ):  # fmt: skip
        assert then in text
        text = text.replace(then, now)
    (tmp_path / "haproxy.cfg").write_text(text)
    proxy = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(tmp_path / "haproxy.cfg")])
    try:
        until(lambda: answered(front), 30, "the ready listener is known to be ready")
        call = Channel(Dialplan([f"127.0.0.1:{front}"]))
        call.dial()
        caller = Caller(call)
        caller.wait_bot()
        caller.do(Say(recording("hours")))
        until(lambda: "We are open" in house.said(call), 30)
        call.hangup()
        house.kill("listener")
        until(lambda: not answered(front), 30, "no listener is ready")
        last = Channel(Dialplan([f"127.0.0.1:{front}"]))
        last.dial()
        until(lambda: last.where == "native:9000", 10, "the caller is in the menu")
        last.hangup()
    finally:
        proxy.kill()
        proxy.wait()


def answered(port: int) -> bool:
    """Whether who connects there gets to a listener: it speaks first."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as one:
            one.settimeout(5)
            return one.recv(7) == b"connect"
    except OSError:
        return False
