"""One thing that is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """what: named by its setting or file. do: how to put it right. warning: calls are served all
    the same."""

    what: str
    do: str = ""
    warning: bool = False

    @property
    def line(self) -> str:
        kind = "warning: " if self.warning else ""
        return f"{kind}{self.what}{f'. To do: {self.do}' if self.do else ''}"

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "wrong": not self.warning,
            "what": self.what,
            "do": self.do,
        }


def warning(what: str, do: str = "") -> Finding:
    return Finding(what, do, warning=True)
