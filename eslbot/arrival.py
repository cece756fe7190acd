"""How a call comes to us: who calls, which bot answers, what is known already, sound both ways."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from eslbot import ai_off, numbers
from eslbot.endpointing import Endpointer
from eslbot.media.leg import Leg
from eslbot.media.unicast import MediaError
from eslbot.playback import Playback
from eslbot.today import today
from workers import logs, secret_slots
from workers.redaction import Private

if TYPE_CHECKING:
    from eslbot.call import Call


def connect(call: Call) -> None:
    """Learn who calls, and answer. Raises NotOurs, DoorError."""
    call.door.arrive()
    call.admit()
    call.uuid = call.door.uuid
    caller, called = (numbers.clean(one) for one in call.door.numbers())
    call.variant, call.bot = call.house.served.choose(caller, call.uuid)
    call.bot_sha = call.bot.sha
    call.private = Private(call.bot)
    logs.CALL.set(call.uuid)
    call.door.attach(call.events)
    call.house.link.register(call.uuid, call.events.worker)
    _adopt(call)
    call.ai_off = ai_off.why_off(call.house.link.ai_off, call.uuid, caller, called)
    call.door.answer()
    call.record(
        "call",
        bot=call.bot.name,
        **({"variant": call.variant} if call.variant else {}),
        language=call.variables.get("ai_language", ""),
        caller=call.house.seal.caller(caller),
        caller_shown=numbers.shown(caller),
        called=called,
        known=secret_slots.shown(call.bot, {k: v for k, v in call.variables.items() if v}),
    )


def _adopt(call: Call) -> None:
    """What the dialplan, or an earlier listener, already knows of this call."""
    slots = {}
    for name, slot in call.bot.slots.items():
        value = call.door.variable(slot.variable)
        if slot.accepts(value):
            call.variables[slot.variable] = value
            slots[name] = secret_slots.SECRET if slot.secret else value
    intent = call.door.variable("ai_intent")
    if intent in call.bot.intents:
        call.variables["ai_intent"] = intent
        call.dialog = replace(call.dialog, intent=intent, slots=slots)
    else:
        call.dialog = replace(call.dialog, slots=slots)
    call.dialog = replace(call.dialog, today=today(call.bot.timezone))
    call.speak(call.door.variable("ai_language") or call.bot.language, only_with_audio=True)


def open_media(call: Call) -> None:
    """Sound both ways; returns when the caller's comes. Raises MediaError, VadError, DoorError."""
    settings = call.settings
    if call.fault == "media dead":
        raise MediaError("a fault that was asked for")
    port = call.door.media()
    try:
        place = call.house.vad.open()
    except BaseException:
        port.close()
        raise
    endpointer = Endpointer(
        start=settings.vad_start_percent / 100,
        stop=settings.vad_stop_percent / 100,
        min_speech_ms=settings.min_speech_ms,
        silence_ms=settings.endpoint_silence_ms,
        preroll_ms=settings.preroll_ms,
        max_ms=settings.max_utterance_s * 1000,
        chunk_ms=settings.audio_chunk_ms,
        pause_ms=settings.speculate_ms,
        gate_dbfs=settings.vad_gate_dbfs,
    )
    playback = Playback(
        port.frame_bytes,
        max(settings.playback_lead_frames, port.lead_frames),
        settings.playback_max_s,
    )
    call.leg = Leg(port, endpointer, playback, place, call.events.speech, call.events.played)
    call.house.clock.add(call.leg)
    call.watch.media()
    call.watch.renew()
    deadline = time.monotonic() + settings.media_timeout_ms / 1000
    while not port.started:
        # FreeSWITCH answers the command with +OK whether or not it worked.
        if time.monotonic() > deadline:
            raise MediaError(f"no audio from the switch in {settings.media_timeout_ms} ms")
        call.next(until=min(deadline, time.monotonic() + 0.05))
