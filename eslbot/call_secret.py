"""The secret that a call brings along: the outbound socket has no login of its own.

The dialplan sets a channel variable before `socket`; who can connect to the listener and does not
know the secret is no FreeSWITCH of ours.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

VARIABLE = "eslbot_secret"


def admits(headers: Mapping[str, str], secrets: Sequence[str]) -> bool:
    """Whether a channel's headers hold one of the secrets; without any secret, always.

    Takes the same time whichever it is, and however much of it is right.
    """
    brought = headers.get(f"variable_{VARIABLE}", "").encode("utf-8", "replace")
    found = [hmac.compare_digest(brought, secret.encode()) for secret in secrets]
    return any(found) or not secrets
