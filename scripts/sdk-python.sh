#!/usr/bin/env bash
# The Python SDK: check, replay the cases, test against a server; then build, and run a job from an empty project.
set -euo pipefail
cd "$(dirname "$0")/.."
test -x bin/tallygate || make build
python3 -c 'import ensurepip' 2>/dev/null || {
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
}
cd sdk/python
place=$(mktemp -d)
trap 'wait; rm -rf "$place"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PYTHONDONTWRITEBYTECODE=1

# The oldest Python, and the oldest httpx, that the package promises to run on; beside the rest.
oldest() {
	local python
	for python in python3.9 $(compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.9.*/bin/python3.9" || true); do
		"$python" -c '' 2>/dev/null || continue # a name may lead nowhere
		"$python" -m venv "$place/oldest"
		"$place/oldest/bin/pip" install --quiet -r <(grep -E '^(pytest|standardwebhooks)==' requirements-dev.txt) httpx==0.25.0
		PYTHONPATH=src "$place/oldest/bin/python" -m pytest --ignore tests/test_readme.py --ignore tests/test_server.py
		return
	done
	echo "no Python 3.9 here to run on: pyright and ruff have checked for it"
}
(set -e; oldest) >"$place/oldest.log" 2>&1 &
oldest=$!

python3 -m venv "$place/dev"
dev=$place/dev/bin
"$dev/pip" install --quiet -r requirements-dev.txt httpx==0.28.1

"$dev/python" scripts/mirror.py --check
"$dev/ruff" format --quiet --check --no-cache .
"$dev/ruff" check --quiet --no-cache .
"$dev/mypy" --cache-dir "$place/mypy"
"$dev/pyright" --pythonpath "$dev/python" # of Python 3.9

# What users write against it is checked as strictly.
mkdir "$place/readme"
"$dev/python" tests/readme.py "$place/readme" >/dev/null
MYPYPATH=src "$dev/mypy" --strict --config-file= --cache-dir "$place/readme-mypy" "$place/readme"/*.py

PYTHONPATH=src TALLYGATE_CASES=1 "$dev/python" -m pytest --ignore tests/test_readme.py

echo "-- Python 3.9"
wait $oldest || { cat "$place/oldest.log"; exit 1; }
tail -n 2 "$place/oldest.log"

# Wheel and sdist, each in an empty environment; a job is run from an empty folder, by what the README shows.
"$dev/python" -m build --no-isolation --outdir "$place/dist" . >"$place/build.log" || { cat "$place/build.log"; exit 1; }
for package in "$place"/dist/*.whl "$place"/dist/*.tar.gz; do
	rm -rf "$place/user"
	python3 -m venv "$place/user"
	"$place/user/bin/pip" install --quiet "$package"
	PYTHONPATH=src TALLYGATE_README_PYTHON=$place/user/bin/python "$dev/python" -m pytest tests/test_readme.py
done
