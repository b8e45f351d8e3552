"""Reads documents with the standard library alone: title, headings, links, words of Markdown and HTML; columns of CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any, Callable, Dict, List, Optional, Tuple

PAGE = 1800  # characters, as translators count
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
Progress = Callable[[float], None]


class UnknownFormat(ValueError):
    """The name's ending is none of ours."""


def outline(name: str, text: str, progress: Progress = lambda done: None) -> Dict[str, Any]:
    """What a document holds. Its format is told by the ending of its name."""
    ending = name.rsplit(".", 1)[-1].lower()
    readers: Dict[str, Callable[[str, Progress], Dict[str, Any]]] = {
        "md": markdown, "markdown": markdown, "html": html, "htm": html, "csv": table,
    }  # fmt: skip
    if ending not in readers:
        raise UnknownFormat(f"{name} is none of {', '.join(sorted(readers))}")
    result = readers[ending](text, progress)
    progress(1)
    return {"name": name, **result}


def pages(text: str) -> int:
    """How many pages a text is, begun ones counted."""
    return max(1, math.ceil(len(text) / PAGE))


def prose(text: str) -> Dict[str, Any]:
    """What can be said of running text: words, those that stand out, and how long one reads it."""
    words = [word.lower() for word in WORD.findall(text)]
    common = Counter(word for word in words if len(word) > 4)
    return {
        "words": len(words),
        "minutes": round(len(words) / 230, 1),
        "frequent": [word for word, _ in sorted(common.items(), key=lambda pair: (-pair[1], pair[0]))[:5]],
    }


HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*$")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(\s*<?([^)\s>]+)>?[^)]*\)")


def markdown(text: str, progress: Progress) -> Dict[str, Any]:
    """Headings and links outside of fenced code, and the words of all that is no markup."""
    headings: List[Tuple[int, str]] = []
    links: List[str] = []
    plain: List[str] = []
    fence: Optional[str] = None
    lines = text.splitlines()
    for at, line in enumerate(lines):
        mark = re.match(r"\s{0,3}(`{3,}|~{3,})", line)
        if mark and (fence is None or mark[1].startswith(fence)):
            fence = mark[1] if fence is None else None
        elif fence is None:
            heading = HEADING.match(line)
            if heading:
                headings.append((len(heading[1]), heading[2]))
            links += [address for _, address in LINK.findall(line)]
            plain.append(LINK.sub(r"\1", heading[2] if heading else line))
        if at % 500 == 499:
            progress((at + 1) / len(lines))
    title = next((words for level, words in headings if level == 1), None)
    return {
        "format": "markdown",
        "title": title,
        "headings": [{"level": level, "text": words} for level, words in headings],
        "links": links,
        **prose("\n".join(plain)),
    }


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: Optional[str] = None
        self.headings: List[Dict[str, Any]] = []
        self.links: List[str] = []
        self.text: List[str] = []
        self._open: Optional[str] = None
        self._words: List[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        if tag in ("script", "style", "template"):
            self._hidden += 1
        elif tag == "a":
            self.links += [address for name, address in attrs if name == "href" and address]
        elif tag == "title" or re.fullmatch("h[1-6]", tag):
            self._open, self._words = tag, []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "template"):
            self._hidden = max(0, self._hidden - 1)
        elif tag == self._open:
            words = " ".join("".join(self._words).split())
            if tag == "title":
                self.title = words
            else:
                self.headings.append({"level": int(tag[1]), "text": words})
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._open:
            self._words.append(data)
        if self._open != "title":
            self.text.append(data)


def html(text: str, progress: Progress) -> Dict[str, Any]:
    """Title, headings, links and words of a page; scripts and styles are passed over."""
    page = _Page()
    for start in range(0, len(text), 64 << 10):
        page.feed(text[start : start + (64 << 10)])
        progress(min(1.0, (start + (64 << 10)) / len(text)))
    page.close()
    return {
        "format": "html",
        "title": page.title,
        "headings": page.headings,
        "links": page.links,
        **prose(" ".join(page.text)),
    }


def table(text: str, progress: Progress) -> Dict[str, Any]:
    """Rows and columns; of each column how many values there are, whether they are numbers, and their range."""
    try:
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = list(csv.reader(io.StringIO(text), dialect))
    if not rows:
        raise ValueError("the table is empty")
    head, body = rows[0], rows[1:]
    columns: List[Dict[str, Any]] = []
    for at, name in enumerate(head):
        values = [row[at].strip() for row in body if at < len(row) and row[at].strip()]
        numbers = [number for number in map(_number, values) if number is not None]
        column: Dict[str, Any] = {"name": name.strip(), "values": len(values), "distinct": len(set(values))}
        if values and len(numbers) == len(values):
            column.update(
                kind="number", least=min(numbers), most=max(numbers), mean=round(math.fsum(numbers) / len(numbers), 4)
            )
        else:
            column["kind"] = "text"
        columns.append(column)
        progress((at + 1) / len(head))
    return {"format": "csv", "rows": len(body), "columns": columns}


def _number(text: str) -> Optional[float]:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
