#!/usr/bin/env bash
# Run on every node by the cluster file: the pinned environment in ~/koleo-sweeps/.venv, and shells that use it.
# Says nothing and does nothing where this has been done under the same constraints.
set -euo pipefail
cd ~/koleo-sweeps
UV_VERSION=0.13.9
PYTHON_VERSION=3.11 # all nodes of a Ray cluster must have the same minor version

chmod 600 ~/.ray/auth_token
grep -qs koleo-sweeps/environment.sh ~/.bashrc || echo '. ~/koleo-sweeps/environment.sh' >>~/.bashrc

cmp -s constraints.txt .venv/constraints.txt && exit

command -v curl >/dev/null || { echo "curl is missing: install it, or install uv $UV_VERSION yourself." >&2; exit 1; }
[ -x ~/.local/bin/uv ] || curl --fail --silent --show-error --location "https://astral.sh/uv/$UV_VERSION/install.sh" | sh
~/.local/bin/uv venv --clear --python "$PYTHON_VERSION" .venv
~/.local/bin/uv pip install --python .venv --constraint constraints.txt --requirements pyproject.toml --extra aws \
  --extra offline-weights
cp constraints.txt .venv/
