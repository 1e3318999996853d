import Fleet

/// What a power switch says.
public enum PowerReading: Hashable, Sendable {
    /// On.
    case on
    /// Off.
    case off
    /// It could not be read, for that reason.
    case dark(String)
}

/// How an attempt to switch a host off ended: what the agent said, and what the power was when read before and after it.
public struct FenceAttempt: Hashable, Sendable {
    /// The power before; off means that nothing was asked.
    public let before: PowerReading
    /// Why the agent did not report success; nil where it did, or was not asked.
    public let failure: String?
    /// Whether the agent ran into its deadline.
    public let isTimedOut: Bool
    /// The power after.
    public let after: PowerReading
}

/// A host's power switch, reached through a fence agent of the cluster world.
///
/// Agents take `name=value` lines on standard input and answer by their exit status (the FenceAgentAPI of ClusterLabs): for
/// `action=status` 0 is on and 2 is off; anything else is an error.
public struct FenceDevice: Sendable {
    /// The agent's program, a name to be found in PATH or a path.
    public let agent: String
    /// Its settings, without the action.
    public let settings: [String]

    /// The longest settings file: some twenty short lines.
    public static let settingsMaximum = 64 << 10

    /// A device from an agent and the lines that it reads, such as `ip=10.0.0.5`.
    ///
    /// Comments and empty lines are left out.
    public init(agent: String, settings text: String) throws(FenceDeviceError) {
        guard text.utf8.count <= FenceDevice.settingsMaximum else {
            throw FenceDeviceError("the settings of \(agent) are longer than \(FenceDevice.settingsMaximum) bytes")
        }
        var lines: [String] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty || line.first == "#" { continue }
            guard let equals = line.firstIndex(of: "="), equals != line.startIndex else {
                throw FenceDeviceError("line \(index + 1): '\(line)' is no name=value; write for example ip=10.0.0.5")
            }
            if line[..<equals] == "action" {
                throw FenceDeviceError("line \(index + 1): the action is Steward's to choose; take that line out")
            }
            lines.append(String(line))
        }
        guard !lines.isEmpty else { throw FenceDeviceError("there are no settings; write at least ip=, login= and password=") }
        self.agent = agent
        settings = lines
    }

    /// Reads the power.
    public func readPower(within limit: Duration = .seconds(10)) -> PowerReading {
        switch run("status", within: limit) {
        case .exited(0, _): .on
        case .exited(2, _): .off
        case .exited(let status, let words): .dark("\(agent) ended with status \(status): \(words)")
        case .timedOut: .dark("\(agent) did not answer within \(limit.operatorText)")
        case .notRun(let words): .dark(words)
        }
    }

    /// Switches off, unless it is off already, then reads the power: only that tells.
    public func powerOff(within limit: Duration) -> FenceAttempt {
        let before = readPower()
        if before == .off { return FenceAttempt(before: before, failure: nil, isTimedOut: false, after: .off) }
        var failure: String?
        var isTimedOut = false
        switch run("off", within: limit) {
        case .exited(0, _): break
        case .exited(let status, let words): failure = "\(agent) ended with status \(status): \(words)"
        case .timedOut:
            failure = "\(agent) did not end within \(limit.operatorText)"
            isTimedOut = true
        case .notRun(let words): failure = words
        }
        return FenceAttempt(before: before, failure: failure, isTimedOut: isTimedOut, after: readPower())
    }

    private func run(_ action: String, within limit: Duration) -> ProcessEnd {
        runProcess([agent], input: (settings + ["action=\(action)", ""]).joined(separator: "\n"), within: limit)
    }
}

/// Why a fence device cannot be used as described.
public struct FenceDeviceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, and what would be right.
    public let description: String
    init(_ description: String) { self.description = description }
}
