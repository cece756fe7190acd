"""Calls' records: what is kept of a call, for how long, and who may read it.

    listener ──XADD──▶ eslbot:records ──consumer group──▶ recorder ──▶ SQLite or PostgreSQL
                       (Redis, bounded)                      └──▶ webhooks

The listener only appends to the stream, as it does with all else; see docs/records.md.
"""
