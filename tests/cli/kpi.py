#!/usr/bin/env python3
"""Key figures a second time, by other means than the program's: the yardstick of its tests.

  kpi.py seed STATE LEDGERS NOW OLD      writes telemetry, a ledger and old claims in known shapes
  kpi.py compute STATE LEDGERS ITEMS FROM TO
                                         prints the figures of a window as JSON; ITEMS is what
                                         `coord work list --all --json` printed
"""

import datetime
import glob
import json
import math
import os
import random
import sys

LASTING = (
    "agent run", "alert check", "alert redeliver", "alert test", "backup create", "backup verify",
    "compat backup", "compat restore", "config edit", "lock run", "restore", "swarm run",
)
LASTING_NOUNS = ("bench", "claude", "demo", "selftest", "trace")
FAULTS = ("lock-timeout", "external", "unknown-outcome", "bug")
Z = 1.6448536269514722


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def text(at):
    return at.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seed(state, ledgers, now, old):
    chance = random.Random(20261126)
    now = moment(now)
    ops = []
    at = now - datetime.timedelta(days=20)
    while at < now:
        at += datetime.timedelta(seconds=chance.expovariate(1 / 600))
        for _ in range(chance.choice((1, 1, 1, 9))):
            command = chance.choices(
                ("work claim", "work complete", "work add", "status", "agent run", "claude ask", "trace show"),
                (40, 30, 20, 10, 2, 1, 1),
            )[0]
            outcome = chance.choices(
                ("ok", "empty", "conflict", "external", "lock-timeout", "bug"),
                (900, 60, 30, 2, 2, 1),
            )[0]
            op = {
                "at": text(at),
                "command": command,
                "outcome": outcome,
                "exit_code": 0 if outcome == "ok" else 4,
                "duration_us": int(chance.lognormvariate(9.5, 1.1)),
                "trace_id": f"{chance.getrandbits(128) | 1:032x}",
                "span_id": f"{chance.getrandbits(64) | 1:016x}",
            }
            if command in LASTING or op["duration_us"] > 5000:
                op["memory_kib"] = chance.randint(4000, 70000)
            ops.append(op)
    ops = [op for op in ops if moment(op["at"]) < now]
    ops.sort(key=lambda op: moment(op["at"]) + datetime.timedelta(microseconds=op["duration_us"]))
    lines = [json.dumps(op) for op in ops]
    half = len(lines) // 2
    with open(os.path.join(state, "ops.20260101T000000000000Z.jsonl"), "w") as former:
        former.write("\n".join(lines[:half]) + '\n{"at":"2026-\n')
    with open(os.path.join(state, "ops.jsonl"), "w") as live:
        live.write("\n".join(lines[half:]) + "\nnot json\n")

    os.makedirs(ledgers, mode=0o700, exist_ok=True)
    with open(os.path.join(ledgers, "ledger.jsonl"), "w") as ledger:
        for number in range(900):
            at = now - datetime.timedelta(seconds=chance.randint(0, 20 * 86400))
            source, outcome = chance.choices(
                (("api", "ok"), ("cli", "ok"), ("cache", "ok"), ("stale", "overloaded"),
                 ("heuristic", "timeout"), ("heuristic", "offline"), (None, "refused")),
                (700, 60, 100, 3, 3, 20, 2),
            )[0]
            line = {
                "kind": "attempt", "at": text(at), "call": f"c{number}", "command": "claude ask",
                "backend": "api", "model": "m", "number": 1, "status": 200, "outcome": outcome,
                "source": source, "request_id": None, "wait_ms": 0, "duration_ms": 700,
                "recovery_ms": None, "usage": None, "cost_usd": None,
            }
            if outcome == "ok" and source != "cache":
                ledger.write(json.dumps(line) + "\n")
            ledger.write(json.dumps({**line, "kind": "call"}) + "\n")

    claims = []
    for number in range(60):
        begun = now - datetime.timedelta(seconds=chance.randint(3600, 20 * 86400))
        done = begun + datetime.timedelta(seconds=chance.randint(30, 3000))
        claim = {
            "work_item_id": f"work_{int(begun.timestamp())}{number:09d}",
            "agent_id": f"agent_{chance.randint(1, 4)}",
            "claimed_at": begun.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "work_type": "seeded",
            "priority": "medium",
            "description": f"seeded {number}",
            "status": "active",
            "team": "core",
        }
        if number % 5:
            claim["status"] = "completed"
            claim["completed_at"] = done.strftime("%Y-%m-%dT%H:%M:%SZ")
            claim["result"] = "success"
            claim["velocity_points"] = chance.choice((1, 2, 3, 5, 8))
        claims.append(claim)
    os.makedirs(old, exist_ok=True)
    with open(os.path.join(old, "work_claims.json"), "w") as file:
        json.dump(claims, file)


def rank(values, share):
    """The value of the nearest rank."""
    values = sorted(values)
    return values[max(math.ceil(share * len(values)), 1) - 1]


def lower(count, bad):
    """The lower bound of the share of good ones, in percent, at 95 % confidence."""
    if count == 0:
        return None
    if bad == 0:
        return 100 * max(0.0, 1 - 3 / count)
    share = (count - bad) / count
    middle = share + Z * Z / (2 * count)
    spread = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return 100 * max(0.0, (middle - spread) / (1 + Z * Z / count))


def read(paths):
    lines, bad = [], 0
    for path in paths:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    try:
                        lines.append(json.loads(line))
                    except ValueError:
                        bad += 1
    return lines, bad


def compute(state, ledgers, items, begin, end):
    begin, end = moment(begin), moment(end)
    inside = lambda at: at is not None and begin <= moment(at) < end
    former = sorted(glob.glob(os.path.join(state, "ops.*.jsonl")))
    every, bad_lines = read([*former, os.path.join(state, "ops.jsonl")])
    ops = [op for op in every if inside(op["at"])]
    faults = [op for op in ops if op["outcome"] in FAULTS]
    answers = [
        op["duration_us"] for op in ops
        if op["command"] not in LASTING and op["command"].split(" ")[0] not in LASTING_NOUNS
    ]
    memory = [op["memory_kib"] for op in ops if "memory_kib" in op]
    hours = {}
    for op in ops:
        hour = moment(op["at"]).timestamp() // 3600
        hours[hour] = hours.get(hour, 0) + 1
    over = lambda op: moment(op["at"]) + datetime.timedelta(microseconds=op["duration_us"])
    lasted, ends = [], []
    for op in ops + [{"outcome": "ok"}]:
        if op["outcome"] in FAULTS:
            ends.append(over(op))
        elif ends and op["outcome"] == "ok":
            lasted.append((max(ends) - ends[0]).total_seconds())
            ends = []

    calls, _ = read([os.path.join(ledgers, name) for name in ("ledger.1.jsonl", "ledger.jsonl")])
    asked = [
        call for call in calls
        if call["kind"] == "call" and inside(call["at"])
        and call["source"] != "cache" and call["outcome"] != "offline"
    ]
    answered = [call for call in asked if call["source"] in ("api", "cli")]

    with open(items, encoding="utf-8") as file:
        items = json.load(file)["data"]["items"]
    done = [item for item in items if item["status"] == "done" and inside(item["finished_at"])]
    between = lambda item, field: (
        moment(item["finished_at"]) - moment(item[field])
    ).total_seconds()
    lead = [max(between(item, "created_at"), 0) for item in done]
    cycle = [max(between(item, "claimed_at"), 0) for item in done if item["claimed_at"]]
    points = sum(item["points"] or 0 for item in done)

    def figure(value, sample, bad=None):
        return {"value": value, "sample": sample, "bad": bad, "bound": bad if bad is None else lower(sample, bad)}

    nothing = figure(None, 0)
    figures = {
        "availability": figure(100 * (len(ops) - len(faults)) / len(ops), len(ops), len(faults)) if ops else nothing,
        "claude-success": figure(100 * len(answered) / len(asked), len(asked), len(asked) - len(answered)) if asked else nothing,
        "memory": figure(max(memory) * 1024 / 1e6, len(memory)) if memory else nothing,
        "operations-per-hour": figure(max(hours.values()), len(ops)) if ops else nothing,
        "recovery": figure(max(lasted), len(lasted)) if lasted else nothing,
        "velocity": figure(points, len(done)) if points else nothing,
        "lead-time": figure(rank(lead, 0.5), len(lead)) if lead else nothing,
        "cycle-time": figure(rank(cycle, 0.5), len(cycle)) if cycle else nothing,
        "flow-efficiency": figure(100 * sum(cycle) / sum(lead), len(done)) if sum(lead) else nothing,
    }
    for name, share, limit in (("response-p95", 0.95, 100_000), ("response-p99", 0.99, 150_000)):
        longer = sum(1 for us in answers if us > limit)
        figures[name] = figure(rank(answers, share) / 1000, len(answers), longer) if answers else nothing
    print(json.dumps({"operations": len(ops), "bad_lines": bad_lines, "figures": figures}))


if __name__ == "__main__":
    {"seed": seed, "compute": compute}[sys.argv[1]](*sys.argv[2:])
