#!/usr/bin/env python3
"""Measures commands side by side: CPU time, wall time and peak memory.

    measure.py run [--plan FILE] --tree NAME|DIR [--runs N] [--cold]
                   [--only A,B] [--set NAME=VALUE] [--json FILE] ...
        Runs the plan's commands on a tree, in turn (A B C A B C ...), and
        prints a table of minima and medians with ratios to the reference.

    measure.py time -- COMMAND...
        Runs one command once, and prints what it cost on standard error.

CPU time is the judge: it holds on a machine that others use too, where wall
time does not. Take the minimum of several runs. It comes from wait4(), so it
counts the command and every child it waited for. Peak memory is from GNU time
(Debian's package `time`): a process forked from Python would be charged with
Python's own peak.

Warm runs (the default) must find the tree in the page cache, which needs room
for it. Some machines take idle page cache back (DAMON, balloons, neighbours),
so the plan's `warmer` runs, unmeasured, before every run until it reads next to
nothing from the disk; a measured run that still reads much is repeated, and
what the counted run read is in the table. Cold runs (--cold, root only) write
out and drop the page cache before every run.

Needs Python 3.11 and nothing but its standard library.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

BENCH = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("DRIFTCHECK_CACHE", "/var/tmp/driftcheck-cache"))
DEFAULT_TIMEOUT = 1800
WARM_TRIES = 4
GNU_TIME = shutil.which("time")


class Failure(Exception):
    """Something that ends the measurement, told in one line."""


class Missing(Exception):
    """A variable of the plan that was not given."""


# Running one command


def kill_group(leader):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def measure(argv, *, timeout=DEFAULT_TIMEOUT, output=subprocess.DEVNULL):
    """Runs argv once; returns what it cost and how it ended.

    The command gets a process group of its own, which is killed when it
    takes longer than the timeout, and when we are interrupted.
    """
    with tempfile.NamedTemporaryFile("r", prefix="measure-") as report:
        if GNU_TIME:
            argv = [GNU_TIME, "--quiet", "-f", "%M", "-o", report.name, "--", *argv]
        start = time.monotonic()
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output == subprocess.DEVNULL else None,
            start_new_session=True,
        )
        expired = False

        def expire(_signal, _frame):
            nonlocal expired
            expired = True
            kill_group(child.pid)

        signal.signal(signal.SIGALRM, expire)
        signal.alarm(timeout)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            kill_group(child.pid)
            raise
        finally:
            signal.alarm(0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if expired:
            raise Failure(f"took longer than {timeout} s: {shlex.join(argv)}")
        text = report.read().strip()
    return {
        "exit": child.returncode,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "wall_s": wall,
        "rss_kib": int(text) if text.isdigit() else usage.ru_maxrss,
        "disk_mib": usage.ru_inblock / 2048,
    }


def drop_caches():
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")
    except OSError as error:
        raise Failure(f"cold runs need root: {error}") from error
    # Our own helpers are not part of what is measured.
    measure(["true"])


# The plan


def substitute(text, variables):
    def value(match):
        try:
            return str(variables[match[1]])
        except KeyError:
            raise Missing(match[1]) from None

    return re.sub(r"\{(\w+)\}", value, text)


def output_of(argv):
    """What a helper command prints, as bytes."""
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip()
        raise Failure(f"{shlex.join(argv)}: {message or done.returncode}")
    return done.stdout


class Command:
    KEYS = {"name", "argv", "argv_from", "after", "exit", "default", "timeout"}

    def __init__(self, table, variables):
        if unknown := set(table) - self.KEYS:
            raise Failure(f"plan: unknown key {sorted(unknown)[0]!r}")
        self.name = table["name"]
        self.after = table.get("after")
        self.exit = table.get("exit", [0])
        self.default = table.get("default", True)
        self.timeout = table.get("timeout", DEFAULT_TIMEOUT)
        self.indirect = "argv_from" in table
        source = table["argv_from" if self.indirect else "argv"]
        self.source = [substitute(part, variables) for part in source]
        self.runs = []

    def argv(self):
        if not self.indirect:
            return self.source
        parts = output_of(self.source).decode().split("\0")
        return parts[:-1]

    def run(self):
        """One run; its cost is returned, and not yet counted."""
        cost = measure(self.argv(), timeout=self.timeout)
        if cost["exit"] not in self.exit:
            raise Failure(
                f"{self.name} ended with {cost['exit']}: {shlex.join(self.argv())}"
            )
        return cost


def load_plan(path, variables, only):
    with open(path, "rb") as file:
        plan = tomllib.load(file)
    commands = {}
    for table in plan.get("command", []):
        try:
            command = Command(table, variables)
        except Missing as missing:
            print(
                f"{table['name']}: left out (no --set {missing}=...)", file=sys.stderr
            )
            continue
        commands[command.name] = command
    if only:
        if unknown := [name for name in only if name not in commands]:
            raise Failure(f"no command named {unknown[0]!r}")
        chosen = [commands[name] for name in only]
    else:
        chosen = [command for command in commands.values() if command.default]
    if not chosen:
        raise Failure("nothing to run")
    return plan, commands, chosen


# The machine


def first_line(path, key):
    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return None


def file_system_of(path):
    """The type and options of the mount that holds a path."""
    best = ("", None)
    path = str(Path(path).resolve())
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            best = (point, f"{right.split()[0]} ({left.split()[5]})")
    return best[1]


def describe_machine(tree):
    flags = (first_line("/proc/cpuinfo", "flags") or "").split()
    return {
        "cpu": first_line("/proc/cpuinfo", "model name") or platform.machine(),
        "sha_instructions": "sha_ni" in flags or "sha2" in flags,
        "cores": len(os.sched_getaffinity(0)),
        "memory": first_line("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "file_system": file_system_of(tree),
        "load_average": os.getloadavg(),
        "nice": os.nice(0),
    }


def versions(plan, variables):
    found = {}
    for name, argv in plan.get("versions", {}).items():
        try:
            text = output_of([substitute(part, variables) for part in argv])
            found[name] = text.decode(errors="replace").strip().split("\n")[0]
        except (Missing, Failure, OSError):
            pass
    return found


# Results


def summary(runs):
    result = {"runs": len(runs)}
    for key in ("cpu_s", "wall_s", "rss_kib"):
        values = [run[key] for run in runs]
        result[key] = {"min": min(values), "median": statistics.median(values)}
    cheapest = min(runs, key=lambda run: run["cpu_s"])
    for key in ("user_s", "system_s", "disk_mib"):
        result[key] = cheapest[key]
    return result


def add_ratios(results, reference):
    base = results.get(reference)
    for result in results.values():
        result["ratio"] = base and {
            key: result[key]["min"] / base[key]["min"]
            for key in ("cpu_s", "wall_s", "rss_kib")
        }


def print_table(record):
    machine = record["machine"]
    temperature = "cold" if record["cold"] else "warm"
    print(f"{record['tree']} ({temperature}), {record['date']}")
    print(
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"{machine['file_system']}; "
        + ", ".join(f"{name}: {text}" for name, text in record["versions"].items())
    )
    heads = (
        "command runs cpu-min cpu-med user sys wall-min wall-med rss-MiB disk-MiB "
        "x-cpu x-wall"
    ).split()
    rows = [heads]
    for name, result in record["results"].items():
        ratio = result["ratio"]
        rows.append(
            [
                name,
                str(result["runs"]),
                f"{result['cpu_s']['min']:.2f}",
                f"{result['cpu_s']['median']:.2f}",
                f"{result['user_s']:.2f}",
                f"{result['system_s']:.2f}",
                f"{result['wall_s']['min']:.2f}",
                f"{result['wall_s']['median']:.2f}",
                f"{result['rss_kib']['median'] / 1024:.1f}",
                f"{result['disk_mib']:.0f}",
                f"{ratio['cpu_s']:.2f}" if ratio else "-",
                f"{ratio['wall_s']:.2f}" if ratio else "-",
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))
        print("  ".join((first, *rest)))
    if record["reference"] in record["results"]:
        print(
            "times in seconds; user, sys and disk reads of the run with the least "
            f"CPU; x: minimum over {record['reference']}'s minimum"
        )
    if not GNU_TIME:
        print("GNU time is not installed: rss-MiB is never below Python's own")


# The two commands


def locate_tree(name):
    path = Path(name)
    if "/" in name:
        if not path.is_dir():
            raise Failure(f"{name} is not a directory")
        return path.name, path.resolve()
    text = output_of([str(BENCH / "trees.sh"), "path", name])
    return name, Path(text.decode().strip())


def run_plan(options):
    name, tree = locate_tree(options.tree)
    target = Path(os.environ.get("CARGO_TARGET_DIR", CACHE / "target"))
    work = CACHE / "work" / name
    work.mkdir(parents=True, exist_ok=True)
    variables = {
        "tree": tree,
        "work": work,
        "bench": BENCH,
        "bin": target / "release",
        **dict(options.set),
    }
    plan, commands, chosen = load_plan(options.plan, variables, options.only)
    record = {
        "tree": name,
        "cold": options.cold,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(tree),
        "versions": versions(plan, variables),
        "reference": options.reference or plan.get("reference"),
    }
    ready = set()

    def make_ready(command):
        """Runs, unmeasured, what the command needs and has not been run."""
        needed = command.after
        if needed and needed not in ready:
            if needed not in commands:
                raise Failure(f"{command.name} needs {needed}, which is left out")
            make_ready(commands[needed])
            commands[needed].run()
            ready.add(needed)

    warmer = commands.get(plan.get("warmer"), chosen[0])
    make_ready(warmer)

    def is_warm(cost):
        return cost["disk_mib"] <= options.warm_limit

    def run_warm(command):
        """A run that found the tree in the page cache, if one can be had."""
        for attempt in range(WARM_TRIES):
            for _ in range(WARM_TRIES):
                if is_warm(warmer.run()):
                    break
            cost = command.run()
            if is_warm(cost):
                break
            again = "again" if attempt + 1 < WARM_TRIES else "counted all the same"
            print(
                f"{command.name}: read {cost['disk_mib']:.0f} MiB from disk, {again}",
                file=sys.stderr,
            )
        return cost

    for turn in range(options.runs):
        for command in chosen:
            make_ready(command)
            if options.cold:
                drop_caches()
                cost = command.run()
            else:
                cost = run_warm(command)
            ready.add(command.name)
            command.runs.append(cost)
            print(
                f"[{turn + 1}/{options.runs}] {command.name}: "
                f"{cost['cpu_s']:.2f} s CPU, {cost['wall_s']:.2f} s wall, "
                f"{cost['rss_kib'] / 1024:.1f} MiB",
                file=sys.stderr,
            )
    results = {command.name: summary(command.runs) for command in chosen}
    add_ratios(results, record["reference"])
    record["results"] = results
    record["machine"]["load_average_after"] = os.getloadavg()
    record["all_runs"] = {command.name: command.runs for command in chosen}
    print_table(record)
    if options.json:
        Path(options.json).write_text(
            json.dumps(record, indent=2) + "\n", encoding="utf-8"
        )
    return 0


def time_once(options):
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise Failure("time needs a command")
    cost = measure(argv, timeout=options.timeout, output=None)
    print(
        "user {user_s:.2f} s, system {system_s:.2f} s, CPU {cpu_s:.2f} s, "
        "wall {wall_s:.2f} s, peak {rss:.1f} MiB, exit {exit}".format(
            rss=cost["rss_kib"] / 1024, **cost
        ),
        file=sys.stderr,
    )
    return cost["exit"] if cost["exit"] >= 0 else 128 - cost["exit"]


def setting(text):
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError("NAME=VALUE")
    return name, value


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subparsers = parser.add_subparsers(required=True, metavar="run|time")

    run = subparsers.add_parser("run", help="run a plan on a tree")
    run.add_argument("--plan", default=BENCH / "plan.toml", metavar="FILE")
    run.add_argument("--tree", required=True, help="a name of trees.sh, or a path")
    run.add_argument("--runs", type=positive, default=5, metavar="N")
    run.add_argument("--cold", action="store_true", help="drop the page cache first")
    run.add_argument(
        "--warm-limit",
        type=positive,
        default=64,
        metavar="MIB",
        help="what a warm run may read from disk (64)",
    )
    run.add_argument(
        "--only", type=lambda text: text.split(","), metavar="A,B", help="just these"
    )
    run.add_argument("--set", type=setting, action="append", default=[])
    run.add_argument("--reference", metavar="NAME", help="instead of the plan's")
    run.add_argument("--json", metavar="FILE", help="write the whole record")
    run.set_defaults(run=run_plan)

    once = subparsers.add_parser("time", help="run one command once")
    once.add_argument("--timeout", type=positive, default=DEFAULT_TIMEOUT)
    once.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND...")
    once.set_defaults(run=time_once)

    options = parser.parse_args()
    # An interruption must reach the command that is running, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return options.run(options)
    except Failure as failure:
        print(f"measure.py: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
