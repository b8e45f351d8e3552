"""A real server: the built binary on SQLite, in a folder of its own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

import tallygate
from tallygate.inputs import ExecutorInput, PriceInput

BINARY = Path(os.environ.get("TALLYGATE_BIN") or Path(__file__).parents[3] / "bin" / "tallygate")
_numbers = itertools.count(1)


class Server:
    """A server that runs, and its operator's key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        database = str(folder / "tallygate.db")
        made = subprocess.run([BINARY, "init", "--database", database, "--json"], check=True, capture_output=True)
        self.operator_key: str = json.loads(made.stdout)["operator_key"]
        self._log = open(folder / "server.log", "wb")  # noqa: SIM115 - closed by stop
        self._process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--database", database],
            stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().rsplit(" ", 1)[-1].strip()
        assert self.url.startswith("http://127.0.0.1:"), (folder / "server.log").read_text()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def operator(self, **settings: Any) -> tallygate.Tallygate:
        return tallygate.Tallygate(self.url, self.operator_key, **settings)


class World:
    """A job type and a client of its own with money, on a server that tests share."""

    def __init__(
        self,
        server: Server,
        *,
        price: Optional[PriceInput] = None,
        executor: Optional[ExecutorInput] = None,
        **definition: Any,
    ) -> None:
        self.server = server
        self.type = f"test.type{next(_numbers)}"
        self.operator = server.operator()
        self.operator.job_types.define(
            self.type,
            price=price or {"base": "0.01", "units": {"page": {"price": "0.002", "max": 100}}},
            executor=executor or {"kind": "pull"},
            **definition,
        )
        self.owner = self.operator.clients.create("Acme").id
        self.operator.clients.credit(self.owner, "25.00", note="first", idempotency_key=f"pay-{self.type}")
        self.client_key = self._key(self.owner, "preset:full")
        self.worker_key = self.operator.api_keys.create(["preset:worker"]).key or ""
        self.client = tallygate.Tallygate(server.url, self.client_key)

    def _key(self, owner: str, preset: str) -> str:
        return self.operator.clients.api_keys.create(owner, [preset]).key or ""

    def worker_client(self) -> tallygate.Tallygate:
        return tallygate.Tallygate(self.server.url, self.worker_key)

    def environment(self, key: str) -> Dict[str, str]:
        """The environment of a process that calls the server."""
        package = str(Path(tallygate.__file__).parent.parent)
        return {**os.environ, "TALLYGATE_URL": self.server.url, "TALLYGATE_KEY": key, "PYTHONPATH": package}

    def close(self) -> None:
        self.client.close()
        self.operator.close()


def serve(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()
