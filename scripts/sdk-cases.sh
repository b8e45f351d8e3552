#!/usr/bin/env bash
# The table case × SDK, of what the SDKs' tests printed: scripts/sdk-cases.sh FILE. It fails where a case of sdk/cases
# is not there with a PASS for each SDK.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 - "$1" <<'PYTHON'
import json, pathlib, re, sys

sdks = ["go", "python", "typescript"]
said = {}
for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
    if found := re.search(r"case (PASS|FAIL) (\S+) (.*\S)", line):
        result, sdk, name = found.groups()
        if said.get((sdk, name)) != "FAIL":
            said[sdk, name] = result
count, failed = 0, 0
print("  ".join(f"{sdk:10}" for sdk in sdks) + "  case")
for path in sorted(pathlib.Path("sdk/cases").glob("*.json")):
    for case in json.loads(path.read_text()):
        results = [said.get((sdk, case["name"]), "MISSING") for sdk in sdks]
        count, failed = count + 1, failed + (results != ["PASS"] * len(sdks))
        print("  ".join(f"{result:10}" for result in results) + f"  {path.stem}: {case['name']}")
print(f"{count} cases by {len(sdks)} SDKs, {failed} of them not passed by all")
sys.exit(1 if failed or count < 60 else 0)
PYTHON
