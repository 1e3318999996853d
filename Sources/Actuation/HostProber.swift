public import Fleet
public import Libvirt
import Synchronization
import Threads

/// What one probe of a host saw.
public enum ProbeSight: Hashable, Sendable {
    /// libvirt answered.
    case answered
    /// Its address refuses connections: the machine lives, libvirtd does not.
    case refused
    /// The connection stands and libvirt does not answer: the machine lives, libvirtd is stuck.
    case hung
    /// Nothing came back.
    case silent
}

/// Probes one host about once a second, apart from collection and on a connection of its own.
///
/// libvirt is asked on a thread that may hang; whether the machine lives is then told by a TCP connection, which cannot hang.
public final class HostProber: Sendable {
    /// How long libvirt may take to answer before the probe looks at the machine itself.
    public static let answerDeadline = Duration.milliseconds(800)
    /// How long a TCP connection may take: a network that needs longer is as good as none.
    public static let reachDeadline = Duration.milliseconds(800)

    private let host: HostName
    private let address: ConnectionURI
    private let runtime: LibvirtRuntime
    private let interval: Duration
    private let tell: @Sendable (HostName, ProbeSight) -> Void
    private let state = Mutex(State())

    private struct State {
        var isAsking = false
        var isStopped = false
        var connection: LibvirtConnection?
    }

    /// A prober of a host; `tell` gets each sight, on the prober's thread.
    public init(
        _ host: HostName, address: ConnectionURI, runtime: LibvirtRuntime, interval: Duration,
        tell: @escaping @Sendable (HostName, ProbeSight) -> Void
    ) {
        self.host = host
        self.address = address
        self.runtime = runtime
        self.interval = interval
        self.tell = tell
    }

    /// Ends ``run()`` after the probe that is under way.
    public func stop() { state.withLock { $0.isStopped = true } }

    /// Probes until stopped; call it on a thread of its own.
    public func run() {
        var next = ContinuousClock.now
        while !state.withLock({ $0.isStopped }) {
            tell(host, probe())
            next = max(next + interval, ContinuousClock.now)
            let left = next - ContinuousClock.now
            if left > .zero { sleepFor(left) }
        }
    }

    /// One probe; takes at most the two deadlines together.
    private func probe() -> ProbeSight {
        if ask() { return .answered }
        switch address.reach(within: HostProber.reachDeadline) {
        case .accepted: return .hung
        case .refused: return .refused
        case .silent: return .silent
        case .unknown:
            // A local socket: if it cannot be asked, this machine, which is alive, has no libvirtd.
            return address.transport == .unix ? .refused : .silent
        }
    }

    /// Asks libvirt on a thread of its own, and never a second time while one question hangs.
    private func ask() -> Bool {
        let isFree = state.withLock { state -> Bool in
            if state.isAsking { return false }
            state.isAsking = true
            return true
        }
        guard isFree else { return false }
        let answer = Mailbox<Bool>()
        startThread(named: "probe \(host)") { [self] in
            let isWell = askNow()
            state.withLock { $0.isAsking = false }
            answer.put(isWell)
        }
        return answer.take(within: HostProber.answerDeadline).first ?? false
    }

    private func askNow() -> Bool {
        do throws(HypervisorError) {
            let kept = state.withLock { $0.connection }
            let connection: LibvirtConnection
            if let kept, kept.isAlive {
                connection = kept
            } else {
                kept?.close()
                connection = try LibvirtConnection(
                    to: address, host: host, access: .readOnly, preflight: HostProber.reachDeadline, runtime: runtime, events: nil)
                state.withLock { $0.connection = connection }
            }
            try connection.ping()
            return true
        } catch {
            // An error over a standing connection is an answer; anything else is looked at by TCP.
            return ![.unreachable, .disconnected, .timedOut, .failed, .refused].contains(error.kind)
        }
    }
}
