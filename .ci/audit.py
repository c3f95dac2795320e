"""Fails where a lock holds a version with a known vulnerability: `.ci/audit.py requirements.lock`.

That takes a service on the internet. Where it does not answer, or does not know our packages, one line says so, and
that is no failure.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

_COMMAND = (
    *("-m", "pip_audit", "--disable-pip", "--require-hashes", "--format", "json", "--desc", "off"),
    *("--progress-spinner", "off", "--timeout", "15"),
)

_SECONDS = 300

# What pip-audit ends with where its service cannot be reached; it has a sentence of its own for the first two alone.
_UNREACHABLE = re.compile(
    r"Could not connect to|is not redirecting properly|^requests\.exceptions\.\w+: |ServiceError", re.MULTILINE
)


def main(lock: str) -> int:
    """Audit *lock*; return the exit status."""
    command = [sys.executable, *_COMMAND, "-r", lock]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        status, words = verdict(done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        status, words = 0, f"NOT DONE, the vulnerability service took longer than {_SECONDS} seconds"
    sys.stdout.write(f"audit: {words}\n")
    return status


def verdict(stdout: str, stderr: str) -> tuple[int, str]:
    """Return the exit status, and what to say, for what pip-audit wrote."""
    try:
        packages: list[dict[str, Any]] = json.loads(stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
        if _UNREACHABLE.search(stderr):
            return 0, f"NOT DONE, the vulnerability service does not answer ({last[:200]})"
        return 1, f"pip-audit failed: {stderr.strip()}"
    found = [package for package in packages if package.get("vulns")]
    if found:
        return 1, "\n".join(["known vulnerabilities:", *map(_line, found)])
    unknown = sum("skip_reason" in package for package in packages)
    if unknown == len(packages):  # pip-audit itself then says that there are no vulnerabilities
        return 0, f"NOT DONE, the vulnerability service knows none of the {unknown} packages"
    rest = f"; {unknown} that the service does not know were not looked at" if unknown else ""
    return 0, f"no known vulnerabilities in {len(packages) - unknown} packages{rest}"


def _line(package: dict[str, Any]) -> str:
    told = "; ".join(
        f"{each['id']} (fixed in {', '.join(each['fix_versions']) or 'no version yet'})" for each in package["vulns"]
    )
    return f"  {package['name']} {package['version']}: {told}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
