public import Fleet
import Synchronization
public import TimeSeries

/// The newest samples of every host, in memory: all that a scrape touches.
public final class LiveSnapshot: Sendable {
    private struct State {
        var mappers: [HostName: ReportMapper] = [:]
        var ticks: [HostName: [SourceTick]] = [:]
        var labels: [HostName: [Label]] = [:]
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
            var mapper = state.mappers[report.host] ?? ReportMapper(host: report.host, labels: state.labels[report.host] ?? [])
            let ticks = mapper.map(report)
            state.mappers[report.host] = mapper
            state.ticks[report.host] = ticks
            return ticks
        }
    }

    /// Takes the hosts of the configuration with the operator's labels of each; what is known of others is forgotten.
    ///
    /// Labels show on the host's `libvirt_node_info`.
    public func setHosts(_ hosts: [HostName: [Label]]) {
        state.withLock { state in
            state.mappers = state.mappers.filter { hosts[$0.key] != nil && hosts[$0.key] == state.labels[$0.key] }
            state.ticks = state.ticks.filter { hosts[$0.key] != nil }
            state.labels = hosts
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
