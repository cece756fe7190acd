"""A caller's walk through a generated dialplan, without a switch.

Conditions, anti-actions and breaks as in mod_dialplan_xml.c (parse_exten), digits as in
switch_ivr_play_say.c (switch_ivr_read, switch_play_and_get_digits). Only what the generated file
uses is here; anything else is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree import ElementTree

SILENCE = "."  # among the keys: the caller waits until the time is up
MAX_HOPS = 70
TIMES = {"wday", "year", "mon", "mday", "time-of-day"}


@dataclass
class Walk:
    """Where the caller came out, what stands on the channel, and what was played, in order."""

    extension: str = ""
    context: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    played: list[str] = field(default_factory=list)
    applications: list[tuple[str, str]] = field(default_factory=list)
    hops: int = 0


class Walker:
    def __init__(self, xml: str, context: str) -> None:
        # The include line is FreeSWITCH's preprocessor's: nothing lies there in these walks.
        root = ElementTree.fromstring(xml)
        self._context = context
        contexts = [c for c in root.iter("context") if c.get("name") == context]
        assert len(contexts) == 1
        self._extensions = contexts[0].findall("extension")

    def walk(
        self,
        extension: str,
        keys: str,
        variables: Mapping[str, str],
        *,
        there: str = "",
        stop_at: str = "",
        deflected: Mapping[str, str] | None = None,
    ) -> Walk:
        """From an extension until the caller is transferred out of the context's own ones, to
        stop_at, or hung up.

        there: what the clock shows in the channel's time zone, YYYY-MM-DD HH:MM:SS. deflected: what
        is on the channel after a REFER. A bridge finds nobody.
        """
        self._there, self._deflected = there, deflected or {}
        walk = Walk(extension, self._context, {"uuid": "a-call", **variables})
        caller = iter(keys)
        while walk.context == self._context:
            actions = self._hunt(walk)
            if actions is None:
                return walk
            if not self._execute(actions, walk, caller):
                raise AssertionError(f"{walk.extension}: the caller falls out at the end")
            if walk.applications[-1][0] == "hangup" or (stop_at and walk.extension == stop_at):
                return walk
            walk.hops += 1
            assert walk.hops < MAX_HOPS, "the walk does not end"
        return walk

    def _hunt(self, walk: Walk) -> list[tuple[str, str]] | None:
        for extension in self._extensions:
            actions: list[tuple[str, str]] = []
            proceed = False
            for condition in extension.findall("condition"):
                assert set(condition.keys()) <= {"field", "expression", *TIMES}
                proceed = self._holds(condition, walk)
                tag = "action" if proceed else "anti-action"
                found = [
                    (a.get("application", ""), _groups(a.get("data", ""), condition, walk))
                    for a in condition.iter(tag)
                ]
                actions += found
                if not proceed:
                    proceed = bool(found)
                    break
            if proceed:
                return actions
        return None

    def _holds(self, condition: ElementTree.Element, walk: Walk) -> bool:
        name = condition.get("field")
        if name is None:
            return self._is_time(condition, walk)
        if name == "destination_number":
            value = walk.extension
        else:
            variable = re.fullmatch(r"\$\{([a-z0-9_]+)\}", name)
            assert variable, name
            value = walk.variables.get(variable[1], "")
        expression = condition.get("expression", "")
        # A group turns $1 in the actions' data into text of the caller: of keys that are digits.
        assert "${" not in expression
        assert "(" not in expression or name == "${eslbot_entry}"
        return re.search(expression, value) is not None

    def _is_time(self, condition: ElementTree.Element, walk: Walk) -> bool:
        """As switch_xml_std_datetime_check() in switch_xml.c, by a clock of the test's."""
        if not set(condition.keys()) & TIMES:
            return True
        assert walk.variables.get("timezone")
        there = datetime.fromisoformat(self._there)
        span = condition.get("time-of-day", "00:00:00-23:59:59").split("-")
        shows = {
            "wday": str(there.isoweekday() % 7 + 1),
            "year": str(there.year),
            "mon": str(there.month),
            "mday": str(there.day),
        }
        fits = all(condition.get(name, value) == value for name, value in shows.items())
        return fits and span[0] <= there.strftime("%H:%M:%S") <= span[1]

    def _execute(self, actions: list[tuple[str, str]], walk: Walk, caller: Iterator[str]) -> bool:
        """Run what was queued; True when the call was transferred."""
        for application, data in actions:
            walk.applications.append((application, data))
            if application == "set":
                name, _, value = data.partition("=")
                walk.variables[name] = _expand(value, walk.variables)
            elif application == "hangup":
                return True
            elif application == "deflect":
                walk.variables |= self._deflected
            elif application == "unset":
                walk.variables.pop(data, None)
            elif application == "playback":
                walk.played.append(data.rpartition("/")[2])
            elif application == "play_and_get_digits":
                _play_and_get_digits(data, walk, caller)
            elif application == "transfer":
                walk.extension, dialplan, walk.context = data.split(" ")
                assert dialplan == "XML"
                return True
            else:
                # What the way in needs has no effect on the walk: no listener takes the call.
                assert application in ("answer", "sched_transfer", "socket", "bridge", "sleep")
        return False


def _groups(data: str, condition: ElementTree.Element, walk: Walk) -> str:
    """$1 and its like, as switch_perform_substitution fills them in: only with groups."""
    expression = condition.get("expression", "")
    if "(" not in expression:
        return data
    found = re.search(expression, walk.variables.get("eslbot_entry", ""))
    assert found and all(group.isdigit() for group in found.groups())
    return re.sub(r"\$([0-9]+)", lambda number: found[int(number[1])], data)


def _expand(text: str, variables: Mapping[str, str]) -> str:
    text = re.sub(r"\$\{sched_del\(\$\{uuid\}\)\}", "+OK", text)
    return re.sub(r"\$\{([a-z0-9_]+)\}", lambda found: variables.get(found[1], ""), text)


def _play_and_get_digits(data: str, walk: Walk, caller: Iterator[str]) -> None:
    least, most, tries, wait_ms, terminators, prompt, bad, name, valid, gap_ms = data.split(" ")
    assert int(wait_ms) >= 1000 and int(gap_ms) > 0 and int(least) == 1
    for _ in range(int(tries)):
        walk.variables.pop(name, None)
        walk.played += [p.rpartition("/")[2] for p in prompt.split("!")]
        digits = ""
        for key in caller:
            if key == SILENCE or key in terminators:
                break
            digits += key
            if len(digits) == int(most):
                break
        if digits and re.search(valid, digits):
            walk.variables[name] = digits
            return
        walk.played.append(bad.rpartition("/")[2])
