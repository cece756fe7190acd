"""FreeSWITCH's XML dialplan: extensions, conditions, actions; each text quoted for XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import quoteattr


def matches(text: str) -> str:
    """An expression for exactly this text. Brackets, as FreeSWITCH has its own backslashes."""
    return "^" + re.sub(r"([*+.])", r"[\1]", text) + "$"


def extension(name: str, *conditions: str) -> str:
    return f"    <extension name={quoteattr(name)}>\n{''.join(conditions)}    </extension>\n"


def condition(
    field: str | None,
    expression: str | None,
    *actions: tuple[str, str],
    otherwise: Iterable[tuple[str, str]] = (),
    when: Mapping[str, str] | None = None,
) -> str:
    """when: attributes of the time, as switch_xml_std_datetime_check() takes them."""
    what = f" field={quoteattr(field)} expression={quoteattr(expression or '')}" if field else ""
    what += "".join(f" {name}={quoteattr(value)}" for name, value in (when or {}).items())
    lines = [_action("action", *one) for one in actions]
    lines += [_action("anti-action", *one) for one in otherwise]
    if not lines:
        return f"      <condition{what}/>\n"
    return f"      <condition{what}>\n{''.join(lines)}      </condition>\n"


def _action(tag: str, application: str, data: str) -> str:
    with_data = f" data={quoteattr(data)}" if data else ""
    return f"        <{tag} application={quoteattr(application)}{with_data}/>\n"
