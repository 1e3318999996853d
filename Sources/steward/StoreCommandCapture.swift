import Collection
import Fleet
import TimeSeries

/// A capture as a collector would have seen it: host by host, tick by tick, through the same mapping.
struct CaptureTicks: ~Copyable {
    private struct Key: Hashable {
        let host: HostName
        let guest: GuestID
    }

    /// What one host answered at one instant, as far as it was read.
    private struct Pending {
        let host: HostName
        let time: Timestamp
        var readings: [CapturedReading] = []
        var node: NodeReading?
    }

    private var reader: CaptureReader
    private var described: [Key: (guest: CapturedGuest, description: GuestDescription?)] = [:]
    private var mappers: [HostName: ReportMapper] = [:]
    private var rosters: [HostName: SourceRoster] = [:]
    private var hostSchemas: [ObjectIdentifier: (whole: SourceSchema, kept: SourceSchema, columns: [Int])] = [:]
    private var pending: Pending?
    private var isDone = false

    init(path: String) throws(CaptureError) { reader = try CaptureReader(path: path) }

    /// The next host's readings at its next tick; nil after the last.
    mutating func next() throws -> (time: Timestamp, readings: [SourceTick])? {
        while !isDone {
            guard let record = try reader.next() else {
                isDone = true
                return flush(replacedBy: nil)
            }
            let previous: (Timestamp, [SourceTick])?
            switch record {
            case .guest(let guest):
                previous = nil
                let key = Key(host: guest.host, guest: guest.guest)
                described[key] = (guest, try guest.xml.map { try GuestDescription(domainXML: $0) } ?? described[key]?.description)
            case .reading(let reading):
                previous = begin(reading.host, reading.time)
                pending?.readings.append(reading)
            case .node(let time, let host, let node):
                previous = begin(host, time)
                pending?.node = node
            }
            if let previous { return previous }
        }
        return nil
    }

    private mutating func begin(_ host: HostName, _ time: Timestamp) -> (Timestamp, [SourceTick])? {
        if let pending, pending.host == host, pending.time == time { return nil }
        return flush(replacedBy: Pending(host: host, time: time))
    }

    private mutating func flush(replacedBy next: Pending?) -> (Timestamp, [SourceTick])? {
        defer { pending = next }
        guard let pending else { return nil }
        let guests = pending.readings.map { reading in
            let known = described[Key(host: reading.host, guest: reading.guest)]
            return GuestReport(
                reading: reading.domainReading(of: known?.guest), description: known?.description, condition: .whole,
                lastWhole: pending.time)
        }
        let report = LaneReport(
            host: pending.host, time: pending.time, isUp: true, guests: guests.sorted { $0.reading.guest < $1.reading.guest },
            node: pending.node, took: .zero, interval: .zero, counters: LaneCounters())
        var ticks = mappers[pending.host, default: ReportMapper(host: pending.host)].map(report)
        ticks[0] = hostsOwn(ticks[0])
        return (pending.time, rosters[pending.host, default: SourceRoster()].complete(ticks, at: pending.time))
    }

    /// The host's reading without what a collector counts of itself, of which a capture knows nothing.
    private mutating func hostsOwn(_ tick: SourceTick) -> SourceTick {
        let identity = ObjectIdentifier(tick.schema)
        if hostSchemas[identity] == nil {
            let columns = tick.schema.columns.indices.filter { tick.schema.columns[$0].metric.hasPrefix("libvirt_") }
            let kept = SourceSchema(labels: tick.schema.labels, columns: columns.map { tick.schema.columns[$0] })
            hostSchemas[identity] = (tick.schema, kept, columns)
        }
        guard let (_, kept, columns) = hostSchemas[identity] else { return tick }
        return SourceTick(
            schema: kept, time: tick.time, bits: columns.map { tick.bits[$0] }, presence: columns.map { tick.isPresent($0) })
    }
}
