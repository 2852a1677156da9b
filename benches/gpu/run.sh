#!/usr/bin/env bash
# Tests and times offramp on this machine's GPU: all that a short rental can tell, in one call.
# What is in which step: benches/gpu/steps.py. How the call goes: benches/gpu/session.py --help.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec python3 -u benches/gpu/session.py "$@"
