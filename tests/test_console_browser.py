"""The console in a real Chromium, whose microphone plays recorded speech."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soxr
import yaml

from tests.browser import WHY_NOT, Browser, browser, chromium
from tests.conftest import ENERGY, free_port, wait_until
from tests.house import PATIENT, ROOT, House, recording, until
from workers import streams

pytestmark = pytest.mark.skipif(chromium() is None, reason=WHY_NOT)

TOKEN = "a-token-of-enough-length"
VIEWS = ("phone", "live", "calls", "health", "off")
CONSENT = "This call is recorded."
OPEN = "We are open from eight in the morning to six in the evening, Monday to Friday."
# What the page plays, sample by sample, while `window.played` grows.
LISTEN = """
(async () => {
  const { line } = await import("/static/line.js");
  while (!line.output) await new Promise((done) => setTimeout(done, 10));
  const ear = line.context.createScriptProcessor(8192, 1, 1);
  window.played = [];
  ear.onaudioprocess = ({ inputBuffer }) =>
    window.played.push(Float32Array.from(inputBuffer.getChannelData(0)));
  line.output.connect(ear);
  ear.connect(line.context.destination);
})()
"""
PLAYED = """
(async () => {
  const { line } = await import("/static/line.js");
  const bytes = new Uint8Array(await new Blob(window.played).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return [line.context.sampleRate, btoa(text)];
})()
"""
# What is wider than the window, and what has too little contrast (WCAG AA).
TOO_WIDE = """
[...document.querySelectorAll("main *")].filter((one) => !one.closest(".scroll, .unseen")
  && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 80))
"""
TOO_PALE = """
(() => {
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((all, v, i) => all + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  for (const one of document.querySelectorAll("body *")) {
    const says = [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!says || !one.checkVisibility() || one.closest(":disabled, .unseen, noscript")) continue;
    const grounds = [];
    for (let at = one; at; at = at.parentElement) {
      grounds.unshift(getComputedStyle(at).backgroundColor);
    }
    const ground = over(grounds);
    const text = over([`rgb(${ground})`, getComputedStyle(one).color]);
    const [a, b] = [light(ground), light(text)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${one.className} ${one.textContent}`);
  }
  return found;
})()
"""
NAMELESS = """
[...document.querySelectorAll("button, a, input, select, audio, canvas, svg[role]")].filter((one) =>
  one.checkVisibility() && !one.textContent.trim() && !one.getAttribute("aria-label")
  && !one.closest("label") && !document.querySelector(`label[for="${one.id}"]`))
  .map((one) => one.outerHTML.slice(0, 80))
"""


@dataclass
class World:
    house: House
    address: str
    folder: Path

    def console(self, **environ: str) -> tuple[subprocess.Popen[bytes], str]:
        port = free_port()
        environ = {"ESLBOT_CONSOLE_PORT": str(port), **environ}
        with (self.folder / "console.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "eslbot", "console"], cwd=ROOT,
                env=self.house.environ | environ, stdout=log, stderr=log,
            )  # fmt: skip
        address = f"http://127.0.0.1:{port}/"
        log_path = self.folder / "console.log"
        until(lambda: f":{port}/" in log_path.read_text(), 30, log_path.read_text)
        return process, address


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A house whose bot records after an announcement, its recorder and a console."""
    folder = tmp_path_factory.mktemp("world")
    bot = yaml.safe_load(ENERGY.read_text()) | {"ladder": PATIENT}
    bot["recording"] = {"mode": "announce", "consent": CONSENT}
    (folder / "recorded.yaml").write_text(yaml.safe_dump(bot, sort_keys=False))
    house = House(
        folder, folder / "state", ESLBOT_WEBSOCKET_PORT=str(free_port()),
        ESLBOT_BOT=str(folder / "recorded.yaml"), ESLBOT_NO_INPUT_MS="60000",
        ESLBOT_SHED_LAG_MS="5000",
    )  # fmt: skip
    one = World(house, "", folder)
    mine = []
    try:
        house.start_all()
        mine.append(subprocess.Popen([sys.executable, "-m", "eslbot", "recorder"], cwd=ROOT,
                                     env=house.environ))  # fmt: skip
        process, one.address = one.console()
        mine.append(process)
        yield one
    finally:
        for process in mine:
            process.terminate()
            process.wait(10)
        house.stop()


@pytest.fixture(scope="module")
def page(world: World) -> Iterator[Browser]:
    """The caller asks for the opening hours once, long after the greeting."""
    speech = np.concatenate(
        [np.zeros(20 * 8000, "<i2"), np.frombuffer(recording("hours"), "<i2"),
         np.zeros(120 * 8000, "<i2")]
    )  # fmt: skip
    with wave.open(str(world.folder / "microphone.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(speech.tobytes())
    with browser(world.folder / "chromium", world.folder / "microphone.wav") as one:
        yield one


def played(page: Browser) -> np.ndarray:
    """What has come out of the page so far, at 8000 Hz."""
    rate, text = page.run(PLAYED)
    return soxr.resample(np.frombuffer(base64.b64decode(text), "<f4"), rate, 8000)


def bots_side(world: World) -> np.ndarray:
    """What the listener sent in the newest call, by its recording."""
    newest = max((world.folder / "state" / "recordings").iterdir(), key=lambda f: f.stat().st_mtime)
    with wave.open(str(newest)) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2")[1::2].astype(float)


def share_heard(sent: np.ndarray, heard: np.ndarray) -> float:
    """Of the speech in what was sent, in pieces of a fifth of a second, how much is in what was
    heard, sample by sample. A piece that the buffer parted counts as missing."""
    size, found = 1600, []
    for at in range(0, len(sent) - size, size):
        piece = sent[at : at + size]
        if np.abs(piece).max() > 1000:
            found.append(likeness(heard, piece) > 0.8)
    assert len(found) > 10
    return sum(found) / len(found)


def likeness(heard: np.ndarray, piece: np.ndarray) -> float:
    """The highest correlation anywhere; 1 is the same but for its loudness."""
    size = 1 << (len(heard) + len(piece)).bit_length()
    met = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(piece, size)), size)
    energy = np.convolve(heard**2, np.ones(len(piece)), "valid")
    met = met[: len(energy)] / np.sqrt(np.maximum(energy, 1e-4) * (piece**2).sum())
    return float(met.max())


def go(page: Browser, view: str) -> None:
    shown = "call" if view.startswith("calls/") else view
    page.run("delete document.querySelector('main').dataset.view")
    page.run(f"location.hash === '#/{view}' ? dispatchEvent(new HashChangeEvent('hashchange')) "
             f": (location.hash = '#/{view}')")  # fmt: skip
    page.until(f"!!document.querySelector('main[data-view={shown}] h1')", 20)


def hang_up(page: Browser) -> None:
    go(page, "phone")
    page.click(".dial.hang")
    page.until("!document.querySelector('.dial.hang')", 20)


def test_a_conversation_in_the_page(world: World, page: Browser):
    page.open(world.address)
    page.click(".dial")
    page.run(LISTEN)
    page.until("document.querySelector('.transcript').innerText.includes('How can I help')", 60)
    # When the microphone has played the caller's question:
    page.until("document.querySelector('.line.caller .words')?.innerText.includes('open')", 90)
    page.until(f"document.querySelector('.transcript').innerText.includes({OPEN!r})", 60)
    page.until("document.querySelector('.status').innerText === 'Listening'", 60)
    # I expect that the page has played the greeting and the answer, sample by sample,
    sent, heard = bots_side(world), played(page)
    question = len(sent) - 8 * 8000  # the answer takes seven seconds
    assert share_heard(sent[:question], heard) > 0.6
    assert share_heard(sent[question:], heard) > 0.6
    assert share_heard(sent[::-1], heard) < 0.2
    # and that it shows where the time went.
    page.until("!!document.querySelector('.turn')", 20)
    page.run("document.querySelector('.turn').open = true")
    stages = page.run("[...document.querySelectorAll('.fall-name')].map((one) => one.innerText)")
    assert stages == [
        "End of speech", "Speech-to-text", "Decision", "First sentence", "First audio", "Playback",
        "Network",
    ]  # fmt: skip
    assert "hours" in page.text(".known")
    assert "round trip" in page.text(".network")


def test_the_same_call_from_outside(world: World, page: Browser):
    go(page, "live")
    page.until("document.querySelector('main').innerText.includes('1 call in progress')", 20)
    row = page.text("tbody tr")
    assert "browser" in row
    assert "anything else" in row
    assert page.run("document.querySelector('[data-view=phone]').classList.contains('busy')")


def test_keys_lead_to_the_menu_and_the_mute_button_mutes(page: Browser):
    go(page, "phone")
    page.run("[...document.querySelectorAll('.device .quiet')][0].click()")
    page.until("!!document.querySelector('.device .quiet[aria-pressed=true]')", 5)
    page.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '0', bubbles: 1}))")
    page.until("document.querySelector('.status').innerText === 'Keypad menu'", 20)
    page.until("document.querySelector('.transcript').innerText.includes('press 1')", 20)
    hang_up(page)
    assert "Call ended" in page.text(".status")


def test_its_page_tells_it_against_the_sound_of_both_sides(world: World, page: Browser):
    go(page, "calls")
    page.run("""
      const search = document.getElementById("search");
      search.value = "hours monday";
      search.dispatchEvent(new Event("input"));
    """)
    page.until("document.querySelector('.sub').innerText === '1 call found'", 20)
    page.click("tbody a")
    page.until("!!document.querySelector('.wave') && !document.querySelector('.sound').hidden", 30)
    page.until("document.querySelector('audio').duration > 15", 30)
    assert "when are you open" in page.text(".transcript")
    assert page.run("document.querySelectorAll('.turn[open] .fall-ms').length") >= 6
    # A line leads to its sound; what was recorded began with the greeting.
    page.run("[...document.querySelectorAll('.line.bot button.words')].at(-1).click()")
    page.until("document.querySelector('audio').currentTime > 10", 20)
    page.until("!!document.querySelector('.line.now')", 20)
    drawn = """(() => {
      const canvas = document.querySelector(".wave");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    })()"""
    page.until(f"{drawn} > 3", 20, "both tracks and the place in them are drawn")
    assert page.text(".side").count("None.") == 2  # no tools, no failures


def test_words_of_callers_are_never_markup(world: World, page: Browser):
    client = world.house.redis.client(2)
    evil = '<img src="x" onerror="document.title = \'owned\'"><script>alert(1)</script>'
    with client.pipeline() as pipe:
        streams.enlist(pipe, "evil", 2e9, 3600)
        for what, text in (("call", ""), ("heard", evil), ("said", evil), ("failed", evil)):
            fields = {"text": text, "caller_shown": evil, "reason": evil, "stage": "llm"}
            entry = {"at": "2000000000", "what": what, "fields": json.dumps(fields)}
            pipe.xadd(streams.log_key("evil"), entry)
        pipe.execute()
    for view in ("calls/evil", "calls", "live"):
        go(page, view)
        page.until("document.querySelector('main').innerText.includes('<img')", 20)
        assert not page.run("!!document.querySelector('main img, main script')")
    assert "owned" not in page.run("document.title")
    client.delete(streams.log_key("evil"))
    client.zrem(streams.CALLS_KEY, "evil")
    client.close()


def begun(page: Browser) -> str:
    """What stands on the page once a call has begun."""
    go(page, "phone")
    page.click(".dial:not(.hang)")
    page.until("['Keypad menu', 'The bot speaks'].includes("
               "document.querySelector('.status').innerText)", 30)  # fmt: skip
    told = page.text(".transcript")
    hang_up(page)
    return told


def test_the_assistant_switched_off_and_on_again(world: World, page: Browser):
    go(page, "off")
    page.run("""
      const form = document.querySelector("form");
      form.elements.number.value = "bro*";
      form.elements.reason.value = "a test";
      form.requestSubmit();
    """)
    page.until("document.querySelector('main').innerText.includes('all calls from or to bro*')", 20)
    wait_until(lambda: "the assistant is off: a test" in begun(page), 60, "listeners obey it")
    go(page, "off")
    page.until("!!document.querySelector('td button')", 20)
    page.click("td button")
    page.until("document.querySelector('main').innerText.includes('answers all calls')", 20)
    assert "taken back" in page.text("main")


def test_the_house_is_well_and_every_view_is_fit_to_be_read(world: World, page: Browser):
    uuid = page.run("fetch('/api/calls').then((told) => told.json()).then((t) => t.calls[0].uuid)")
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        for width, height in ((1280, 860), (390, 844)):
            page.size(width, height, phone=width < 500)
            for view in (*VIEWS, f"calls/{uuid}"):
                go(page, view)
                page.until("!document.querySelector('main').innerText.includes('Looking')", 20)
                where = f"{view}, {scheme}, {width}"
                assert page.run(TOO_WIDE) == [], where
                assert page.run(TOO_PALE) == [], where
                assert page.run(NAMELESS) == [], where
    page.size(1280, 860)
    go(page, "health")
    page.until("document.querySelector('main').innerText.includes('All is well.')", 30)
    for part in ("pocketsphinx", "intents", "espeak", "ready", "alive"):
        assert part in page.text("main"), part


def test_all_of_it_can_be_reached_with_the_keyboard(world: World, page: Browser):
    page.open(world.address)
    page.until("!!document.querySelector('.dial')", 20)
    reached = []
    for _ in range(40):
        for kind in ("keyDown", "keyUp"):
            page.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                     windowsVirtualKeyCode=9)  # fmt: skip
        reached.append(page.run("document.activeElement.innerText || document.activeElement.id"))
    assert reached[0] == "Skip to the content"
    for wanted in ("Phone", "Live", "Calls", "Health", "AI off", "Theme: auto", "Call the bot"):
        assert wanted in reached, wanted


def test_nothing_was_complained_of_or_fetched_from_outside(world: World, page: Browser):
    assert page.complaints() == []
    outside = [one for one in page.requested()
               if not one.startswith((world.address, "data:", "blob:", "about:"))]  # fmt: skip
    assert outside == []


def test_with_a_token_there_is_a_login(world: World, page: Browser):
    console, address = world.console(ESLBOT_CONSOLE_TOKEN=TOKEN, ESLBOT_CONSOLE_HOST="0.0.0.0")
    try:
        page.open(address)
        page.until("location.pathname === '/login'", 20)

        def give(token: str) -> None:
            page.run(f"document.getElementById('token').value = '{token}'; "
                     "document.querySelector('form').requestSubmit()")  # fmt: skip

        give("not-the-right-token")
        page.until("document.getElementById('wrong').innerText === 'wrong token'", 20)
        give(TOKEN)
        page.until("location.pathname === '/' && !!document.querySelector('.dial')", 20)
        assert page.run("document.cookie") == ""
        page.click("#logout")
        page.until("location.pathname === '/login'", 20)
    finally:
        console.terminate()
        console.wait(10)
