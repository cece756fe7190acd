"""`eslbot chaos matrix`: each fault, while calls are in each phase, judged by what was heard.

A house of our own is started with two workers of each role; the language model and the voice are
a local provider whose answers name themselves as tones (rig/tones.py), the callers speak recorded
words that the embedded recogniser hears. So the recording of each call alone tells what its caller
heard, when, and whose answer it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import gevent
import httpx
import numpy as np
import yaml

from eslbot.chaos.callers import LEAD_S, PHASES, Caller
from eslbot.chaos.faults import Fault, Scene
from eslbot.prompts import prompt_file, read_wav
from eslbot.rig.answers import sentence, spoken_s
from eslbot.rig.control import control
from eslbot.rig.house import ROOT, House, free_port, until
from eslbot.rig.judge import judge
from eslbot.rig.tones import RULES_TURN, Fixed, Heard, Mark, encode
from eslbot.switch.channel import Channel, Dialplan
from workers.bot import Bot, load

RECORDINGS = ROOT / "eslbot" / "recordings"
NATIVE, AGENT = 58, 57  # what is heard in FreeSWITCH's own menu, and at a person
FIRST_NUMBER = 1001
CALL_S = 90.0
RECOVERS_WITHIN_S = 60.0
VOICE_S = 0.5
DIGITS = "zero one two three four five six seven eight nine".split()  # noqa: SIM905


@dataclass(slots=True)
class Result:
    """One call under one fault. Times in seconds."""

    fault: str
    phase: str
    end: str  # where the caller was at last
    dropped: bool
    silence_s: float
    silence_at_s: float  # after the fault; negative: before it
    answered: bool
    fallback: bool
    twice: int
    foreign: int
    late: int
    # From the fault, or the end of the words that it came into, to the next sound of an answer or
    # of a fallback.
    goes_on_s: float | None
    heard: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """One fault: its calls, and how long the house needed afterwards, without a restart of ours."""

    fault: str
    results: list[Result]
    recovered_s: float | None
    bound_s: float
    errors: list[str] = field(default_factory=list)

    def wrong(self) -> list[str]:
        """What must never be, in words."""
        found = list(self.errors)
        for one in self.results:
            at = f"{one.phase}: "
            found += [f"{at}dropped ({one.end})"] if one.dropped else []
            found += [f"{at}{one.twice} parts heard twice"] if one.twice else []
            found += [f"{at}another call's answer"] if one.foreign else []
            found += [f"{at}a late answer"] if one.late else []
            found += [f"{at}nothing was heard"] if not (one.answered or one.fallback) else []
            if one.silence_s > self.bound_s:
                found.append(f"{at}{one.silence_s:.2f} s of silence, over {self.bound_s:.1f}")
        if self.recovered_s is None:
            found.append(f"no answer again within {RECOVERS_WITHIN_S:.0f} s")
        return found


class Rig:
    """A house with its provider, for any number of faults that leave it able to go on."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        folder.mkdir(parents=True, exist_ok=True)
        self.bot = _bot(folder / "bot.yaml")
        self.phrases = list(self.bot.fixed_phrases())
        self._number = FIRST_NUMBER
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        (folder / "phrases.json").write_text(json.dumps(self.phrases))
        environ = {
            "ESLBOT_BOT": str(folder / "bot.yaml"),
            "ESLBOT_LLM_URL": f"{self._url}/v1",
            "ESLBOT_TTS": "openai",
            "ESLBOT_TTS_URL": f"{self._url}/v1",
            "ESLBOT_BREAKER_OPEN_MS": "1000",
            "ESLBOT_MAX_CALLS_PER_S": "200",
            "ESLBOT_ACCOMPANY_S": "60",
        }
        if kind == "stt provider":
            environ["ESLBOT_STT_URL"] = f"{self._url}/v1"
        self.house = House(folder, folder / "state", **environ)
        self._provider: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "eslbot.rig.provider", "--port", str(self._port)]
        command += ["--phrases", str(self.folder / "phrases.json"), "--person", "agent"]
        command += ["--transcript", "what is my balance"]
        command += ["--stt-ms", "50", "--llm-ms", "150", "--tts-ms", "50"]
        with (self.folder / "provider.log").open("wb") as log:
            self._provider = subprocess.Popen(  # noqa: S603
                command, cwd=ROOT, stdout=log, stderr=log
            )
        until(self._provider_answers, 20, "the provider answers")
        self.house.start_all(workers=2, respawn=True)
        prompts = self.folder / "state" / "prompts" / "openai"
        self.phrases_s = {
            n: len(read_wav(prompts / prompt_file(text))) / 16_000
            for n, text in enumerate(self.phrases)
        }

    def stop(self) -> None:
        self.house.stop()
        if self._provider:
            self._provider.kill()
            self._provider.wait()

    def _provider_answers(self) -> bool:
        try:
            return httpx.get(f"{self._url}/v1/models", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def control(self, role: str, mode: str) -> None:
        control(self._url, role, mode)

    def caller(self, phase: str) -> Caller:
        """With a number of its own."""
        self._number += 1
        plan = Dialplan(
            [f"127.0.0.1:{self.house.port}"],
            destinations={d.extension for d in self.bot.destinations.values() if d.extension},
            audio={"native": encode(Fixed(NATIVE), 3.0), "extension": encode(Fixed(AGENT), 3.0)},
        )
        call = Channel(plan, variables={"ai_account": str(self._number)})
        keys_only = self.kind == "stt provider"
        return Caller(call, phase, self._number, _words("balance"), _words("person"), keys_only)

    def run(self, fault: Fault, per_phase: int) -> Run:
        """The fault once, with per_phase calls in each phase."""
        callers = [self.caller(phase) for phase in PHASES for _ in range(per_phase)]
        scene = Scene(self.house, [one.call for one in callers], self.control)
        fault_at = time.monotonic() + LEAD_S + 1.0
        tasks = [
            # Not all in the same instant: nobody's calls come so.
            gevent.spawn_later(0.05 * n, one.run, fault_at)
            for n, one in enumerate(callers)
        ]
        errors: list[str] = []
        gevent.sleep(max(0.0, fault_at - time.monotonic()))
        began = [one.call.recording.ticks * one.call.recording.tick_s for one in callers]
        _safely(fault.begin, scene, errors)
        gevent.sleep(fault.seconds)
        _safely(fault.end, scene, errors)
        recovers = gevent.spawn(self._recovers, time.monotonic())
        gevent.joinall(tasks, timeout=CALL_S)
        unfinished = sum(not task.ready() for task in tasks)
        if unfinished:
            errors.append(f"{unfinished} calls did not come to an end")
        gevent.killall(tasks)
        results = [self._judge(fault, one, at) for one, at in zip(callers, began, strict=True)]
        recovered_s = recovers.get()
        return Run(fault.name, results, recovered_s, fault.bound_s, errors)

    def _judge(self, fault: Fault, caller: Caller, fault_s: float) -> Result:
        call = caller.call
        texts = {text: n for n, text in enumerate(self.phrases)}
        menu = self.bot.menu
        fallback = {texts[menu.person_prompt], texts[self.bot.phrases.to_menu], NATIVE, AGENT}
        goes_on = {texts[t] for t in (*self.bot.ladder.filler.say, self.bot.phrases.to_menu)}
        goes_on |= {texts[t] for t in (menu.intro, *(item.prompt for item in menu.items))}
        goes_on |= {texts[d.say] for d in self.bot.destinations.values()}
        verdict = judge(
            np.asarray(call.recording.bot()),
            caller.spoke(),
            began_s=0.0,
            ended_s=caller.ended_s or call.recording.ticks * call.recording.tick_s,
            own=caller.number,
            phrases_s=self.phrases_s | {NATIVE: 3.0, AGENT: 3.0},
            part_s=part_s,
            not_final=goes_on,
            fallbacks=fallback,
            voices_final=True,
        )
        # Who speaks at that moment waits from the end of his own words.
        since = max([fault_s, *(end for start, end in caller.spoke() if start <= fault_s)])
        wanted = [
            one.start_s
            for one in verdict.heard
            if one.end_s > fault_s
            and (_is_voice(one)
                 or isinstance(one.what, Mark)
                 or (isinstance(one.what, Fixed) and one.what.index in fallback))
        ]  # fmt: skip
        return Result(
            fault.name,
            caller.phase,
            call.where if not caller.alive else caller.end,
            not caller.alive or call.crashed is not None,
            round(verdict.longest_silence_s, 2),
            round(verdict.silence_at_s - fault_s, 2),
            # The embedded voice names nobody.
            verdict.answered or any(_is_voice(one) for one in verdict.heard),
            verdict.fallback,
            len(verdict.twice),
            len(verdict.foreign),
            _late(verdict.heard),
            round(max(0.0, wanted[0] - since), 2) if wanted else None,
            [f"{one.start_s:.2f}-{one.end_s:.2f} {self._name(one.what)}" for one in verdict.heard],
        )

    def _name(self, what: Mark | Fixed | None) -> str:
        if isinstance(what, Mark):
            return f"answer {what.call}.{what.turn}.{what.part}"
        if isinstance(what, Fixed):
            names = {NATIVE: "FreeSWITCH's menu", AGENT: "a person"}
            return names.get(what.index) or (
                self.phrases[what.index][:30] if what.index < len(self.phrases) else "?"
            )
        return "a voice"

    def _recovers(self, over: float) -> float | None:
        """Seconds from the end of the fault until a new call is answered by the provider's
        answer; None: not in time."""
        while time.monotonic() - over < RECOVERS_WITHIN_S:
            caller = self.caller("listening")
            call = caller.call
            call.dial()
            call.wait_for(lambda c=call: c.recording.audible("bot").any() or _gone(c), 4)  # type: ignore[misc]
            call.wait_for(lambda c=call: c.recording.quiet_s("bot") > 0.8 or _gone(c), 8)  # type: ignore[misc]
            if not _gone(call):
                call.say(caller.question)
                call.wait_for(lambda c=call: not c.saying, 4)  # type: ignore[misc]
                at = call.recording.ticks
                call.wait_for(lambda c=call, t=at: c.recording.audible("bot", t).any(), 5)  # type: ignore[misc]
                call.sleep(2.5)  # an answer may have to wait for a filler's end
            call.hangup()
            told = judge(
                np.asarray(call.recording.bot()), caller.spoke(), began_s=0.0,
                ended_s=call.recording.ticks * call.recording.tick_s, own=caller.number,
                phrases_s=self.phrases_s, part_s=part_s,
            )  # fmt: skip
            if any(isinstance(one.what, Mark) and one.what.turn < RULES_TURN for one in told.heard):
                return round(time.monotonic() - over, 1)
            gevent.sleep(0.5)
        return None


def part_s(mark: Mark) -> float:
    """Full length in seconds of an answer's part, as the provider speaks it."""
    if mark.turn == RULES_TURN:  # of the bot's own rules: see _bot()
        digits = " ".join(DIGITS[int(one)] for one in str(mark.call))
        return spoken_s(f"The balance of account {digits} is in order.")
    return spoken_s(sentence(mark))


def _late(heard: list[Heard]) -> int:
    """Parts of an answer that were heard after one of a later turn."""
    turns = [one.what.turn for one in heard if isinstance(one.what, Mark)]
    turns = [turn for turn in turns if turn != RULES_TURN]
    return sum(turn < max(turns[:at]) for at, turn in enumerate(turns) if at)


def _is_voice(one: Heard) -> bool:
    """Longer than a mark that was cut."""
    return one.what is None and one.end_s - one.start_s > VOICE_S


def _gone(call: Channel) -> bool:
    return call.where not in ("dialplan", "socket")


def _safely(act: Callable[[Scene], None], scene: Scene, errors: list[str]) -> None:
    try:
        act(scene)
    except Exception as error:
        errors.append(f"the fault itself went wrong: {type(error).__name__}: {error}")


def _bot(path: Path) -> Bot:
    """The example bot, whose balance any account has."""
    example = yaml.safe_load((ROOT / "eslbot" / "bots" / "energy.yaml").read_text())
    balance = example["intents"]["balance"]
    del balance["lookup"]
    balance["answer"] = "The balance of account {account} is in order."
    path.write_text(yaml.safe_dump(example, sort_keys=False))
    return load(path)


def _words(name: str) -> bytes:
    """Recorded words, without the silence at their ends."""
    pcm = np.frombuffer(read_wav(RECORDINGS / f"{name}.wav"), "<i2")
    loud = np.flatnonzero(np.abs(pcm) > 300)
    return bytes(pcm[loud[0] : loud[-1] + 1].tobytes())


def run_all(
    faults: Iterable[Fault], folder: Path, per_phase: int, tell: Callable[[Run], None]
) -> None:
    """Each fault in turn; a new house where another kind is wanted, or the last did not recover."""
    rig: Rig | None = None
    try:
        for number, fault in enumerate(sorted(faults, key=lambda one: one.rig)):
            if rig is None or rig.kind != fault.rig:
                if rig is not None:
                    rig.stop()
                rig = Rig(folder / f"house-{number}", fault.rig)
                rig.start()
            run = rig.run(fault, per_phase)
            tell(run)
            if run.recovered_s is None:
                rig.stop()
                rig = None
    finally:
        if rig is not None:
            rig.stop()


def as_json(runs: list[Run]) -> str:
    return json.dumps([asdict(run) | {"wrong": run.wrong()} for run in runs], indent=1)
