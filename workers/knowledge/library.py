"""The folders of all bots that a worker serves, indexed, and looked at again and again.

    look_again(), once a second ─▶ stamp of each folder ─ another? ─▶ read, index ─▶ live

A turn never waits for it: it searches the index there is. Each worker process has its own, of the
files on its own host.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from workers.bot import Bot
from workers.knowledge.embeddings import Embeddings
from workers.knowledge.index import Hit, Index
from workers.knowledge.passages import Stamp, read, stamp

log = logging.getLogger(__name__)

MAX_FOLDERS = 64
EMBED_AGAIN_S = 10.0


@dataclass(slots=True)
class _Shelf:
    index: Index
    files: Stamp | None = None
    # Vectors are wanted and not all there: monotonic seconds of the next try.
    embed_at: float | None = None


class Library:
    """root: in which the bots' folders lie."""

    def __init__(self, root: Path, embeddings: Embeddings | None = None) -> None:
        self._root = root
        self._embeddings = embeddings
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()
        self._lock = threading.Lock()  # of the table
        self._looking = threading.Lock()  # one at a time reads and indexes

    def warm(self, bot: Bot) -> None:
        """Index the bot's folder now, if it is not there yet."""
        if bot.knowledge:
            self._shelf(bot.knowledge.folder)

    def search(self, bot: Bot, text: str, meaning: bool) -> list[Hit]:
        """The best passages, the best first. meaning: by their vectors as well, where there is
        a server for them; that may take its time-out."""
        if bot.knowledge is None:
            return []
        index = self._shelf(bot.knowledge.folder).index
        vector = None
        if meaning and self._embeddings and index.embedded:
            vector = self._embeddings.question(text)
        return index.search(text, bot.knowledge.passages, vector)

    def look_again(self) -> None:
        """Index what has changed. Takes milliseconds where nothing has."""
        if self._embeddings:
            self._embeddings.probe()
        with self._lock:
            shelves = list(self._shelves.items())
        for folder, shelf in shelves:
            self._look(folder, shelf)

    def _shelf(self, folder: str) -> _Shelf:
        with self._lock:
            shelf = self._shelves.get(folder)
            if shelf is None:
                shelf = self._shelves[folder] = _Shelf(Index(()))
                while len(self._shelves) > MAX_FOLDERS:
                    self._shelves.popitem(last=False)
            self._shelves.move_to_end(folder)
        if shelf.files is None:
            self._look(folder, shelf)
        return shelf

    def _look(self, folder: str, shelf: _Shelf) -> None:
        with self._looking:
            path = self._root / folder
            files = stamp(path)
            again = shelf.embed_at is not None and time.monotonic() >= shelf.embed_at
            if files == shelf.files and not again:
                return
            passages = read(path, files) if files != shelf.files else list(shelf.index.passages)
            vectors = None
            shelf.embed_at = None
            if self._embeddings and passages:
                if files != shelf.files:
                    shelf.index = Index(passages)  # words first: they are there at once
                vectors = self._embeddings.passages([f"{p.title}\n{p.text}" for p in passages])
                if vectors is None:
                    shelf.embed_at = time.monotonic() + EMBED_AGAIN_S
            if files != shelf.files or vectors is not None:
                shelf.index = Index(passages, vectors)
            if files != shelf.files:
                tell = log.info if passages else log.warning
                tell("knowledge: %s: %d files, %d passages", path, len(files), len(passages))
            shelf.files = files
