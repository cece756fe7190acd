"""Where scenarios are run: a house of their own, or a listener that runs already.

A house of its own has one Redis, one set of workers, and a listener for each bot.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis
import yaml

from eslbot import call_secret
from eslbot.evals.scenario import Case
from eslbot.rig.house import ROOT, House, free_port, until
from eslbot.switch.channel import Channel, Dialplan
from workers import streams
from workers.bot.hours import DAYS
from workers.settings import Settings

READY_S: Final = 120.0
EXAMPLE_BACKEND: Final = "http://127.0.0.1:9280"  # as it stands in the example bots
# What an eval is about does not depend on how fast the machine is: answers are awaited.
PATIENT: Final[dict[str, Any]] = {
    "filler": {"say": []},
    "menu": {"after_ms": 30_000},
    "budget": dict.fromkeys(
        ("final_ms", "first_sentence_ms", "next_sentence_ms", "audio_ms"), 20_000
    ),
}


class PlaceError(Exception):
    """There is nothing to call; str() says why."""


@dataclass(slots=True)
class Running:
    """A listener that somebody else runs, and its Redis."""

    address: str
    settings: Settings
    client: redis.Redis

    @staticmethod
    def at(address: str, settings: Settings) -> Running:
        """Raises PlaceError."""
        try:
            client = streams.connect(
                settings.redis, settings.redis_timeout_ms / 1000, 4, settings.redis_tls
            )
            client.ping()
        except (redis.RedisError, ValueError) as error:
            cause = streams.plain(error)
            raise PlaceError(
                f"REDIS_URL: {cause}; what was understood is read from there"
            ) from None
        return Running(address, settings, client)

    def dial(self, case: Case) -> Channel:
        variables = dict(case.scenario.variables)
        if self.settings.call_secrets:
            variables.setdefault(call_secret.VARIABLE, self.settings.call_secrets[0])
        return _channel(self.address, case, variables, self.settings)

    def stop(self) -> None:
        self.client.close()


class Own:
    """start(), dial(), stop(). engine: "embedded", or "openai" for a local server in between."""

    def __init__(
        self, cases: Sequence[Case], folder: Path, state: Path, parallel: int, engine: str
    ) -> None:
        self._cases = cases
        self._folder = folder
        self._engine = engine
        self._servers: list[subprocess.Popen[bytes]] = []
        self._files: dict[Path, tuple[Case, int]] = {}  # and the port of its listener
        self.settings = Settings()
        slots = str(min(8, parallel))
        self.house = House(folder, state, ESLBOT_STT_SLOTS=slots, ESLBOT_SHED_LAG_MS="5000",
                           ESLBOT_LOG_LEVEL="warning")  # fmt: skip
        self.client = self.house.redis.client(4)

    def start(self) -> None:
        """Raises house.Late, PlaceError."""
        for case in self._cases:
            self._files.setdefault(case.file, (case, free_port()))
        house = self.house
        backend = self._backend()
        self._bring_knowledge()
        if self._engine == "openai":
            self._serve()
        house.start("redis", "stt", "llm", "tts")
        for n, (case, port) in enumerate(self._files.values()):
            house.start(
                f"listener.{n}",
                ESLBOT_BOT=str(self._changed(n, case, backend)),
                ESLBOT_LISTEN_PORT=str(port),
                ESLBOT_METRICS_PORT="0",
            )
        for n in range(len(self._files)):
            until(functools.partial(self._ready, n), READY_S, functools.partial(self._why, n))

    def _bring_knowledge(self) -> None:
        """All bots' folders in one, where the workers look. Raises PlaceError."""
        root = self._folder / "knowledge"
        there: dict[str, Path] = {}
        for case, _ in self._files.values():
            if case.bot.knowledge is None:
                continue
            name = case.bot.knowledge.folder
            source = case.bot_path.parent / name
            if there.setdefault(name, source) != source:
                raise PlaceError(f"{source} and {there[name]}: run their bots one after another")
            if source.is_dir() and not (root / name).exists():
                shutil.copytree(source, root / name)
        if there:
            self.house.environ["ESLBOT_KNOWLEDGE_DIR"] = str(root)

    def _ready(self, n: int) -> bool:
        return "READY" in self.house.log(f"listener.{n}")

    def _why(self, n: int) -> str:
        last = self.house.log(f"listener.{n}").strip().splitlines()[-1:]
        return f"listener {n} says READY; it says: {''.join(last)[:300]}"

    def _backend(self) -> str:
        """The example system, where a bot acts on it: its URL."""
        if not any(case.bot.tools for case in self._cases):
            return EXAMPLE_BACKEND
        port = free_port()
        self._start("backend", "eslbot.examples.backend", "--port", str(port))
        return f"http://127.0.0.1:{port}"

    def _changed(self, n: int, case: Case, backend: str) -> Path:
        """The bot's file, but patient, with its hours as wanted, and the example system where it
        is; what lies beside it (translations, knowledge) lies beside it there, too."""
        folder = self._folder / f"bot.{n}"
        folder.mkdir()
        for other in case.bot_path.parent.iterdir():
            if other != case.bot_path:
                (folder / other.name).symlink_to(other)
        text = case.bot_path.read_text().replace(EXAMPLE_BACKEND, backend)
        data = yaml.load(text, Loader=yaml.BaseLoader) | {"ladder": PATIENT}  # noqa: S506
        for name, opening in case.hours.items():
            data["hours"][name] |= {"weekly": _hours(opening), "holidays": {}}
        path = folder / case.bot_path.name
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    def _start(self, name: str, module: str, *arguments: str) -> None:
        """A server of ours; it says its URL when it is there."""
        with (self._folder / f"{name}.log").open("wb") as log:
            server = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT, env=self.house.environ, stdout=log, stderr=log,
            )  # fmt: skip
        self._servers.append(server)
        until(lambda: "http://" in self.house.log(name), READY_S, f"{name} is there")

    def _serve(self) -> None:
        """The local server that speaks OpenAI's protocol, for all three roles."""
        port = free_port()
        bots = {case.bot_path for case, _ in self._files.values()}
        named = [word for path in sorted(bots) for word in ("--bot", str(path))]
        self._start("openai", "workers.openai_server", "--port", str(port), *named)
        url = f"http://127.0.0.1:{port}/v1"
        for role in ("STT", "LLM", "TTS"):
            self.house.environ[f"ESLBOT_{role}"] = "openai"
            self.house.environ[f"ESLBOT_{role}_URL"] = url
            self.house.environ[f"ESLBOT_{role}_EMBEDDED"] = "off"
        for wait in ("FIRST_TOKEN_MS", "TOKEN_GAP_MS"):
            self.house.environ[f"ESLBOT_{wait}"] = "20000"
        self.house.environ["ESLBOT_CONNECT_TIMEOUT_MS"] = "10000"

    def dial(self, case: Case) -> Channel:
        address = f"127.0.0.1:{self._files[case.file][1]}"
        return _channel(address, case, dict(case.scenario.variables), self.settings)

    def stop(self) -> None:
        self.client.close()
        self.house.stop()
        for server in self._servers:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _channel(address: str, case: Case, variables: dict[str, str], settings: Settings) -> Channel:
    plan = Dialplan(
        [address],
        # On a machine that is busy, the listener's clock may stand still for longer.
        watchdog_s=max(10, settings.watchdog_s),
        menu_extension=settings.menu_extension,
        context=settings.context,
        destinations={d.extension for d in case.bot.destinations.values() if d.extension},
        reaches={
            name: name not in case.scenario.unanswered
            for name, one in case.bot.destinations.items()
            if not one.extension
        },
    )
    return Channel(plan, number=case.scenario.caller_id, variables=variables)


def _hours(opening: str) -> dict[str, list[str]]:
    """A week that is open throughout, or closed."""
    spans = ["00:00-24:00"] if opening == "open" else []
    return dict.fromkeys(DAYS, spans)
