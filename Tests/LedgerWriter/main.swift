// Appends facts in batches of five and notes each batch that returned: the ledger's tests kill it at any instant.
import Fleet
import Foundation
import LedgerStorage
import Metering

let arguments = CommandLine.arguments
guard arguments.count == 4, let rounds = Int(arguments[3]) else {
    print("usage: ledger-writer LEDGER NOTES ROUNDS")
    exit(2)
}
let ledger = try Ledger(path: arguments[1])
let notes = open(arguments[2], O_WRONLY | O_APPEND)
for batch in 0..<rounds {
    let facts = (1...5).map { place in
        let number = UInt64(batch * 5 + place)
        return Fact(
            id: FactID(origin: "collector:1", ordinal: number), source: .event, host: "h1",
            seen: ClockReading(wall: Timestamp(seconds: 1000 + Int64(number)), steadyMilliseconds: Int64(number) * 1000, machine: "m"),
            body: .assignment(GuestID(high: 1, low: number), tenant: "acme"))
    }
    _ = try ledger.append(facts)
    write(notes, ".", 1)
}
