"""The running system and its callers, for who measures it, breaks it, or tests it."""
