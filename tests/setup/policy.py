#!/usr/bin/env python3
"""Checks Cargo.lock against deny.toml without a network: licences, banned crates, one version of what must be one.

`cargo deny check bans licenses sources` says more; this needs nothing but Python and runs everywhere.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def licences(expression: str) -> list[set[str]]:
    """The alternatives of an SPDX expression of the simple kind that crates use."""
    expression = expression.replace("/", " OR ").replace("(", " ").replace(")", " ")
    return [{term.strip() for term in part.split(" AND ")} for part in expression.split(" OR ")]


def main() -> int:
    rules = tomllib.loads((TOP / "deny.toml").read_text())
    allowed = set(rules["licenses"]["allow"])
    banned = {ban["crate"]: ban.get("reason", "") for ban in rules["bans"]["deny"]}
    # A crate with a `links` key can be in a program only once; two lines of cryptography are one too many.
    single = {"libsqlite3-sys", "sha2", "zstd-sys"}
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    packages = json.loads(subprocess.run(command, cwd=TOP, check=True, capture_output=True).stdout)["packages"]
    faults, seen = [], {}
    for package in packages:
        name, version = package["name"], package["version"]
        seen.setdefault(name, set()).add(version)
        if name in banned:
            faults.append(f"{name} {version} is banned: {banned[name]}")
        if package["source"] and "crates.io" not in package["source"]:
            faults.append(f"{name} {version} does not come from crates.io")
        if not any(terms <= allowed for terms in licences(package["license"] or "none")):
            faults.append(f"{name} {version} has a licence that is not allowed: {package['license']}")
    faults += [f"{name} is there in several versions: {seen[name]}" for name in single if len(seen.get(name, ())) > 1]
    listed = (TOP / "docs/dependencies.md").read_text()
    members = [package for package in packages if package["source"] is None]
    direct = {dependency["name"] for package in members for dependency in package["dependencies"]}
    own = {package["name"] for package in members}
    faults += [f"{name} has no line in docs/dependencies.md" for name in sorted(direct - own) if f"`{name}`" not in listed]
    for fault in faults:
        print(f"policy: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
