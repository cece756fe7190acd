"""The tables, as the newest migration leaves them. Times: seconds since 1970, as a float.

    calls ──< turns        what was heard, said and done, with timings; a row per finished turn
      └────< events        everything else that happened, in its order
      └────< deliveries    what webhooks are still to be told
    audit                  who read, exported or deleted; rows are never changed
    meta                   the schema's version

Columns marked "sealed" hold text that is encrypted where a key is set; see seal.py.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, Table, Text

metadata = MetaData()

calls = Table(
    "calls",
    metadata,
    Column("uuid", Text, primary_key=True),
    Column("caller", Text),  # a keyed hash of the number, never the number
    Column("bot", Text),
    Column("bot_sha", Text),
    Column("variant", Text),  # of the prompt, where the bot has several
    Column("language", Text),
    Column("listener", Text),
    Column("started_at", Float),
    Column("ended_at", Float),  # our part of it
    Column("outcome", Text),  # one of eslbot.accounts.FINISHED and HANDED_OVER
    Column("reason", Text),
    Column("hung_up_by", Text),
    Column("cause", Text),
    Column("intent", Text),  # the last one that was understood
    Column("resolved", Boolean),  # a wish was served, and nobody else had to be asked
    Column("escalated", Boolean),  # it went to a person or to a menu
    Column("handling_s", Float),  # ended_at - started_at
    Column("turn_count", Integer),
    Column("variables", Text),  # JSON, sealed
    Column("recording", Text),  # file in STATE_DIR/recordings of the listener's host
)
turns = Table(
    "turns",
    metadata,
    Column("call", Text, primary_key=True),
    Column("leg", Text, primary_key=True),  # a call may come back under its UUID
    Column("number", Integer, primary_key=True),
    Column("at", Float),  # its end
    Column("opened_at", Float),
    Column("keyed", Boolean),
    Column("heard", Text),  # sealed
    Column("confidence", Float),
    Column("said", Text),  # sealed; up to where the caller interrupted
    Column("interrupted", Boolean),
    Column("intent", Text),
    Column("open_intent", Text),  # what is still to be done after this turn
    Column("asked", Text),  # what the bot asked for in it
    Column("misses", Integer),  # turns in a row that were not understood
    Column("slots", Text),  # JSON, sealed
    Column("tools", Text),  # JSON, sealed
    Column("action", Text),
    Column("outcome", Text),
    # Milliseconds from the caller's last word.
    Column("endpoint_ms", Integer),
    Column("final_ms", Integer),
    Column("decision_ms", Integer),
    Column("first_sentence_ms", Integer),
    Column("first_speech_ms", Integer),
    Column("first_frame_ms", Integer),
    Column("more", Text),  # JSON, sealed: whatever else the listener told
)
events = Table(
    "events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call", Text),
    Column("leg", Text),
    Column("seq", Integer),  # the order within the leg
    Column("at", Float),
    Column("what", Text),
    Column("fields", Text),  # JSON, sealed
)
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("webhook", Text),
    Column("bot_sha", Text),
    Column("call", Text),
    Column("event", Text),
    Column("at", Float),
    Column("seq", Integer),
    Column("body", Text),  # JSON, sealed
    Column("state", Text),  # waiting, delivered, dead
    Column("attempts", Integer),
    Column("due_at", Float),
    Column("lease_until", Float),
    Column("status", Text),  # of the last attempt
)
audit = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Float),
    Column("who", Text),
    Column("what", Text),
    Column("call", Text),
    Column("detail", Text),
)
meta = Table("meta", metadata, Column("name", Text, primary_key=True), Column("value", Text))

# Which columns are sealed.
SEALED = {
    "calls": ("variables",),
    "turns": ("heard", "said", "slots", "tools", "more"),
    "events": ("fields",),
    "deliveries": ("body",),
}
