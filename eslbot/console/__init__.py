"""The web page for operators and newcomers: a process of its own, so that no call waits for it.

browser ──HTTP, server-sent events──▶ console ──reads──▶ Redis, the record store
   └──WebSocket────────────────────────┴──bytes, as they are──▶ a listener's WebSocket door
"""
