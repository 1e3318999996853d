// Plans for described fleets: one fleet a line in, one plan a line out. The comparison with an exact solver drives it.
import Decisions
import Foundation

let decoder = JSONDecoder()
let encoder = JSONEncoder()
encoder.outputFormatting = .sortedKeys
while let line = readLine() {
    do {
        let plan = try Balancing.plan(try decoder.decode(BalanceFleet.self, from: Data(line.utf8)))
        // Not print: a pipe would hold the line back, and whoever waits for it would wait for ever.
        FileHandle.standardOutput.write(try encoder.encode(plan) + Data("\n".utf8))
    } catch {
        FileHandle.standardOutput.write(Data(#"{"error": true}"#.utf8) + Data("\n".utf8))
        FileHandle.standardError.write(Data("\(error)\n".utf8))
    }
}
