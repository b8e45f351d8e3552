"""Writes src/tallygate/_async_client.py from _client.py, so that the two surfaces have one text.

``python scripts/mirror.py`` writes it, ``--check`` fails where it is not what would be written.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "tallygate"
SOURCE, MIRROR = PACKAGE / "_client.py", PACKAGE / "_async_client.py"

CLASSES = [
    "Tallygate", "Pages", "Jobs", "JobTypes", "Quotes", "Account", "ApiKeys", "ClientApiKeys", "Clients", "Audit",
    "WorkerRoutes", "Driver",
]  # fmt: skip
AWAITED = re.compile(r"return (self\.(?:_client\.)?(?:_do|_driver\.run)\()")
METHOD = re.compile(r"^    def (\w+)\(", re.M)


def mirrored(text: str) -> str:
    """The asynchronous form of the blocking client."""
    _, cut, rest = text.partition('"""\n\nfrom __future__')
    text = (
        f'"""The asynchronous client: ``_client.py`` as ``scripts/mirror.py`` mirrors it. Change that file.{cut}{rest}'
    )
    starts = [found.start() for found in METHOD.finditer(text)] + [len(text)]
    parts = [text[: starts[0]]]
    for start, end in zip(starts, starts[1:]):
        method = text[start:end]
        if AWAITED.search(method):
            method = METHOD.sub(r"    async def \1(", AWAITED.sub(r"return await \1", method))
        parts.append(method)
    text = "".join(parts)
    text = re.sub(rf"(?<![\w.])({'|'.join(CLASSES)})(?!\w)", r"Async\1", text)
    for this, that in [
        ("Iterator[", "AsyncIterator["),
        ("Dict, Generic, Iterator, List", "AsyncIterator, Dict, Generic, List"),
        ("__iter__", "__aiter__"),
        ("[*self]", "[item async for item in self]"),
        ("def all(", "async def all("),
        ("httpx.Client", "httpx.AsyncClient"),
        ("self._http.close()", "await self._http.aclose()"),
        ("def close(", "async def close("),
        ("self.close()", "await self.close()"),
        ("def __enter__", "async def __aenter__"),
        ("def __exit__", "async def __aexit__"),
        ("Calls a AsyncTallygate server", "Calls a Tallygate server"),
        (" An object may be used by many threads.", " An object belongs to one event loop."),
        ("from ._world import Cancellation, World", "from ._world import World"),
        ("        cancellation: Optional[Cancellation] = None,\n", ""),
        (", cancellation or self._cancellation)", ")"),
        (", cancellation: Optional[Cancellation]) -> None", ") -> None"),
        ("        self._cancellation = cancellation\n", ""),
        ("session.world, cancellation)", "session.world)"),
        ("self._options.session(), None)", "self._options.session())"),
        ("made._bind(session, None)", "made._bind(session)"),
        ("tallygate.Worker`", "tallygate.AsyncWorker`"),
    ]:
        text = text.replace(this, that)
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(MIRROR), "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    made = mirrored(SOURCE.read_text(encoding="utf-8"))
    if "--check" in sys.argv[1:]:
        if not MIRROR.exists() or MIRROR.read_text(encoding="utf-8") != made:
            print(f"{MIRROR} is not the mirror of {SOURCE.name}: run python scripts/mirror.py", file=sys.stderr)
            return 1
        return 0
    MIRROR.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
