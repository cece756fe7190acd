"""A report as one HTML page that needs nothing from outside: no script, no font, no picture.

page("Faults", [Heading("Calls"), "Each fault, each phase.", Table(...), bars(...)])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from eslbot.rig.plots import Svg, bars, cdf, escaped, lines, number, waterfall

__all__ = ["Badge", "Heading", "Svg", "Table", "bars", "cdf", "lines", "page", "waterfall"]


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Badge:
    """A verdict in a table: its colour says no more than its text."""

    kind: Literal["good", "bad", "warn"]
    text: str


Cell = str | int | float | Badge | None


@dataclass(frozen=True)
class Table:
    """Numbers stand at the right; None is a dash. A row has a cell for each column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


Section = str | Heading | Table | Svg

_STYLE: Final = """
:root { color-scheme: light dark;
  --page: #fdfdfc; --ink: #1d2329; --soft: #5b6570; --rule: #dfe3e7; --head: #f1f3f5;
  --good: #176b37; --good-page: #e3f3e8; --bad: #a8201a; --bad-page: #fbe6e4;
  --warn: #7a5200; --warn-page: #fbf0d9;
  --s0: #2a66c8; --s1: #c0561a; --s2: #2b7f44; --s3: #7a4cc0;
  --s4: #0b7a88; --s5: #b2366c; --s6: #77730f; --s7: #5a6470; }
@media (prefers-color-scheme: dark) { :root {
  --page: #15181b; --ink: #e4e7ea; --soft: #9aa4ae; --rule: #31373d; --head: #20252a;
  --good: #7fd69b; --good-page: #17301f; --bad: #ff9d95; --bad-page: #3d1a18;
  --warn: #ecc168; --warn-page: #382b10;
  --s0: #7fb0ff; --s1: #f59a60; --s2: #74cf90; --s3: #c0a0f5;
  --s4: #5fcbd8; --s5: #f28fb8; --s6: #d3cd5c; --s7: #a9b3bd; } }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1.5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { max-width: 44rem; overflow-wrap: anywhere; white-space: pre-line; }
.table { overflow: auto; max-height: 85vh; margin: 1rem 0 1.75rem; border: 1px solid var(--rule);
  border-radius: 4px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
caption { text-align: left; color: var(--soft); padding: .5rem .75rem; }
th, td { text-align: left; padding: .4rem .75rem; vertical-align: top; }
td { border-top: 1px solid var(--rule); overflow-wrap: break-word; max-width: 26rem; }
th { position: sticky; top: 0; background: var(--head); font-weight: 600; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.badge { padding: .1rem .45rem; border-radius: 3px; font-weight: 600; white-space: nowrap; }
.good { color: var(--good); background: var(--good-page); }
.bad { color: var(--bad); background: var(--bad-page); }
.warn { color: var(--warn); background: var(--warn-page); }
figure { margin: 1rem 0 1.75rem; overflow-x: auto; }
svg { max-width: 100%; height: auto; min-width: 30rem; font-family: system-ui, sans-serif; }
svg text { fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .title { fill: var(--ink); font-size: 14px; font-weight: 600; }
svg .value { fill: var(--ink); }
svg rect { fill: currentColor; stroke: var(--page); }
svg circle { fill: currentColor; }
svg polyline, svg .key { fill: none; stroke: currentColor; stroke-width: 1.75; }
svg .key { stroke-width: 3; }
svg .grid { stroke: var(--rule); }
svg .limit { stroke: var(--bad); stroke-dasharray: 5 4; }
svg .limit-name { fill: var(--bad); stroke: var(--page); stroke-width: 4; paint-order: stroke; }
svg .over { color: var(--bad); }
""" + "".join(f"svg .s{n} {{ color: var(--s{n}); }}\n" for n in range(8))


def page(title: str, sections: Sequence[Section]) -> str:
    """The page. Text is text, whatever it holds; plots come from this module's functions.

    Raises ValueError for a table whose row does not fit its columns.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escaped(title)}</h1>\n" + "\n".join(map(_section, sections)) + "\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    if isinstance(section, Svg):
        return f"<figure>{section}</figure>"
    if isinstance(section, Heading):
        return f"<h2>{escaped(section.text)}</h2>"
    if isinstance(section, Table):
        return _table(section)
    return f"<p>{escaped(section)}</p>"


def _table(table: Table) -> str:
    columns = len(table.columns)
    for row in table.rows:
        if len(row) != columns:
            raise ValueError(f"a row of {len(row)} cells in a table of {columns} columns: {row}")
    numeric = [
        bool(table.rows) and all(isinstance(row[at], int | float | None) for row in table.rows)
        for at in range(columns)
    ]
    head = "".join(
        f'<th scope="col"{_kind(right)}>{escaped(name)}</th>'
        for name, right in zip(table.columns, numeric, strict=True)
    )
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in table.rows)
    caption = f"<caption>{escaped(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="table" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, Badge):
        return f'<td><span class="badge {escaped(cell.kind)}">{escaped(cell.text)}</span></td>'
    if cell is None:
        return '<td class="number">–</td>'
    if isinstance(cell, str | bool):
        return f"<td>{escaped(cell)}</td>"
    return f'<td class="number">{escaped(number(cell))}</td>'


def _kind(right: bool) -> str:
    return ' class="number"' if right else ""
