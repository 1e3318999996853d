#!/usr/bin/env python3
"""Compares balancing plans with OR-tools CP-SAT on seeded fleets.

    swift build -c release --product steward
    python3 -m venv VENV && VENV/bin/pip install ortools==9.14.6206
    VENV/bin/python Tests/Peers/balance_against_cpsat.py --steward .build/release/steward

Every plan is checked here, by other code than the planner's: each step against every rule, and the objective computed anew.
"""
import argparse
import json
import random
import statistics
import subprocess
import sys
import time

from ortools.sat.python import cp_model

SCALE = 1_000_000


def fleet(seed):
    """3 to 12 hosts, up to 60 guests, rules on all, some rules in conflict."""
    rng = random.Random(seed)
    count = rng.randint(3, 12)
    hosts = []
    for index in range(count):
        size = rng.choice([1, 1, 1, 2])
        hosts.append({"name": f"h{index}", "zone": f"z{index % 3}", "capacity": {"cpu": 16000 * size, "memory": 65536 * size}})
    guests = []
    free = {host["name"]: dict(host["capacity"]) for host in hosts}
    skew = [rng.random() ** 2 + 0.05 for _ in hosts]
    for index in range(rng.randint(3 * count, min(60, 7 * count))):
        memory = rng.choice([1024, 2048, 4096, 8192, 16384])
        cpu = int(rng.choice([100, 500, 1000, 2000, 4000]) * rng.uniform(0.3, 1.2))
        for _ in range(20):
            host = rng.choices(hosts, skew)[0]["name"]
            if free[host]["memory"] >= memory * 1.05 and free[host]["cpu"] >= -2000:
                free[host]["memory"] -= memory
                free[host]["cpu"] -= cpu
                guests.append({
                    "name": f"g{index}", "host": host, "demand": {"cpu": cpu, "memory": memory}, "memory": memory * 1048576,
                    "dirty_rate": rng.randint(0, 50) * 1048576})
                break
    names = [guest["name"] for guest in guests]
    anti = [sorted(rng.sample(names, min(rng.randint(2, 3), len(names)))) for _ in range(rng.randint(1, 4))]
    affinity = [sorted(rng.sample(names, 2)) for _ in range(rng.randint(0, 2))]
    for guest in rng.sample(guests, max(1, len(guests) // 8)):
        guest["pinned"] = sorted({guest["host"]} | {rng.choice(hosts)["name"] for _ in range(2)})
    if rng.random() < 0.3:
        rng.choice(hosts)["cordoned"] = True
    if rng.random() < 0.1:
        anti.append(list(affinity[0]) if affinity else sorted(rng.sample(names, 2)))
        if not affinity:
            affinity.append(list(anti[-1]))
    return {"hosts": hosts, "guests": guests, "affinity": affinity, "anti_affinity": anti, "hard": ["memory"]}


def objective(described, place):
    hosts, guests = described["hosts"], described["guests"]
    peak = spread = 0.0
    for resource in ("cpu", "memory"):
        mean = sum(g["demand"][resource] for g in guests) / sum(h["capacity"][resource] for h in hosts)
        for host in hosts:
            load = sum(g["demand"][resource] for g in guests if place[g["name"]] == host["name"]) / host["capacity"][resource]
            peak = max(peak, load)
            spread += abs(load - mean)
    memory = sum(g["memory"] for g in guests)
    moved = sum(g["memory"] for g in guests if place[g["name"]] != g["host"])
    return peak + 0.1 * spread / (2 * len(hosts)) + 0.002 * len(guests) * moved / memory


def broken(described, place, only=None):
    """Rules that a placement breaks; `only` restricts the answer to what concerns one guest."""
    found = set()
    cordoned = {h["name"] for h in described["hosts"] if h.get("cordoned")}
    for guest in described["guests"]:
        host = place[guest["name"]]
        if guest.get("pinned") and host not in guest["pinned"]:
            found.add(("pin", guest["name"]))
        if host in cordoned and host != guest["host"]:
            found.add(("cordon", guest["name"]))
    for index, group in enumerate(described["anti_affinity"]):
        for left in group:
            for right in group:
                if left < right and place[left] == place[right]:
                    found.add(("anti", index, left, right))
    for index, group in enumerate(described["affinity"]):
        if len({place[name] for name in group}) > 1:
            found.add(("affinity", index))
    for host in described["hosts"]:
        used = sum(g["demand"]["memory"] for g in described["guests"] if place[g["name"]] == host["name"])
        if used > host["capacity"]["memory"]:
            found.add(("memory", host["name"]))
    return found


def exact(described, seconds, hint):
    model = cp_model.CpModel()
    hosts, guests = described["hosts"], described["guests"]
    x = {}
    for guest in guests:
        for host in hosts:
            x[guest["name"], host["name"]] = model.NewBoolVar("")
            if guest.get("pinned") and host["name"] not in guest["pinned"]:
                model.Add(x[guest["name"], host["name"]] == 0)
            if host.get("cordoned") and host["name"] != guest["host"]:
                model.Add(x[guest["name"], host["name"]] == 0)
            model.AddHint(x[guest["name"], host["name"]], int(hint[guest["name"]] == host["name"]))
        model.AddExactlyOne(x[guest["name"], host["name"]] for host in hosts)
    for group in described["anti_affinity"]:
        for host in hosts:
            model.AddAtMostOne(x[name, host["name"]] for name in group)
    for group in described["affinity"]:
        for host in hosts:
            for name in group[1:]:
                model.Add(x[group[0], host["name"]] == x[name, host["name"]])
    peak = model.NewIntVar(0, 4 * SCALE, "")
    spreads = []
    for resource in ("cpu", "memory"):
        mean = sum(g["demand"][resource] for g in guests) / sum(h["capacity"][resource] for h in hosts)
        for host in hosts:
            capacity = host["capacity"][resource]
            used = sum(g["demand"][resource] * x[g["name"], host["name"]] for g in guests)
            if resource == "memory":
                model.Add(used <= capacity)
            model.Add(peak * capacity >= used * SCALE)
            spread = model.NewIntVar(0, 4 * SCALE, "")
            level = round(mean * capacity * SCALE)
            model.Add(spread * capacity >= used * SCALE - level)
            model.Add(spread * capacity >= level - used * SCALE)
            spreads.append(spread)
    memory = sum(g["memory"] for g in guests)
    divisor = 2 * len(hosts) * 10
    cost = sum(
        round(0.002 * len(guests) * g["memory"] / memory * SCALE * divisor) * (1 - x[g["name"], g["host"]]) for g in guests)
    model.Minimize(peak * divisor + sum(spreads) + cost)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 2
    status = solver.Solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return status == cp_model.INFEASIBLE, None, 0.0
    place = {g["name"]: next(h["name"] for h in hosts if solver.Value(x[g["name"], h["name"]])) for g in guests}
    gap = (solver.ObjectiveValue() - solver.BestObjectiveBound()) / max(1.0, solver.ObjectiveValue())
    return False, place, gap


def greedy(described):
    """The plain greedy: the guest of the hottest host whose move to the coolest helps most, until none helps."""
    place = {g["name"]: g["host"] for g in described["guests"]}
    while True:
        best = (objective(described, place), None)
        before = len(broken(described, place))
        for guest in described["guests"]:
            for host in described["hosts"]:
                trial = dict(place, **{guest["name"]: host["name"]})
                if len(broken(described, trial)) <= before:
                    value = objective(described, trial) - (before - len(broken(described, trial)))
                    if value < best[0] - 1e-9:
                        best = (value, trial)
        if best[1] is None:
            return place
        place = best[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steward", required=True)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    fleets = [fleet(seed) for seed in range(options.first, options.first + options.seeds)]
    start = time.time()
    run = subprocess.run([options.steward, "plan", "balance", "--fleet", "-", "--format", "json"], input="\n".join(map(json.dumps, fleets)) + "\n", capture_output=True, text=True, check=True)
    print(f"planned {len(fleets)} fleets in {time.time() - start:.1f} s")
    ratios, nothing, simple, gaps, faults = [], [], [], [], 0
    infeasible = named = 0
    for index, (described, line) in enumerate(zip(fleets, run.stdout.splitlines())):
        seed = options.first + index
        plan = json.loads(line)
        place = {g["name"]: g["host"] for g in described["guests"]}
        start_broken = broken(described, place)
        torn = {name for group in described["affinity"] for name in group}
        for move in plan["moves"]:
            known = broken(described, place)
            if place[move["guest"]] != move["from"]:
                print(f"seed {seed}: {move} does not start where the guest is")
                faults += 1
            place[move["guest"]] = move["to"]
            new = {rule for rule in broken(described, place) - known if rule[0] != "affinity"}
            if new:
                print(f"seed {seed}: {move} breaks {new}")
                faults += 1
        ours = objective(described, place)
        if abs(ours - plan["objective_after"]) > 1e-6:
            print(f"seed {seed}: states {plan['objective_after']}, has {ours}")
            faults += 1
        left = broken(described, place)
        is_infeasible, best, gap = exact(described, options.seconds, place if not left else {g["name"]: g["host"] for g in described["guests"]})
        if is_infeasible:
            infeasible += 1
            named += bool(plan["conflicts"])
            continue
        if best is None:
            print(f"seed {seed}: the exact solver found nothing in time")
            continue
        if left:
            print(f"seed {seed}: still broken: {sorted(map(str, left))} (at the start {len(start_broken)})")
            faults += 1
            continue
        value = objective(described, best)
        ratios.append(ours / value)
        gaps.append(gap)
        nothing.append(objective(described, {g["name"]: g["host"] for g in described["guests"]}) / value)
        simple.append(objective(described, greedy(described)) / value)
        if ours / value > 1.02:
            print(f"seed {seed}: {ours:.4f} against {value:.4f}, {ours / value - 1:.1%}; gap of the exact solver {gap:.2%}")
    within = sum(ratio <= 1.02 for ratio in ratios) / len(ratios)
    print(f"feasible {len(ratios)}, infeasible {infeasible}, of which named {named}; faults {faults}")
    print(f"within 2 %: {within:.1%}; worst {max(ratios) - 1:.2%}; median {statistics.median(ratios) - 1:.2%}")
    print(f"the exact solver's own gap: median {statistics.median(gaps):.2%}, worst {max(gaps):.2%}")
    print(f"doing nothing: median {statistics.median(nothing) - 1:.1%} worse; plain greedy: median {statistics.median(simple) - 1:.1%}, "
          f"within 2 % in {sum(ratio <= 1.02 for ratio in simple) / len(simple):.1%}, worst {max(simple) - 1:.1%}")
    sys.exit(0 if faults == 0 and within >= 0.95 and max(ratios) <= 1.10 and named == infeasible else 1)


if __name__ == "__main__":
    main()
