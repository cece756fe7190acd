"""The report: one page, well-formed, nothing from outside, true to scale."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from eslbot.rig.report import Badge, Heading, Svg, Table, bars, cdf, lines, page, waterfall

HOSTILE = "<script>alert('x')</script> & \"q\" ]]> \x00\x1b \ud800 日本 🙂" + "x" * 100
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta"}

Plot = Callable[[], Svg]


class Strict(HTMLParser):
    """Fails on a tag that is not closed; keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(markup: str) -> Strict:
    parser = Strict()
    parser.feed(markup)
    parser.close()
    assert parser.open == []
    return parser


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    return root


def widths(svg: str) -> list[float]:
    return [float(rect.get("width", "")) for rect in parsed(svg).iter(f"{SVG}rect")]


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in parsed(svg).iter(f"{SVG}text")]


def points(svg: str) -> list[list[tuple[float, float]]]:
    """Of each line, in pixels."""
    found = []
    for line in parsed(svg).iter(f"{SVG}polyline"):
        pairs = [pair.split(",") for pair in line.get("points", "").split()]
        found.append([(float(x), float(y)) for x, y in pairs])
    return found


PLOTS: dict[str, Plot] = {
    "bars": lambda: bars([HOSTILE, "b"], [1.0, 2.0], limit=1.5, unit=HOSTILE, title=HOSTILE),
    "lines": lambda: lines({HOSTILE: [(0, 1), (5, 2)]}, HOSTILE, HOSTILE, limit=3, title=HOSTILE),
    "cdf": lambda: cdf({HOSTILE: [1, 2, 3]}, HOSTILE, limit=2, title=HOSTILE),
    "waterfall": lambda: waterfall([(HOSTILE, [(HOSTILE, 0, 10)])], title=HOSTILE),
}
EMPTY: dict[str, Plot] = {
    "bars": lambda: bars([], []),
    "lines": lambda: lines({}, "s", "ms"),
    "lines of nothing": lambda: lines({"a": []}, "s", "ms", limit=3),
    "cdf": lambda: cdf({"a": []}, "ms"),
    "waterfall": lambda: waterfall([("a", [])]),
}
SINGLE: dict[str, Plot] = {
    "bars": lambda: bars(["a"], [0.0]),
    "lines": lambda: lines({"a": [(3, 7)]}, "s", "ms"),
    "cdf": lambda: cdf({"a": [5.0]}, "ms"),
    "waterfall": lambda: waterfall([("a", [("b", 4, 0)])]),
    "tiny": lambda: lines({"a": [(1e-9, 0)], "b": [(2e-9, 1e-12)]}, "s", "ms"),
    "huge": lambda: cdf({"a": [-1e15, 1e15]}, "ms"),
}


@pytest.mark.parametrize("name", PLOTS)
def test_hostile_labels_are_text_and_nothing_else(name: str) -> None:
    root = parsed(PLOTS[name]())
    assert not [one for one in root.iter() if "script" in one.tag]
    assert any("<script>alert('x')</script> & \"q\"" in (one.text or "") for one in root.iter())
    assert "<script>" in (root.get("aria-label") or "")


@pytest.mark.parametrize("name", EMPTY)
def test_without_a_value_a_plot_says_so(name: str) -> None:
    assert "nothing was measured" in texts(EMPTY[name]())


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_value_is_shown(name: str) -> None:
    svg = SINGLE[name]()
    assert "nothing was measured" not in texts(svg)
    shapes = [one for one in parsed(svg).iter() if one.get("class", "") == "s0"]
    assert shapes
    assert not re.search(r"\b(nan|inf)\b", svg)


# -- scales


def test_a_bar_is_as_long_as_its_value() -> None:
    one, two, four, none = widths(bars(["a", "b", "c", "d"], [100, 200, 400, 0]))
    assert (two, four, none) == (pytest.approx(2 * one), pytest.approx(4 * one), 0)


def test_a_bar_over_the_limit_says_so_in_words() -> None:
    svg = bars(["a", "b", "c"], [100, 200, 200.5], limit=200)
    assert [text for text in texts(svg) if "over" in text] == ["200.5 ms, over"]
    assert "limit 200 ms" in texts(svg)
    kinds = [rect.get("class") for rect in parsed(svg).iter(f"{SVG}rect")]
    assert kinds == ["s0", "s0", "over"]
    (line,) = [one for one in parsed(svg).iter(f"{SVG}line") if one.get("class") == "limit"]
    start = float(next(parsed(svg).iter(f"{SVG}rect")).get("x", ""))
    assert float(line.get("x1", "")) == pytest.approx(start + widths(svg)[1], abs=0.02)


def test_the_axis_has_round_ticks_that_hold_all_values() -> None:
    ticks = [text for text in texts(bars(["a"], [1730])) if re.fullmatch(r"[\d,]+", text)]
    assert ticks == ["0", "500", "1,000", "1,500", "2,000"]


def test_a_line_goes_through_its_points() -> None:
    ((first, second, third),) = points(lines({"a": [(0, 0), (10, 50), (20, 100)]}, "s", "ms"))
    assert second == pytest.approx(((first[0] + third[0]) / 2, (first[1] + third[1]) / 2), abs=0.02)
    assert third[1] < first[1]  # more is higher up


def test_of_many_points_no_peak_is_lost() -> None:
    many = [(n, 100.0) for n in range(50_000)]
    many[31_337] = (31_337, 900.0)
    ((*drawn,),) = points(lines({"a": many}, "s", "ms"))
    assert len(drawn) <= 402
    (alone,) = points(lines({"a": [(0, 100), (31_337, 900), (49_999, 100)]}, "s", "ms"))
    assert min(drawn, key=lambda at: at[1]) == alone[1]


def test_a_cdf_has_half_of_the_values_at_the_median() -> None:
    ((*drawn,),) = points(cdf({"a": [300, 100, 200, 400]}, "ms"))
    top, bottom = drawn[-1][1], drawn[0][1]
    steps = [round((bottom - y) / (bottom - top), 3) for _, y in drawn]
    assert steps == [0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1]


def test_a_waterfall_is_in_order_and_to_scale() -> None:
    svg = waterfall(
        [("turn 1", [("stt", 0, 200), ("llm", 200, 400)]), ("turn 2", [("stt", 0, 400)])]
    )
    stt, llm, other = widths(svg)
    assert (llm, other) == (pytest.approx(2 * stt, abs=0.02), pytest.approx(2 * stt, abs=0.02))
    rects = list(parsed(svg).iter(f"{SVG}rect"))
    assert float(rects[1].get("x", "")) == pytest.approx(
        float(rects[0].get("x", "")) + stt, abs=0.02
    )
    assert [rect.get("class") for rect in rects] == ["s0", "s1", "s0"]
    assert {"stt", "llm", "turn 1", "turn 2", "ms"} <= set(texts(svg))


@pytest.mark.parametrize("plot", [
    lambda: bars(["a"], [float("nan")]), lambda: bars(["a"], [1, 2]), lambda: bars(["a"], [-1]),
    lambda: bars(["a"], [1], limit=float("inf")), lambda: cdf({"a": [float("inf")]}, "ms"),
    lambda: lines({"a": [(0, float("nan"))]}, "s", "ms"),
    lambda: waterfall([("a", [("b", 0, -1)])]),
])  # fmt: skip
def test_what_can_not_be_drawn_is_refused(plot: Plot) -> None:
    with pytest.raises(ValueError, match=r"nan|inf|below 0|argument"):
        plot()


# -- the page


def test_a_page_is_well_formed_and_needs_nothing_from_outside() -> None:
    table = Table([HOSTILE, "b"], [[HOSTILE, 1], [Badge("bad", HOSTILE), None]], caption=HOSTILE)
    made = page(HOSTILE, [Heading(HOSTILE), HOSTILE, table, *(plot() for plot in PLOTS.values())])
    found = read(made)
    assert made.encode()
    assert "script" not in {tag for tag, _ in found.seen}
    assert not {name for _, attributes in found.seen for name in attributes} & {"src", "href"}
    assert "url(" not in made
    assert "@import" not in made
    assert [tag for tag, _ in found.seen].count("svg") == len(PLOTS)
    said = "".join(found.text)
    assert said.count("<script>alert('x')</script>") >= 7
    assert "prefers-color-scheme: dark" in said


def test_a_table_has_its_verdicts_in_words_and_its_numbers_at_the_right() -> None:
    made = page("t", [Table(["fault", "ms"], [["killed", 1234.5], [Badge("good", "held"), None]])])
    found = read(made)
    assert [tag for tag, _ in found.seen].count("td") == 4
    assert {"killed", "1,234", "held", "–"} <= set(found.text)
    right = [tag for tag, attributes in found.seen if attributes.get("class") == "number"]
    assert right == ["th", "td", "td"]
    assert ("span", {"class": "badge good"}) in found.seen


def test_a_number_that_is_none_is_shown_as_what_it_is() -> None:
    found = read(page("t", [Table(["a", "b"], [[float("nan"), float("inf")]])]))
    assert {"nan", "inf"} <= set(found.text)


def test_an_empty_page_and_an_empty_table_are_pages() -> None:
    assert "nothing" in read(page("nothing", [])).text
    assert read(page("t", [Table(["a"], []), Table([], [])])).seen


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells in a table of 2"):
        page("t", [Table(["a", "b"], [["x"]])])
