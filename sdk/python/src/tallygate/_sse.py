"""Server-sent events: the parser of the HTML Living Standard, section 9.2.6."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Iterator, List, Optional

_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True)
class ServerSentEvent:
    """One event as it came; ``id`` is the last that was told."""

    id: Optional[str]
    name: str
    data: str


class Parser:
    """Takes a stream's bytes in pieces of any size and gives its events."""

    def __init__(self, last_id: Optional[str] = None) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._text: List[str] = []  # of the line that has begun
        self._begun = False
        self._after_return = False
        self._id = last_id
        self._name = ""
        self._data: List[str] = []

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """The events that the piece ends."""
        text = self._decode(piece)
        if not text:
            return
        if not self._begun:
            self._begun = True
            text = text[1:] if text[0] == "\ufeff" else text
        if self._after_return and text[:1] == "\n":  # the second half of a line end
            text = text[1:]
        self._after_return = text[-1:] == "\r" if text else False
        *lines, rest = _LINE_END.split(text)
        for line in lines:
            event = self._line("".join((*self._text, line)))
            self._text = []
            if event is not None:
                yield event
        if rest:
            self._text.append(rest)

    def _line(self, line: str) -> Optional[ServerSentEvent]:
        if not line:
            event = ServerSentEvent(self._id, self._name or "message", "\n".join(self._data)) if self._data else None
            self._name, self._data = "", []
            return event
        name, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None
