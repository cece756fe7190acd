"""Scenarios as calls, several at once."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import gevent
import redis

from eslbot.evals.caller import Caller
from eslbot.evals.scenario import Case
from eslbot.evals.speech import Speech
from eslbot.evals.verdict import Result
from eslbot.switch.channel import Channel


class Run:
    """keep: a folder for recordings of the calls, or None."""

    def __init__(
        self,
        dial: Callable[[Case], Channel],
        client: redis.Redis,
        speech: Speech,
        text: bool = False,
        keep: Path | None = None,
    ) -> None:
        self._dial = dial
        self._client = client
        self._speech = speech
        self._text = text
        self._keep = keep

    def all(
        self, cases: Sequence[Case], parallel: int, tell: Callable[[Result], None]
    ) -> list[Result]:
        """A result for each, in their order; tell() is called as each ends."""
        seen: Counter[str] = Counter()
        results = []
        for case in cases:
            results.append(Result(case, seen[case.id]))
            seen[case.id] += 1
        waiting = list(reversed(results))

        def line() -> None:
            while waiting:
                one = waiting.pop()
                self.one(one)
                tell(one)

        lines = [gevent.spawn(line) for _ in range(min(parallel, len(results)))]
        gevent.joinall(lines, raise_error=True)
        return results

    def one(self, result: Result) -> None:
        """One call, and its verdict."""
        call = self._dial(result.case)
        try:
            Caller(call, self._client, self._speech, self._text).run(result)
        finally:
            call.hangup()
        if call.crashed:
            result.end.trouble = f"this would have crashed FreeSWITCH: {call.crashed}"
        result.today = datetime.date.today()
        result.judge()
        if self._keep:
            self._keep.mkdir(parents=True, exist_ok=True)
            name = result.case.id.replace("/", "-") + (f"-{result.repeat}" if result.repeat else "")
            call.recording.save(self._keep / f"{name}.wav")
