"""Does jobs of the type document.outline until it is told to end."""

from __future__ import annotations

import logging
from typing import Any, Dict

import tallygate

import document

logging.getLogger("httpx").setLevel(logging.WARNING)
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
worker = tallygate.Worker(tallygate.Tallygate(), concurrency=4)


@worker.handler("document.outline")
def outline(attempt: tallygate.Attempt) -> Dict[str, Any]:
    name, text = attempt.input["name"], attempt.input["text"]

    def progress(done: float) -> None:
        attempt.check()  # ends the attempt where the client has cancelled the job
        attempt.progress(done)

    try:
        result = document.outline(name, text, progress)
    except ValueError as error:  # the document is at fault: another attempt would end the same way
        raise tallygate.FinalError(str(error)) from error
    attempt.log(f"{name}: {result['format']}")
    attempt.use(page=document.pages(text))
    return result


if __name__ == "__main__":
    worker.run()
