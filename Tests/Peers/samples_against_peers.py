#!/usr/bin/env python3
"""Feeds the same samples to Steward, Prometheus and VictoriaMetrics, and prints size, cost and answers side by side.

    samples_against_peers.py SET --corpus CAPTURE --work DIR --bin DIR [--series N] [--ticks N]

SET is day or month. The fleet is bootstrapped from the capture by steward-bench, which also writes it as OpenMetrics text, a file for
each of Prometheus' block windows. A peer that is not installed is left out and said so. Sizes are allocated bytes; times are CPU seconds
of the process that does the work, each held to one core.
"""
import argparse, json, os, re, resource, shutil, signal, subprocess, sys, time, urllib.parse, urllib.request

# Prometheus' own block ranges, 2 h times powers of 3, and about a tenth of the month or more.
WINDOW = {"day": 18 * 3600, "month": 162 * 3600}


def allocated(*paths):
    total = 0
    for path in paths:
        for folder, _, files in os.walk(path):
            for name in files:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total


def run(command, **more):
    """Runs on one core; returns (CPU seconds, wall seconds, output)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run(["taskset", "-c", "1"] + command, env=dict(os.environ, GOMAXPROCS="1"), stdout=subprocess.PIPE, text=True, **more)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - start, done.stdout


def drop_from_cache(path):
    """Asks the kernel to forget the pages of all files below a path."""
    for folder, _, files in os.walk(path):
        for name in files:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


class Server:
    def __init__(self, command, url):
        self.url = url
        self.process = subprocess.Popen(
            ["taskset", "-c", "1"] + command, env=dict(os.environ, GOMAXPROCS="1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(url + "/-/ready", timeout=2)
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    sys.exit(f"{command[0]} does not answer at {url}")
                time.sleep(0.05)

    def cpu(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self):
        return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read())[1])

    def get(self, path, **query):
        with urllib.request.urlopen(self.url + path + "?" + urllib.parse.urlencode(query), timeout=600) as answer:
            return answer.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def figures(line):
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def key(name, labels):
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}"


def parse_text(lines):
    """{series: {milliseconds: value}} of sample lines with seconds (OpenMetrics)."""
    found = {}
    for line in lines:
        if line.startswith("#"):
            continue
        prefix, value, at = line.rsplit(" ", 2)
        found.setdefault(prefix, {})[round(float(at) * 1000)] = float(value)
    return {normal(prefix): samples for prefix, samples in found.items()}


def normal(prefix):
    name, _, rest = prefix.partition("{")
    return key(name, dict(re.findall(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', rest)))


def changed(reference, answered):
    """(samples missing, samples with another value)."""
    missing = wrong = 0
    for series, samples in reference.items():
        other = answered.get(series, {})
        for at, value in samples.items():
            if at not in other:
                missing += 1
            elif other[at] != value:
                wrong += 1
    return missing, wrong


class Bench:
    def __init__(self, options):
        self.o = options
        self.work = os.path.join(options.work, options.set)
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        self.rows = []

    def path(self, name):
        return os.path.join(self.work, name)

    def texts(self):
        return [self.path("text/" + name) for name in sorted(os.listdir(self.path("text")))]

    def native(self):
        command = [
            self.o.bin + "/steward-bench", "store", self.o.set, "--corpus", self.o.corpus, "--data", self.path("native"), "--text",
            self.path("text"), "--window", str(WINDOW[self.o.set])]
        for name in ("series", "ticks"):
            if getattr(self.o, name):
                command += ["--" + name, str(getattr(self.o, name))]
        _, _, output = run(command)
        print(output, end="")
        found = {}
        for line in output.splitlines():
            found.update(figures(line))
        self.samples = int(found["samples"])
        self.start, self.end = int(found["start_seconds"]), int(found["end_seconds"])
        self.rows.append(("Steward, collected", allocated(self.path("native")), float(found["ingest_cpu_s"]), int(found["peak_kib"])))
        drop_from_cache(self.path("native"))
        print(run([self.o.bin + "/steward-bench", "store", "read", "--data", self.path("native")])[2], end="")
        # A tenth of the hosts is compared, every sample of them.
        self.reference = parse_text(line for text in self.texts() for line in open(text) if 'host="host-0"' in line)

    def imported(self):
        cpu, wall, _ = run([self.o.bin + "/steward", "store", "import", "--format", "openmetrics", "--data", self.path("imported"), *self.texts()])
        self.rows.append(("Steward, imported", allocated(self.path("imported")), cpu, None))
        print(f"import peer=steward cpu_s={cpu:.2f} wall_s={wall:.2f}")
        for name in ("native", "imported"):
            _, _, text = run(
                [self.o.bin + "/steward", "store", "export", "--data", self.path(name), "--match", "host=host-0"], stderr=subprocess.DEVNULL)
            missing, wrong = changed(self.reference, parse_text(text.splitlines()))
            print(f"answers peer=steward-{name} missing={missing} changed={wrong}")

    def prometheus(self):
        if not shutil.which("promtool"):
            return print("prometheus is not installed: left out")
        cpu = wall = 0
        for text in self.texts():
            more = run(["promtool", "tsdb", "create-blocks-from", "openmetrics", f"--max-block-duration={WINDOW[self.o.set]}s", text, self.path("prometheus")])
            cpu, wall = cpu + more[0], wall + more[1]
        self.rows.append(("Prometheus", allocated(self.path("prometheus")), cpu, None))
        print(f"import peer=prometheus cpu_s={cpu:.2f} wall_s={wall:.2f} blocks={len(os.listdir(self.path('prometheus')))}")
        open(self.path("prometheus.yml"), "w").write("global: {}\n")
        drop_from_cache(self.path("prometheus"))
        server = Server(
            ["prometheus", "--config.file=" + self.path("prometheus.yml"), "--storage.tsdb.path=" + self.path("prometheus"),
             "--storage.tsdb.retention.time=100y", "--web.listen-address=127.0.0.1:19090", "--log.level=error",
             "--query.max-samples=500000000"], "http://127.0.0.1:19090")
        self.ask(server, "prometheus")
        server.stop()

    def victoria(self):
        if not shutil.which("victoria-metrics"):
            return print("victoria-metrics is not installed: left out")
        server = Server(
            ["victoria-metrics", "-storageDataPath=" + self.path("victoria"), "-retentionPeriod=100y", "-httpListenAddr=127.0.0.1:18428",
             "-search.maxUniqueTimeseries=10000000", "-search.maxPointsPerTimeseries=10000000", "-search.maxSamplesPerQuery=1000000000"],
            "http://127.0.0.1:18428")
        before, start = server.cpu(), time.monotonic()
        for text in self.texts():
            self.post(server, text)
        server.get("/internal/force_flush")
        imported = server.cpu() - before
        wall = time.monotonic() - start
        server.get("/internal/force_merge")
        # The merge runs on after the answer; it is over when the process has been still for a while.
        still, last = 0, server.cpu()
        while still < 10:
            time.sleep(0.5)
            now = server.cpu()
            still = still + 1 if now - last < 0.05 else 0
            last = now
        peak = server.peak()
        merged = server.cpu() - before
        server.stop()
        size = allocated(self.path("victoria/data"), self.path("victoria/indexdb"))
        self.rows.append(("VictoriaMetrics", size, imported, peak))
        print(f"import peer=victoriametrics cpu_s={imported:.2f} with_merges_cpu_s={merged:.2f} wall_s={wall:.2f}")
        drop_from_cache(self.path("victoria"))
        server = Server(server.process.args[3:], server.url)
        self.ask(server, "victoriametrics")
        server.stop()

    def post(self, server, text):
        """In pieces of 64 MiB at line ends, as a client would that has not all in memory."""
        with open(text, "rb") as file:
            while piece := file.read(64 << 20):
                piece += file.readline()
                urllib.request.urlopen(urllib.request.Request(server.url + "/api/v1/import/prometheus", data=piece), timeout=600).read()

    def ask(self, server, name):
        span = self.end - self.start + 60
        for what, query in (("one_guest_all_series", '{domain="guest-7"}'), ("one_metric_all_guests", "libvirt_domain_cpu_time_seconds_total")):
            start = time.monotonic()
            answer = server.get("/api/v1/query", query=f"{query}[{min(span, 86_460)}s]", time=self.start + min(span, 86_400))
            took = time.monotonic() - start
            series = json.loads(answer)["data"]["result"]
            count = sum(len(one["values"]) for one in series)
            print(f"select peer={name} name={what} ms={took * 1000:.1f} series={len(series)} samples={count} (over HTTP, as JSON)")
        answered = {}
        answer = json.loads(server.get("/api/v1/query", query='{host="host-0"}' + f"[{span}s]", time=self.end + 30))
        for one in answer["data"]["result"]:
            labels = dict(one["metric"])
            metric = labels.pop("__name__")
            answered[key(metric, labels)] = {round(float(at) * 1000): float(value) for at, value in one["values"]}
        missing, wrong = changed(self.reference, answered)
        print(f"answers peer={name} missing={missing} changed={wrong} of={sum(len(s) for s in self.reference.values())}")

    def table(self):
        sizes = dict((name, size) for name, size, _, _ in self.rows)
        print(f"\nset={self.o.set} samples={self.samples}")
        print(f"{'':22}{'bytes/sample':>14}{'CPU s':>9}{'M samples/CPU s':>17}{'peak MiB':>10}")
        for name, size, cpu, peak in self.rows:
            memory = f"{peak / 1024:.0f}" if peak else ""
            print(f"{name:22}{size / self.samples:14.3f}{cpu:9.2f}{self.samples / cpu / 1e6:17.2f}{memory:>10}")
        for name in ("Steward, collected", "Steward, imported"):
            for peer in ("VictoriaMetrics", "Prometheus"):
                if peer in sizes:
                    print(f"{name} / {peer}: {sizes[name] / sizes[peer]:.3f} of its bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=sorted(WINDOW))
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--series", type=int)
    parser.add_argument("--ticks", type=int)
    bench = Bench(parser.parse_args())
    bench.native()
    bench.imported()
    bench.prometheus()
    bench.victoria()
    bench.table()


main()
