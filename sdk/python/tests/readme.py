"""Writes the Python blocks of README.md into a folder: ``python tests/readme.py FOLDER``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import List, Tuple

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```python(?: file=(\S+))?\n(.*?)^```$", re.M | re.S)


def blocks() -> List[Tuple[str, str]]:
    """The blocks in their order, with their file's names."""
    found = BLOCK.findall(README.read_text(encoding="utf-8"))
    return [(name or f"block{at}.py", text) for at, (name, text) in enumerate(found, 1)]


def write(folder: Path) -> List[Path]:
    """Writes each block to its file."""
    paths: List[Path] = []
    for name, text in blocks():
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="utf-8")
    return paths


if __name__ == "__main__":
    print(*write(Path(sys.argv[1])), sep="\n")
