public import Fleet
import Synchronization
public import TimeSeries

/// The newest samples of every host, in memory: all that a scrape touches.
public final class LiveSnapshot: Sendable {
    private struct State {
        var mappers: [HostName: ReportMapper] = [:]
        var ticks: [HostName: [SourceTick]] = [:]
    }

    private let state = Mutex(State())

    /// A snapshot with nothing in it yet.
    public init() {}

    /// Takes a lane's report in; what the host no longer lists is gone from the next snapshot.
    ///
    /// - Returns: the samples of the report, for whoever keeps them.
    @discardableResult
    public func take(_ report: LaneReport) -> [SourceTick] {
        state.withLock { state in
            var mapper = state.mappers[report.host] ?? ReportMapper(host: report.host)
            let ticks = mapper.map(report)
            state.mappers[report.host] = mapper
            state.ticks[report.host] = ticks
            return ticks
        }
    }

    /// Forgets the hosts that are not in `hosts`: they were taken out of the configuration.
    public func keepOnly(_ hosts: [HostName]) {
        state.withLock { state in
            state.mappers = state.mappers.filter { hosts.contains($0.key) }
            state.ticks = state.ticks.filter { hosts.contains($0.key) }
        }
    }

    /// The newest samples, host by host in the order of their names.
    public var ticks: [SourceTick] {
        let byHost = state.withLock { $0.ticks }
        return byHost.keys.sorted().flatMap { byHost[$0] ?? [] }
    }

    /// How many hosts have been heard of, answering or not.
    public var hostsSeen: Int { state.withLock { $0.ticks.count } }
}
