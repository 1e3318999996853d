#!/usr/bin/env python3
"""Asks a running Steward and a real Prometheus the same questions about the same samples, and compares the answers.

    query_against_prometheus.py http://127.0.0.1:9177 [MINUTES]

Takes the raw samples of the last MINUTES (10) out of Steward, loads them into an empty Prometheus through
`promtool tsdb create-blocks-from openmetrics`, asks both at instants and over ranges, and exits 1 where an answer differs by more
than 1e-9 of the largest number in it. Needs prometheus and promtool (Debian: prometheus).
"""
import json, math, os, shutil, socket, subprocess, sys, tempfile, time, urllib.error, urllib.parse, urllib.request

QUERIES = """
count(libvirt_domain_id)
libvirt_up
rate(libvirt_domain_cpu_time_seconds_total[1m])
sum by (host) (rate(libvirt_domain_cpu_time_seconds_total[2m]))
topk(2, rate(libvirt_domain_cpu_time_seconds_total[1m]))
bottomk by (host) (1, libvirt_domain_memory_rss_bytes)
irate(libvirt_domain_block_write_bytes_total[1m])
increase(libvirt_domain_interface_receive_bytes_total[3m])
delta(libvirt_domain_memory_rss_bytes[2m])
deriv(libvirt_domain_memory_rss_bytes[2m])
predict_linear(libvirt_domain_cpu_time_seconds_total[2m], 600)
avg_over_time(steward_tick_duration_seconds[2m])
stddev_over_time(steward_tick_duration_seconds[2m])
quantile_over_time(0.9, steward_tick_duration_seconds[2m])
max_over_time(rate(libvirt_domain_cpu_time_seconds_total[30s])[2m:15s])
changes(libvirt_domain_cpu_time_seconds_total[1m])
resets(libvirt_domain_cpu_time_seconds_total[2m])
quantile(0.5, libvirt_domain_cpu_time_seconds_total)
stddev by (host) (libvirt_domain_cpu_time_seconds_total)
count_values("cpus", libvirt_domain_vcpus_current)
rate(libvirt_domain_cpu_time_seconds_total[1m]) * on (host, uuid) group_left (tenant, group) libvirt_domain_info
sum by (host) (libvirt_domain_vcpus_current) / on (host) libvirt_node_cpus
libvirt_domain_cpu_time_seconds_total offset 1m
libvirt_domain_cpu_time_seconds_total > bool 10
libvirt_domain_memory_current_bytes and on (uuid) (libvirt_domain_vcpus_current > 0)
libvirt_domain_vcpus_current unless libvirt_domain_id
libvirt_up or libvirt_domain_id
absent(libvirt_domain_id{uuid="none"})
label_replace(libvirt_domain_id, "short", "$1", "uuid", "([0-9a-f]{4}).*")
sum without (uuid, domain) (libvirt_domain_block_read_bytes_total)
histogram_quantile(0.5, libvirt_up)
clamp_max(round(libvirt_domain_cpu_time_seconds_total, 0.1), 100)
-libvirt_domain_cpu_time_seconds_total ^ 2 % 7
hour(timestamp(libvirt_up)) + scalar(count(libvirt_up))
sort_desc(libvirt_domain_cpu_time_seconds_total)
libvirt_domain_vcpus_current + libvirt_domain_id{uuid=~".*"} * 0
""".strip().splitlines()
ERRORS = ["sum(", "rate(up)", "libvirt_domain_block_info * on (host) libvirt_domain_info", "up{a=~\"(\"}", "1 == 1", "foo bar"]


def ask(base, path, **form):
    data = urllib.parse.urlencode(form).encode()
    try:
        with urllib.request.urlopen(base + path, data, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def dump(steward, at, minutes, path):
    names = [n for n in ask_values(steward) if n.startswith(("libvirt_", "steward_tick"))]
    with open(path, "w") as out:
        count = 0
        for name in names:
            series = ask(steward, "/api/v1/query", query=f"{name}[{minutes}m]", time=at)["data"]["result"]
            out.write(f"# TYPE {name} unknown\n")
            for one in series:
                labels = ",".join(f'{k}={json.dumps(v, ensure_ascii=False)}' for k, v in one["metric"].items() if k != "__name__")
                for when, value in one["values"]:
                    out.write(f"{name}{{{labels}}} {value} {when:.3f}\n")
                    count += 1
        out.write("# EOF\n")
    return count


def ask_values(steward):
    with urllib.request.urlopen(steward + "/api/v1/label/__name__/values?start=%d" % (time.time() - 600), timeout=60) as answer:
        return json.load(answer)["data"]


def rows(answer):
    data = answer["data"]
    if data["resultType"] in ("scalar", "string"):
        return {"": [data["result"]]}
    return {json.dumps(s["metric"], sort_keys=True): s.get("values") or [s["value"]] for s in data["result"]}


def difference(left, right):
    if left["status"] != right["status"]:
        return f"{left['status']} and {right['status']}: {left.get('error')} | {right.get('error')}"
    if left["status"] != "success":
        return None
    a, b = rows(left), rows(right)
    if a.keys() != b.keys():
        return f"series: only in Steward {sorted(a.keys() - b.keys())[:3]}, only in Prometheus {sorted(b.keys() - a.keys())[:3]}"
    for key in a:
        if [t for t, _ in a[key]] != [t for t, _ in b[key]]:
            return f"other times in {key}"
        numbers = [(float(x), float(y)) for (_, x), (_, y) in zip(a[key], b[key])]
        largest = max((abs(y) for _, y in numbers if math.isfinite(y)), default=0)
        for x, y in numbers:
            if x != y and not (math.isnan(x) and math.isnan(y)) and not abs(x - y) <= 1e-9 * max(largest, 1e-300):
                return f"{x!r} and {y!r} in {key}"
    return None


def main():
    steward = sys.argv[1].rstrip("/")
    minutes = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    at = time.time() - 2
    folder = tempfile.mkdtemp(prefix="steward-peer-")
    server = None
    try:
        samples = dump(steward, at, minutes, f"{folder}/samples.txt")
        subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", f"{folder}/samples.txt", f"{folder}/data"],
            check=True, stdout=subprocess.DEVNULL)
        open(f"{folder}/empty.yml", "w").close()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/empty.yml", f"--storage.tsdb.path={folder}/data", "--storage.tsdb.retention.time=10y",
             f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=promql-at-modifier,promql-negative-offset"],
            stderr=open(f"{folder}/log", "w"))
        prometheus = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(prometheus + "/-/ready")
                break
            except OSError:
                time.sleep(0.1)
        failed = answered = 0
        for query in QUERIES + ERRORS:
            instants = [dict(query=query, time=f"{at - back:.3f}") for back in (0, 37.3)]
            ranges = [dict(query=query, start=f"{at - 180:.3f}", end=f"{at:.3f}", step="7")]
            for path, forms in (("/api/v1/query", instants), ("/api/v1/query_range", ranges)):
                for form in forms:
                    answered += 1
                    left, right = ask(steward, path, **form), ask(prometheus, path, **form)
                    problem = difference(left, right)
                    if problem:
                        failed += 1
                        print(f"{path} {form}: {problem}")
        print(f"{answered - failed} of {answered} answers agree, over {samples} samples")
        return 1 if failed else 0
    finally:
        if server:
            server.terminate()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
