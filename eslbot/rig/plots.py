"""Plots as inline SVG: they take their colours from the page they stand in (see report.py).

Each is `role="img"` with an aria-label, and well-formed XML whatever the labels hold. Without a
value to show it says so. Raises ValueError for a value that is not a finite number.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

WIDTH: Final = 760
COLOURS: Final = 8  # classes s0 to s7 of the page
MAX_POINTS: Final = 400  # of a line: more than there are pixels to tell apart
MAX_LABEL: Final = 44  # characters; the whole label is in the element's <title>

_CHARACTER: Final = 6.4  # pixels, at 12 px
_ROW: Final = 24
_HEIGHT: Final = 240  # of the area that lines are drawn in
_RIGHT: Final = 24
_TICKS: Final = 6
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")
_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Svg(str):
    """Markup that stands in a page as it is."""

    __slots__ = ()


Points = Sequence[tuple[float, float]]


def escaped(text: object) -> str:
    """Fit for HTML and XML, within an element and an attribute."""
    return html.escape(_NOT_XML.sub("\ufffd", str(text)))


def number(value: float) -> str:
    """To three or four figures, without needless zeros."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(1, 2 - math.floor(math.log10(abs(value))))}f}".rstrip("0").rstrip(".")


def bars(
    labels: Sequence[str],
    values: Sequence[float],
    limit: float | None = None,
    unit: str = "ms",
    title: str = "",
) -> Svg:
    """A horizontal bar for each label, from zero; those over the limit say so. No value below 0."""
    _finite([*values, limit or 0.0])
    if min(values, default=0) < 0 or (limit or 0) < 0:
        raise ValueError("a bar's value is below 0")
    rows = list(zip(labels, values, strict=True))
    left = _room(labels)
    axis = _Axis(0.0, max([*values, limit or 0.0], default=0.0), left, WIDTH - 110)
    top = 40 if limit is None else 54
    bottom = top + _ROW * len(rows)
    body = axis.below(top, bottom, unit)
    for at, (label, value) in enumerate(rows):
        y = top + _ROW * at
        over = limit is not None and value > limit
        said = f"{number(value)} {unit}" + (", over" if over else "")
        width = axis.pixel(value) - left
        body += [
            _label(label, left, y),
            f'<rect class="{"over" if over else "s0"}" x="{left}" y="{y + 4}" width="{width:.2f}" '
            f'height="{_ROW - 8}"><title>{escaped(label)}: {escaped(said)}</title></rect>',
            _text(left + width + 6, y + 16, said, "value"),
        ]
    if limit is not None:
        body += _limit_down(axis.pixel(limit), top, bottom, f"limit {number(limit)} {unit}")
    return _svg(title or f"Bars: {len(rows)} values in {unit}", bottom + 44, body, bool(rows))


def lines(
    series: Mapping[str, Points],
    x_label: str,
    y_label: str,
    limit: float | None = None,
    title: str = "",
) -> Svg:
    """A line for each name; limit is one of y. The axis of y begins at zero, or below."""
    return _lines(series, x_label, y_label, y_limit=limit, title=title)


def cdf(
    series: Mapping[str, Sequence[float]],
    unit: str,
    limit: float | None = None,
    title: str = "",
) -> Svg:
    """For each name, the share of its values that are no larger; limit is one of the values."""
    steps: dict[str, Points] = {}
    for name, values in series.items():
        ordered = sorted(values)
        share = 100 / len(ordered) if ordered else 0.0
        corners: list[tuple[float, float]] = []
        for at, value in enumerate(ordered):
            corners += [(value, at * share), (value, (at + 1) * share)]
        steps[name] = corners
    title = title or f"Share of values up to so many {unit}"
    return _lines(steps, unit, "% of values", x_limit=limit, y_top=100.0, title=title)


def waterfall(
    rows: Sequence[tuple[str, Sequence[tuple[str, float, float]]]], title: str = ""
) -> Svg:
    """(label, [(part, start_ms, length_ms)]) each: what took how long, one after another."""
    parts = [part for _, row in rows for part in row]
    _finite([value for _, start, length in parts for value in (start, length)])
    if min((length for *_, length in parts), default=0) < 0:
        raise ValueError("a part's length is below 0")
    names = list(dict.fromkeys(name for name, *_ in parts))
    left = _room([label for label, _ in rows])
    body, top = _legend(names, left, 40, dashed=False)
    first = min([0.0, *(start for _, start, _ in parts)])
    last = max((start + length for _, start, length in parts), default=0.0)
    axis = _Axis(first, last, left, WIDTH - _RIGHT)
    bottom = top + _ROW * len(rows)
    body += axis.below(top, bottom, "ms")
    for at, (label, row) in enumerate(rows):
        y = top + _ROW * at
        body.append(_label(label, left, y))
        for name, start, length in row:
            x, end = axis.pixel(start), axis.pixel(start + length)
            said = f"{label}: {name}, {number(length)} ms from {number(start)} ms"
            body.append(
                f'<rect class="s{names.index(name) % COLOURS}" x="{x:.2f}" y="{y + 4}" '
                f'width="{end - x:.2f}" height="{_ROW - 8}"><title>{escaped(said)}</title></rect>'
            )
    shown = title or f"Waterfall: {len(rows)} rows in ms"
    return _svg(shown, bottom + 44, body, bool(parts))


class _Axis:
    """Values on pixels, with ticks at 1, 2 or 5 times a power of ten; ends at ticks."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._start = low, start
        span = (high - low) or abs(high) or 1.0
        power = 10.0 ** math.floor(math.log10(span / _TICKS))
        step = next(n * power for n in (1, 2, 5, 10) if span / (n * power) <= _TICKS)
        first = math.floor(low / step + 1e-9)
        last = max(math.ceil(high / step - 1e-9), first + 1)
        self.ticks = [at * step for at in range(first, last + 1)]
        self._low = self.ticks[0]
        self._scale = (end - start) / (self.ticks[-1] - self._low)

    def pixel(self, value: float) -> float:
        return self._start + (value - self._low) * self._scale

    def below(self, top: float, bottom: float, name: str) -> list[str]:
        """As a horizontal axis, under the area."""
        found = []
        for tick in self.ticks:
            x = self.pixel(tick)
            found += [_line(x, top, x, bottom, "grid"), _text(x, bottom + 16, number(tick), "mid")]
        x = (self.pixel(self.ticks[0]) + self.pixel(self.ticks[-1])) / 2
        return [*found, _text(x, bottom + 34, name, "mid name")]

    def beside(self, left: float, right: float, name: str) -> list[str]:
        """As a vertical axis, left of the area."""
        found = []
        for tick in self.ticks:
            y = self.pixel(tick)
            found += [_line(left, y, right, y, "grid"), _text(left - 8, y + 4, number(tick), "end")]
        y = (self.pixel(self.ticks[0]) + self.pixel(self.ticks[-1])) / 2
        turned = f'transform="rotate(-90 14 {y:.2f})"'
        return [*found, _text(14, y, name, "mid name", turned)]


def _lines(
    series: Mapping[str, Points],
    x_label: str,
    y_label: str,
    *,
    title: str,
    x_limit: float | None = None,
    y_limit: float | None = None,
    y_top: float | None = None,
) -> Svg:
    x_limits = [] if x_limit is None else [x_limit]
    y_limits = [value for value in (y_limit, y_top) if value is not None]
    xs = [x for points in series.values() for x, _ in points] + x_limits
    ys = [y for points in series.values() for _, y in points] + y_limits
    _finite(xs + ys)
    left, right = 72.0, float(WIDTH - _RIGHT)
    body, top = _legend(list(series), left, 40 if x_limit is None else 54)
    bottom = top + _HEIGHT
    across = _Axis(min(xs, default=0.0), max(xs, default=0.0), left, right)
    up = _Axis(min([0.0, *ys]), max([0.0, *ys]), bottom, top)
    body += across.below(top, bottom, x_label) + up.beside(left, right, y_label)
    for at, (name, points) in enumerate(series.items()):
        drawn = [(across.pixel(x), up.pixel(y)) for x, y in _thinned(points)]
        kind = f'class="s{at % COLOURS}"'
        if len(set(drawn)) == 1:
            x, y = drawn[0]
            body.append(f'<circle {kind} cx="{x:.2f}" cy="{y:.2f}" r="4"/>')
        elif drawn:
            path = " ".join(f"{x:.2f},{y:.2f}" for x, y in drawn)
            body.append(
                f'<polyline {kind} {_dash(at)} points="{path}"><title>{escaped(name)}</title>'
                "</polyline>"
            )
    if y_limit is not None:
        y = up.pixel(y_limit)
        body += [_line(left, y, right, y, "limit"),
                 _text(right, y - 5, f"limit {number(y_limit)}", "end limit-name")]  # fmt: skip
    if x_limit is not None:
        said = f"limit {number(x_limit)} {x_label}"
        body += _limit_down(across.pixel(x_limit), top, bottom, said)
    shown = title or f"{y_label} over {x_label}"
    return _svg(shown, bottom + 44, body, any(series.values()))


def _thinned(points: Points) -> Points:
    """Of each of many neighbours the lowest and the highest: no peak is lost."""
    if len(points) <= MAX_POINTS:
        return points
    size = -(-2 * len(points) // MAX_POINTS)
    kept: list[tuple[float, float]] = []
    for at in range(0, len(points), size):
        some = range(at, min(at + size, len(points)))
        ends = {min(some, key=lambda n: points[n][1]), max(some, key=lambda n: points[n][1])}
        kept += [points[n] for n in sorted(ends)]
    return kept


def _finite(values: Iterable[float]) -> None:
    for value in values:
        if not math.isfinite(value):
            raise ValueError(f"a value to plot is {value}")


def _legend(
    names: Sequence[str], left: float, y: float, dashed: bool = True
) -> tuple[list[str], float]:
    """(its elements, where what follows begins)."""
    found: list[str] = []
    x = left
    for at, name in enumerate(names):
        width = 44 + _CHARACTER * len(_short(name))
        if x > left and x + width > WIDTH - _RIGHT:
            x, y = left, y + 18
        kind = f'class="s{at % COLOURS} key" {_dash(at) if dashed else ""}'
        found.append(f'<line {kind} x1="{x:.2f}" y1="{y - 4}" x2="{x + 22:.2f}" y2="{y - 4}"/>')
        found.append(_text(x + 28, y, _short(name)))
        x += width
    return found, y + (16 if names else 0)


def _limit_down(x: float, top: float, bottom: float, said: str) -> list[str]:
    """A vertical limit, its name over the area, on the side where there is room."""
    side = "end" if x > WIDTH / 2 else "start"
    return [_line(x, top - 4, x, bottom, "limit"), _text(x, top - 8, said, f"{side} limit-name")]


def _dash(at: int) -> str:
    dash = _DASHES[at % len(_DASHES)]
    return f'stroke-dasharray="{dash}"' if dash else ""


def _room(labels: Iterable[str]) -> float:
    """Pixels that the labels at the left take."""
    longest = max((len(_short(label)) for label in labels), default=0)
    return round(16 + _CHARACTER * max(longest, 4))


def _short(label: object) -> str:
    text = str(label)
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"


def _label(label: str, left: float, y: float) -> str:
    return _text(left - 8, y + 16, _short(label), "end")


def _text(x: float, y: float, said: str, kind: str = "", more: str = "") -> str:
    anchor = "middle" if "mid" in kind else "end" if "end" in kind else "start"
    return (
        f'<text class="{kind}" x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" {more}>'
        f"{escaped(said)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"/>'


def _svg(title: str, height: float, body: Sequence[str], has_data: bool) -> Svg:
    if not has_data:
        body, height = [_text(0, 44, "nothing was measured", "value")], 60
    return Svg(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escaped(title)}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" font-size="12">'
        f"{_text(0, 16, title, 'title')}{''.join(body)}</svg>"
    )
