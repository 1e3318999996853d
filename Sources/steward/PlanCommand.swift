import ArgumentParser
import Decisions
import Foundation

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Plans without touching anything.", subcommands: [PlanBalance.self])
}

struct PlanBalance: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "balance",
        abstract: "Plans the moves that even out a described fleet.",
        discussion: """
            Reads a fleet from a file (its form is in Docs/FleetFile.md), plans, and prints the plan with its objective. `-` reads one \
            fleet a line from standard input and prints one plan a line: for comparisons over many fleets.

                steward plan balance --fleet fleet.json
                steward plan balance --fleet fleet.json --format json
            """)

    /// The largest fleet file: 50,000 guests of 4 KiB each.
    static let fileMaximum = 200 << 20

    @Option(help: ArgumentHelp("The fleet's description, or - for standard input.", valueName: "file"))
    var fleet: String

    @Option(help: ArgumentHelp("text or json.", valueName: "format"))
    var format = Format.text

    @Option(help: ArgumentHelp("The seed of the search; equal fleets and seeds give equal plans.", valueName: "number"))
    var seed: UInt64 = 1

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text
        case json
    }

    func run() throws {
        if fleet == "-" {
            while let line = readLine() {
                do { try write(try plan(Data(line.utf8), "standard input")) } catch let failure as Failure {
                    FileHandle.standardOutput.write(Data("{\"error\":true}\n".utf8))
                    printError(failure.message)
                }
            }
            return
        }
        guard let data = FileManager.default.contents(atPath: fleet) else {
            throw Failure("the fleet file \(fleet) cannot be read: is the path right, and may you read it?", code: Failure.usage)
        }
        let found = try plan(data, fleet)
        try write(found)
        if !found.conflicts.isEmpty { throw ExitCode(Failure.other) }
    }

    private func plan(_ data: Data, _ name: String) throws -> BalancePlan {
        guard data.count <= PlanBalance.fileMaximum else {
            throw Failure("\(name) has \(data.count) bytes, more than \(PlanBalance.fileMaximum)", code: Failure.usage)
        }
        let described: BalanceFleet
        do { described = try JSONDecoder().decode(BalanceFleet.self, from: data) } catch let error as DecodingError {
            throw Failure("\(name): \(words(error)); the form is in Docs/FleetFile.md", code: Failure.usage)
        }
        do { return try Balancing.plan(described, seed: seed) } catch {
            throw Failure(error.messages.map { "\(name): \($0)" }.joined(separator: "\n"), code: Failure.usage)
        }
    }

    private func words(_ error: DecodingError) -> String {
        func place(_ path: [any CodingKey]) -> String {
            path.reduce("") { text, key in
                if let index = key.intValue { return "\(text)[\(index)]" }
                return text.isEmpty ? key.stringValue : "\(text).\(key.stringValue)"
            }
        }
        switch error {
        case .keyNotFound(let key, let context): return "\(place(context.codingPath + [key])) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "\(place(context.codingPath)): \(context.debugDescription)"
        case .dataCorrupted(let context): return "\(place(context.codingPath)) \(context.debugDescription)"
        @unknown default: return "\(error)"
        }
    }

    private func write(_ plan: BalancePlan) throws {
        switch format {
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            // Not print: a pipe would hold the line back, and whoever waits for it would wait for ever.
            FileHandle.standardOutput.write(try encoder.encode(plan) + Data("\n".utf8))
        case .text: print(plan.words)
        }
    }
}

extension BalancePlan {
    /// The plan for a person.
    var words: String {
        func number(_ value: Double) -> String { String((value * 10000).rounded() / 10000) }
        var lines = moves.map { "move \($0.guest): \($0.from) → \($0.to)" }
        if let noMoveReason { lines.append(noMoveReason) }
        lines += conflicts.map { "conflict: \($0)" } + broken.map { "broken: \($0)" }
        lines.append("objective \(number(objectiveBefore)) → \(number(objectiveAfter)), peak \(number(peakBefore)) → \(number(peakAfter))")
        return lines.joined(separator: "\n")
    }
}
