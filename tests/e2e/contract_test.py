"""The API keeps what /openapi.json says: Schemathesis makes calls of it, good and bad ones, and looks at the answers."""

import os
import pathlib
import subprocess

import pytest

from bitloop import BIN, Host
from packages import python

# Calls that never end (event streams; events_test.py has them), and the one whose messages have a contract of their own (mcp_test.py).
LEFT_OUT = ["GET /v1/events", "GET /v1/sessions/{id}/events", "POST /mcp"]
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "negative_data_rejection", "unsupported_method", "allow_header_conformance"]


def schemathesis(host, folder, *options, examples=20):
    """Runs it with a fixed seed and examples of its own making only."""
    words = [python(), "-m", "schemathesis.cli", "run", f"{host.url}/openapi.json", "--seed", "1", "--max-examples", str(examples),
             "--generation-database", "none", "--checks", ",".join(CHECKS), "--no-color", "--continue-on-failure", "--request-timeout", "20"]
    for name in LEFT_OUT:
        words += ["--exclude-name", name]
    done = subprocess.run([*map(str, words), *options], text=True, capture_output=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout
