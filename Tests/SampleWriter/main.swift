// Writes readings until it is killed, and says on standard output what was acknowledged: `tick <host> <time>`.
//
// A tick of a host is a function of its number alone, so that the test can tell what every sample must be. Usage:
// sample-writer FOLDER SEED [SEAL-EVERY]

import Fleet
import Glibc
import Storage
import TimeSeries

let arguments = CommandLine.arguments
guard arguments.count >= 3, let seed = UInt64(arguments[2]) else { exit(64) }
let sealEvery = arguments.count > 3 ? Int(arguments[3]) ?? 50 : 50

@Sendable func say(_ text: String) {
    _ = text.withCString { write(STDOUT_FILENO, $0, strlen($0)) }
}

do {
    let folder = try DataFolder(path: arguments[1])
    var options = SampleStoreOptions()
    options.sealSamples = 600
    options.sealTicks = 20
    options.partitionSpan = .seconds(400)
    options.syncInterval = .milliseconds(100)
    options.acknowledged = { acknowledgements in
        // One write a commit: a pipe takes up to 4096 bytes whole.
        say(acknowledgements.map { "tick \($0.host) \($0.time.milliseconds)\n" }.joined())
    }
    let store = try SampleStore.open(folder: folder, options: options)
    let made = (0..<3).map { host in
        (0..<2).map { guest in
            SourceSchema(
                labels: LabelSet([Label("host", "h\(host)"), Label("uuid", "g\(guest)")]),
                columns: [Column(metric: "count"), Column(metric: "hash"), Column(metric: "still")])
        }
    }
    var tick = Int64((store.stats().newest?.milliseconds ?? 0) / 1000) + 1
    say("open \(tick)\n")
    while true {
        for host in made {
            let time = Timestamp(seconds: tick)
            store.appendWaiting(
                host.map { SourceTick(schema: $0, time: time, bits: [UInt64(tick) * 3, UInt64(tick) &* 0x9e37_79b9_7f4a_7c15, 7]) })
        }
        if Int(tick) % sealEvery == 0 { try store.seal(now: Timestamp(seconds: tick)) }
        tick += 1
    }
} catch {
    say("failed \(error)\n")
    exit(1)
}
