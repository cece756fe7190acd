"""A folder of Markdown and text files, cut into passages: by heading, and then by paragraph.

    # Meters                                 meters.md#1   Meters: Reading your meter
    ## Reading your meter          ─────▶                  Read the numbers on the display ...
    Read the numbers on the display ...

Hidden files, links that lead out of the folder and whatever is no .md or .txt are left out.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workers.sentences import SentenceSplitter, speakable

log = logging.getLogger(__name__)

ENDINGS = (".md", ".markdown", ".txt")
MAX_FILES = 500
MAX_FILE_BYTES = 1_000_000
MAX_BYTES = 10_000_000
MAX_PASSAGES = 10_000
PASSAGE_CHARACTERS = 700
SHORT_PARAGRAPH = 80  # shorter ones go together with the next
MAX_TITLE = 120
_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")

# Path within the folder, size and time of change: what tells that a file is another.
Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """id: file and number within it. title: the headings above it. sentences: fit to be spoken."""

    id: str
    title: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


def stamp(folder: Path) -> Stamp:
    """A look at the files without reading them; MAX_FILES of them, by name."""
    found: list[tuple[str, int, int]] = []
    root = folder.resolve()
    for at, folders, files in os.walk(root):  # follows no links to folders
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(at) / name
            if name.startswith(".") or path.suffix.lower() not in ENDINGS:
                continue
            try:
                inside = path.resolve().is_relative_to(root)
                about = path.stat()
            except OSError:
                continue  # gone meanwhile
            if not inside:
                continue
            found.append((str(path.relative_to(root)), about.st_size, about.st_mtime_ns))
            if len(found) >= MAX_FILES:
                log.warning("%s: more than %d files; the rest is left out", folder, MAX_FILES)
                return tuple(found)
    return tuple(found)


def read(folder: Path, files: Stamp) -> list[Passage]:
    """The passages of these files. What can't be read, or is too large, is left out and logged."""
    found: list[Passage] = []
    total = 0
    for name, _, _ in files:
        try:
            with (folder / name).open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            log.warning("%s: left out: %s", folder / name, error.strerror)
            continue
        total += len(raw)
        if len(raw) > MAX_FILE_BYTES or total > MAX_BYTES:
            log.warning("%s: left out: it, or all together, is too large", folder / name)
            continue
        found += passages(name, raw.decode("utf-8-sig", "replace"))
        if len(found) > MAX_PASSAGES:
            log.warning("%s: more than %d passages; the rest is left out", folder, MAX_PASSAGES)
            return found[:MAX_PASSAGES]
    return found


def passages(name: str, text: str) -> list[Passage]:
    """One file's. A text file's title is its first line, where that is no sentence."""
    markdown = not name.lower().endswith(".txt")
    blocks = list(_markdown(text) if markdown else _plain(text))
    found: list[Passage] = []
    for title, paragraphs in blocks:
        shown = speakable(title)[:MAX_TITLE] or Path(name).stem.replace("_", " ")
        for sentences in _pieces(paragraphs):
            found.append(Passage(f"{name}#{len(found) + 1}", shown, sentences))
    return found


def _markdown(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each heading with what stands under it; within a fence nothing is one."""
    titles: list[tuple[int, str]] = []
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
            continue
        heading = None if fenced else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        yield ": ".join(title for _, title in titles), _paragraphs(lines)
        lines = []
        depth = len(heading[1])
        titles = [one for one in titles if one[0] < depth] + [(depth, heading[2])]
    yield ": ".join(title for _, title in titles), _paragraphs(lines)


def _plain(text: str) -> Iterator[tuple[str, list[str]]]:
    paragraphs = _paragraphs(text.splitlines())
    first = paragraphs[0] if paragraphs else ""
    if len(paragraphs) > 1 and len(first) <= MAX_TITLE and not first.endswith((".", "!", "?")):
        yield first, paragraphs[1:]
    else:
        yield "", paragraphs


def _paragraphs(lines: list[str]) -> list[str]:
    """Blocks between empty lines, each on one line; an item of a list is a sentence of its own."""
    found: list[str] = []
    for line in [*lines, ""]:
        bare = line.strip()
        if not bare:
            if found and found[-1]:
                found.append("")
        elif not found:
            found.append(bare)
        elif re.match(r"[-*+•]\s|\d+[.)]\s", bare) and found[-1]:
            found[-1] += ("" if found[-1].endswith((".", "!", "?", ":")) else ".") + " " + bare
        else:
            found[-1] += f" {bare}" if found[-1] else bare
    return [one for one in found if one]


def _pieces(paragraphs: list[str]) -> Iterator[tuple[str, ...]]:
    """Sentences in groups of PASSAGE_CHARACTERS at most, broken where a paragraph ends."""
    group: list[str] = []
    for paragraph in paragraphs:
        for sentence in split(paragraph):
            if group and sum(map(len, group)) + len(sentence) > PASSAGE_CHARACTERS:
                yield tuple(group)
                group = []
            group.append(sentence)
        if sum(map(len, group)) >= SHORT_PARAGRAPH:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)


def split(text: str) -> list[str]:
    """Sentences, fit to be spoken."""
    splitter = SentenceSplitter()
    return [*splitter.feed(text + " "), *splitter.flush()]
