// Plans for described fleets: one fleet a line in, one plan a line out. The comparison with an exact solver drives it.
import Decisions
import Foundation

let decoder = JSONDecoder()
let encoder = JSONEncoder()
encoder.outputFormatting = .sortedKeys
while let line = readLine() {
    do {
        let plan = try Balancing.plan(try decoder.decode(BalanceFleet.self, from: Data(line.utf8)))
        print(String(decoding: try encoder.encode(plan), as: UTF8.self))
    } catch {
        print(#"{"error": true}"#)
        FileHandle.standardError.write(Data("\(error)\n".utf8))
    }
}
