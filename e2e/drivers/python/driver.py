"""Does for the tests of the SDKs what they ask for, with the Python SDK: see sdk_faults_test.go."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from tallygate import AsyncTallygate, Tallygate
from tallygate.worker import Attempt, Worker

CALLERS = 16


def patient() -> Tallygate:
    """A client that goes on as long as a storm may last."""
    return Tallygate(max_attempts=25, deadline="5m", retry_budget=1_000_000)


def submit(count: int) -> None:
    with patient() as client, ThreadPoolExecutor(CALLERS) as callers:
        for job in callers.map(lambda n: client.jobs.submit("text.stats", {"number": n}), range(count)):
            print(job.id)


def work() -> None:
    def count(attempt: Attempt) -> object:
        attempt.use(page=1)
        return {"words": 2}

    with patient() as client:
        Worker(client, {"text.stats": count}, concurrency=10).run()


async def herd(count: int) -> None:
    async def one(n: int) -> None:
        # Without certificates to trust, which are read anew for each of so many clients.
        async with AsyncTallygate(key=f"tg_live_{n}", on_retry=lambda retry: print(retry.wait), verify=False) as client:
            await client.account.get()

    await asyncio.gather(*(one(n) for n in range(count)))


def main() -> None:
    what = sys.argv[1]
    if what == "submit":
        submit(int(sys.argv[2]))
    elif what == "herd":
        asyncio.run(herd(int(sys.argv[2])))
    elif what == "work":
        work()
    else:
        sys.exit(f"no such thing to do: {what}")


if __name__ == "__main__":
    main()
