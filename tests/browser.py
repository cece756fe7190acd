"""A real Chromium without a window, told what to do over its debugging pipe (CDP)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WHY_NOT = (
    "no Chromium: install one (apt install chromium), or name it in CHROMIUM, to test the console"
)


def chromium() -> str | None:
    """The browser's path, or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found:
        return found
    kept = Path.home() / ".cache" / "ms-playwright"
    return next((str(path) for path in sorted(kept.glob("chromium-*/chrome-linux*/chrome"))), None)


# Chromium reads from descriptor 3 and writes to 4.
_WITH_PIPES = """
import fcntl, os, sys
down, up = (fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3])
os.dup2(down, 3), os.dup2(up, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class BrowserError(AssertionError):
    """What the browser refused, or the page's own error."""


class Browser:
    """microphone: a WAV file that its microphone plays, once. One page."""

    def __init__(self, folder: Path, microphone: Path | None = None, *more: str) -> None:
        command = [
            chromium() or "", "--headless=new", "--remote-debugging-pipe", "--no-first-run",
            "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio",
            "--autoplay-policy=no-user-gesture-required", "--disable-background-networking",
            "--disable-component-update", "--disable-extensions", "--no-default-browser-check",
            f"--user-data-dir={folder}", "--window-size=1280,860",
            "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
            *([f"--use-file-for-fake-audio-capture={microphone}%noloop"] if microphone else []),
            *more, "about:blank",
        ]  # fmt: skip
        down, self._down = os.pipe()
        self._up, up = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WITH_PIPES, str(down), str(up), *command],
            pass_fds=(down, up), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(down)
        os.close(up)
        self._number = 0
        self._told: Queue[dict[str, Any] | None] = Queue()
        self.events: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()
        targets = self._ask("Target.getTargets", {})["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self._ask("Target.attachToTarget", {"targetId": page, "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def _read(self) -> None:
        waiting = b""
        with contextlib.suppress(OSError):
            while piece := os.read(self._up, 1 << 20):
                *whole, waiting = (waiting + piece).split(b"\0")
                for one in whole:
                    self._told.put(json.loads(one))
        self._told.put(None)

    def _ask(self, method: str, of: dict[str, Any], within_s: float = 60.0, **more: str) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": of, **more}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._down, data) :]
        deadline = time.monotonic() + within_s
        while True:
            try:
                told = self._told.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise BrowserError(f"{method}: no answer in {within_s} s") from None
            if told is None:
                raise BrowserError(f"{method}: the browser is gone")
            if told.get("id") == self._number:
                if "error" in told:
                    raise BrowserError(f"{method}: {told['error']['message']}")
                return told["result"]
            if "method" in told:
                self.events.append(told)
                del self.events[:-5000]

    def ask(self, method: str, **of: Any) -> Any:
        """A command of the DevTools protocol to the page."""
        return self._ask(method, of, sessionId=self._session)

    # -- the page

    def open(self, address: str) -> None:
        self.ask("Page.navigate", url=address)
        self.until("document.readyState === 'complete'", 30)

    def run(self, script: str) -> Any:
        """The value of an expression, awaited. Raises BrowserError."""
        told = self.ask("Runtime.evaluate", expression=script, awaitPromise=True,
                        returnByValue=True, userGesture=True)  # fmt: skip
        if "exceptionDetails" in told:
            details = told["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return told["result"].get("value")

    def until(self, script: str, within_s: float, what: str = "") -> Any:
        """Until the expression is true; returns its value."""
        deadline = time.monotonic() + within_s
        while True:
            with contextlib.suppress(BrowserError):  # while a page is being loaded
                found = self.run(script)
                if found:
                    return found
            if time.monotonic() > deadline:
                text = self.run("document.body.innerText")
                raise BrowserError(f"not within {within_s} s: {what or script}; the page:\n{text}")
            time.sleep(0.05)

    def text(self, selector: str = "body") -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def click(self, selector: str) -> None:
        self.until(f"!!document.querySelector({json.dumps(selector)})", 20)
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def size(self, width: int, height: int, phone: bool = False) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=2 if phone else 1, mobile=phone)  # fmt: skip

    def scheme(self, scheme: str) -> None:
        """light or dark, as the user's system has it."""
        self.ask("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": scheme}])  # fmt: skip

    def complaints(self) -> list[str]:
        """Errors of scripts, refusals by the policy, and failed requests so far."""
        found = []
        for event in self.events:
            of = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                details = of["exceptionDetails"]
                found.append(details.get("exception", {}).get("description", details["text"]))
            elif event["method"] == "Log.entryAdded" and of["entry"]["level"] == "error":
                found.append(f"{of['entry']['text']} {of['entry'].get('url', '')}")
            elif event["method"] == "Runtime.consoleAPICalled" and of["type"] == "error":
                found.append(str([one.get("value") for one in of["args"]]))
        return found

    def requested(self) -> list[str]:
        """The addresses of everything that was asked for."""
        return [one["params"]["request"]["url"] for one in self.events
                if one["method"] == "Network.requestWillBeSent"]  # fmt: skip

    def close(self) -> None:
        with contextlib.suppress(BrowserError, OSError):
            self._ask("Browser.close", {}, within_s=5)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for one in (self._down, self._up):
            with contextlib.suppress(OSError):
                os.close(one)


@contextlib.contextmanager
def browser(folder: Path, microphone: Path | None = None, *more: str) -> Iterator[Browser]:
    one = Browser(folder, microphone, *more)
    try:
        yield one
    finally:
        one.close()
