"""Submits documents as one batch, shows how far they are, and prints what they hold and cost: submit.py FILE…"""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import List

import tallygate
from tallygate.inputs import Submission


class Bar:
    """How far all jobs are, on one line of a terminal; elsewhere it keeps quiet."""

    def __init__(self, jobs: int) -> None:
        self._done = [0.0] * jobs

    def tell(self, at: int, done: float) -> None:
        self._done[at] = done
        if sys.stderr.isatty():
            share = sum(self._done) / len(self._done)
            print(f"\r[{'#' * round(40 * share):40}] {share:4.0%}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)


async def main(paths: List[str]) -> int:
    async with tallygate.AsyncTallygate() as client:
        batch = await client.jobs.submit_batch(
            [
                Submission(
                    type="document.outline", input={"name": Path(path).name, "text": Path(path).read_text("utf-8")}
                )
                for path in paths
            ]
        )
        bar = Bar(len(batch))
        ended = await asyncio.gather(
            *(
                client.jobs.wait(job.id, timeout="5m", on_progress=lambda done, at=at: bar.tell(at, done))
                for at, job in enumerate(batch)
            )
        )
        bar.close()
    for path, job in zip(paths, ended):
        print(path, job.status, job.receipt.charged, json.dumps(job.result or job["error"], ensure_ascii=False))
    print("all of it cost", sum((job.receipt.charged for job in ended), Decimal(0)), ended[0].receipt.currency)
    return 0 if all(job.status == "succeeded" for job in ended) else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(sys.argv[1:])))
