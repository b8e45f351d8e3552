"""Runs the samples one after the other and prints a line of JSON about each."""

import contextlib
import io
import json
import os
import traceback

with open("samples.json", encoding="utf-8") as file:
    samples = json.load(file)

for sample in samples:
    os.environ["TALLYGATE_KEY"] = sample["key"]
    output, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(output):
            exec(compile(sample["code"], sample["operation"], "exec"), {})
    except Exception:
        error = traceback.format_exc()
    print(json.dumps({"operation": sample["operation"], "error": error, "output": output.getvalue()}), flush=True)
