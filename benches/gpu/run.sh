#!/usr/bin/env bash
# Tests and times offramp on this machine's GPU: all that ten minutes can tell, in one call.
# What is in which step: benches/gpu/steps.py. How the call goes: benches/gpu/session.py --help.
set -euo pipefail
exec python3 -u "$(dirname "$(readlink -f "$0")")/session.py" "$@"
