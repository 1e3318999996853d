public import Fleet
public import TimeSeries

/// Turns a lane's reports into the samples of its host: the host's own, its pools' and its guests'.
public struct ReportMapper: Sendable {
    private let host: HostName
    private var hostMapper: HostMapper
    private var guests: [GuestID: GuestMapper] = [:]
    private var pools: [String: PoolMapper] = [:]

    /// A mapper for one host; `labels` are the operator's, for the series that describes the host.
    public init(host: HostName, labels: [Label] = []) {
        self.host = host
        hostMapper = HostMapper(host: host, labels: labels)
    }

    /// The samples of one report: the host, then its pools as reported, then its guests as reported, active before inactive.
    ///
    /// A silent host has its own series only: nothing is known of its guests. A guest that an answering host no longer lists is
    /// forgotten, and with the next snapshot its series are gone.
    public mutating func map(_ report: LaneReport, mapNanoseconds: UInt64? = nil) -> [SourceTick] {
        let jobs = Dictionary(report.jobs.map { ($0.guest, $0) }, uniquingKeysWith: { first, _ in first })
        let active = report.guests.map { mapGuest($0, job: jobs[$0.reading.guest], at: report.time) }
        let inactive = report.inactive.map { reading in
            mapGuest(GuestReport(reading: reading, description: nil, condition: .whole, lastWhole: nil), job: nil, at: report.time)
        }
        let partial = report.guests.count { $0.condition != .stuck && guests[$0.reading.guest]?.isPartial == true }
        let own = hostMapper.map(report, partial: partial, mapNanoseconds: mapNanoseconds)
        let pools = mapPools(report)
        if report.isUp { forget(allBut: Set(report.guests.map(\.reading.guest) + report.inactive.map(\.guest))) }
        return [own] + pools + active + inactive
    }

    private mutating func mapGuest(_ guest: GuestReport, job: JobReading?, at time: Timestamp) -> SourceTick {
        var mapper = guests[guest.reading.guest] ?? GuestMapper(host: host, guest: guest.reading.guest)
        // An inactive guest keeps what its XML said while it ran.
        if let description = guest.description { mapper.describe(description) }
        let tick =
            guest.condition == .stuck ? mapper.stuck(name: guest.reading.name, at: time) : mapper.map(guest.reading, job: job, at: time)
        guests[guest.reading.guest] = mapper
        return tick
    }

    private mutating func mapPools(_ report: LaneReport) -> [SourceTick] {
        report.pools.map { pool in
            var mapper = pools[pool.name] ?? PoolMapper(host: host, pool: pool.name)
            let tick = mapper.map(pool, at: report.poolsRead ?? report.time)
            pools[pool.name] = mapper
            return tick
        }
    }

    private mutating func forget(allBut present: Set<GuestID>) {
        guests = guests.filter { present.contains($0.key) }
    }
}
