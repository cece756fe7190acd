"""In a real Chromium: a caller who interrupts, and a turn that calls a tool."""

from __future__ import annotations

import subprocess
import threading
import wave
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml

from eslbot.examples.backend import Backend
from eslbot.examples.records import Records
from tests import acting_bot
from tests.browser import WHY_NOT, browser, chromium
from tests.conftest import free_port
from tests.house import PATIENT, House, recording
from tests.test_console_browser import World, go

pytestmark = pytest.mark.skipif(chromium() is None, reason=WHY_NOT)

OPEN = "We are open from eight in the morning to six in the evening, Monday to Friday."
# What the page plays after it was told of an interruption, and until it is told of more speech.
WATCH = """
(async () => {
  const { line } = await import("/static/line.js");
  window.after = null;
  line.addEventListener("told", ({ detail }) => {
    if (detail.type === "interrupted") window.after = [];
    else if (detail.type === "said" && !window.after?.includes(0)) window.after = null;
  });
  line.addEventListener("levels", ({ detail }) => {
    window.after?.push(detail.theirs < 0.001 ? 0 : detail.theirs);
  });
})()
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A house whose bot asks a server for balances, and a console."""
    folder = tmp_path_factory.mktemp("world")
    with Backend(Records(date(2026, 11, 23))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        bot = acting_bot.definition(server.url) | {"ladder": PATIENT}
        (folder / "bot.yaml").write_text(yaml.safe_dump(bot, sort_keys=False))
        house = House(
            folder, folder / "state", ESLBOT_WEBSOCKET_PORT=str(free_port()),
            ESLBOT_BOT=str(folder / "bot.yaml"), ESLBOT_NO_INPUT_MS="60000",
            ESLBOT_SHED_LAG_MS="5000",
        )  # fmt: skip
        one = World(house, "", folder)
        console: subprocess.Popen[bytes] | None = None
        try:
            house.start_all()
            console, one.address = one.console()
            yield one
        finally:
            house.stop()
            server.shutdown()
            thread.join(5)
            if console:
                console.terminate()
                console.wait(60)


def microphone(path: Path, name: str, before_s: int, after_s: int) -> Path:
    silence = [np.zeros(seconds * 8000, "<i2") for seconds in (before_s, after_s)]
    sound = np.concatenate([silence[0], np.frombuffer(recording(name), "<i2"), silence[1]])
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(sound.tobytes())
    return path


def test_a_caller_who_speaks_into_the_answer_silences_the_page(world: World):
    # Given a caller who asks again and again, more often than the answer is long,
    sound = microphone(world.folder / "again.wav", "hours", 3, 1)
    loop = f"--use-file-for-fake-audio-capture={sound}"
    with browser(world.folder / "chromium", None, loop) as page:
        page.open(world.address)
        page.run(WATCH)
        page.click(".dial")
        # I expect that the answer is cut off, that what was not heard of it is struck out,
        page.until(
            "[...document.querySelectorAll('.line.bot')].some((line) => line.innerText"
            f".includes({OPEN[:11]!r}) && line.innerText.includes('interrupted')"
            " && line.querySelector('s')?.innerText.includes('Friday'))",
            120,
        )
        # and that nothing of it is played any more, although the caller goes on.
        page.until("window.after?.includes(0)", 30, "the page is silent")
        assert page.complaints() == []
        page.click(".dial.hang")
        page.until("!document.querySelector('.dial.hang')", 20)


def test_a_tool_stands_in_its_turn_s_waterfall(world: World):
    sound = microphone(world.folder / "once.wav", "balance", 6, 300)
    with browser(world.folder / "chromium2", sound) as page:
        page.open(world.address)
        page.click(".dial")
        page.until("document.querySelector('.transcript').innerText.includes('account number')", 90)
        for key in "4271#":
            page.run("document.body.dispatchEvent(new KeyboardEvent("
                     f"'keydown', {{key: {key!r}, bubbles: true}}))")  # fmt: skip
        page.until("document.querySelectorAll('.turn').length === 2", 90)
        assert "owes 120 dollars" in page.text(".transcript")
        assert page.text(".line.tool").startswith("customer, ")
        stages = page.run("[...document.querySelectorAll('.turn')].at(-1)"
                          ".querySelectorAll('.fall-name').values()"
                          ".map((one) => one.textContent).toArray()")  # fmt: skip
        assert stages.index("Decision") < stages.index("Tool customer")
        assert stages.index("Tool customer") < stages.index("First sentence")
        # And so it stands for whoever looks at the call.
        page.click(".dial.hang")
        page.until("!document.querySelector('.dial.hang')", 20)
        uuid = page.run("fetch('/api/calls').then((t) => t.json()).then((t) => t.calls[0].uuid)")
        go(page, f"calls/{uuid}")
        page.until("document.querySelector('main').innerText.includes('Tool customer')", 20)
        assert "customer · ok · HTTP 200" in page.text(".side")
        assert page.complaints() == []
