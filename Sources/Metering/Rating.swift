public import Fleet

/// Which usage a report is about; what is nil or empty fits everything.
public struct UsageFilter: Hashable, Sendable {
    /// Only this tenant.
    public var tenant: String?
    /// Only this group.
    public var group: String?
    /// Only this zone.
    public var zone: String?
    /// Only guests with all of these tags.
    public var tags: [GuestMetadata.Tag] = []
    /// Only this guest, its disks and its traffic.
    public var guest: GuestID?
    /// Only this host.
    public var host: HostName?

    /// A filter that fits everything.
    public init(
        tenant: String? = nil, group: String? = nil, zone: String? = nil, tags: [GuestMetadata.Tag] = [], guest: GuestID? = nil,
        host: HostName? = nil
    ) {
        self.tenant = tenant
        self.group = group
        self.zone = zone
        self.tags = tags
        self.guest = guest
        self.host = host
    }

    func fits(_ shape: GuestShape?) -> Bool {
        (tenant == nil || shape?.tenant == tenant) && (group == nil || shape?.group == group) && (zone == nil || shape?.zone == zone)
            && tags.allSatisfy { shape?.tags.contains($0) == true }
    }
}

/// What a piece of usage is and what one unit of it costs.
struct RatePart: Hashable {
    let meter: Meter
    let sku: String
    let unit: UsageUnit
    /// The index of the price book; -1 where none is in force.
    let book: Int32
    /// nil where the book has no price for it.
    let price: Price?
    /// The step of a stepped price, from 0.
    let tier: Int32
    let keptPartsPerMillion: Int

    var unitPrice: Int128? { price.map { $0.tiers[Int(tier)].trillionths } }
    var isStepped: Bool { (price?.tiers.count ?? 0) > 1 }

    func on(tier: Int) -> RatePart {
        RatePart(
            meter: meter, sku: sku, unit: unit, book: book, price: price, tier: Int32(tier), keptPartsPerMillion: keptPartsPerMillion)
    }
}

/// Usage of one part over one stretch of time.
struct RatedPiece {
    var part: Int32
    var from: Int64
    /// Equal to `from` for what is charged at an instant.
    var to: Int64
    var usage: Int128
    let guest: Int32
    let volume: Int32
    let shape: Int32
    let host: Int32
    let state: SpanState
    let evidence: Evidence

    var resource: (Int32, Int32, Int32) { (guest, volume, host) }
}

/// Seconds of guests' lives by what became of them; the last three add up to the first.
public struct SecondsTally: Hashable, Sendable {
    /// Of all lives in the window.
    public var life: Int64 = 0
    /// Billed.
    public var billed: Int64 = 0
    /// Known and free.
    public var free: Int64 = 0
    /// Unknown, hence free.
    public var unknown: Int64 = 0
    /// The billed ones by evidence, in the order of ``Evidence``.
    public var billedByEvidence: [Int64] = Array(repeating: 0, count: Evidence.allCases.count)

    /// No seconds.
    public init() {}

    /// What is missing or counted twice; always 0.
    public var remainder: Int64 { life - billed - free - unknown }
}

/// Turns spans into rated pieces. One brain for reports, invoices, previews, counters and explanations.
struct Rater {
    struct Slice {
        let interval: Interval
        let book: Int32
        let catalogue: Int32
        let table: BillableTable?
    }

    let spans: SpanBook
    let tariff: Tariff
    let filter: UsageFilter
    private(set) var parts = Interner<RatePart>()
    private(set) var tally = SecondsTally()
    private(set) var mismatches: [Int32: (second: Int64, message: String)] = [:]
    private var guestParts: [UInt64: [(part: Int32, factor: Int128)]] = [:]
    private var volumeParts: [UInt64: Int32] = [:]
    private var volumeKeyPlaces = Interner<VolumeRateKey>()
    private let fitting: [Bool]
    private let fitsNone: Bool
    private let guestIndex: Int32?
    private let hostIndex: Int32?
    private var mismatchShapes: [UInt64: String?] = [:]

    private struct VolumeRateKey: Hashable {
        let kind: VolumeFact.Kind
        let hints: Int32
        let shape: Int32
        let book: Int32
        let catalogue: Int32
    }

    init(spans: SpanBook, tariff: Tariff, filter: UsageFilter) {
        self.spans = spans
        self.tariff = tariff
        self.filter = filter
        fitting = spans.shapes.map { filter.fits($0) }
        fitsNone = filter.fits(nil)
        guestIndex = filter.guest.map { spans.index(of: $0).map { Int32($0) } ?? -2 }
        hostIndex = filter.host.map { name in spans.hosts.firstIndex(of: name).map { Int32($0) } ?? -2 }
    }

    /// The window cut at every change of prices, types and table, and at `cuts`.
    func slices(_ window: Interval, cuts: [Int64] = []) -> [Slice] {
        var bounds: Set<Int64> = [window.from, window.to]
        bounds.formUnion(cuts)
        for entry in tariff.books.entries { bounds.formUnion([entry.interval.from, entry.interval.to]) }
        for entry in tariff.catalogues.entries { bounds.formUnion([entry.interval.from, entry.interval.to]) }
        for entry in tariff.tables.entries { bounds.formUnion([entry.interval.from, entry.interval.to]) }
        let sorted = bounds.filter { $0 >= window.from && $0 <= window.to }.sorted()
        return zip(sorted, sorted.dropFirst()).map { from, to in
            Slice(
                interval: Interval(from: from, to: to), book: Int32(tariff.books.index(at: from) ?? -1),
                catalogue: Int32(tariff.catalogues.index(at: from) ?? -1),
                table: tariff.tables.index(at: from).map { tariff.tables.entries[$0].value })
        }
    }

    func fits(shape: Int32) -> Bool { shape >= 0 ? fitting[Int(shape)] : fitsNone }

    private var guestsInQuestion: [Int] {
        if let guestIndex { return guestIndex >= 0 ? [Int(guestIndex)] : [] }
        if let tenant = filter.tenant { return (spans.guestsByTenant[tenant] ?? []).map { Int($0) } }
        return Array(spans.guests.indices)
    }

    /// Hands every rated piece within the slices to `emit`, flat and stepped prices alike; stepped ones still on step 0.
    mutating func rate(_ slices: [Slice], emit: (RatedPiece) -> Void) {
        guard let first = slices.first, let last = slices.last else { return }
        let window = Interval(from: first.interval.from, to: last.interval.to)
        for guest in guestsInQuestion {
            rateGuest(guest, slices, window, emit)
            rateTraffic(guest, slices, window, emit)
        }
        if let tenant = filter.tenant {
            for volume in spans.volumesByTenant[tenant] ?? [] { rateVolume(Int(volume), slices, emit) }
        } else {
            for volume in spans.volumes.indices { rateVolume(volume, slices, emit) }
        }
    }

    private mutating func rateGuest(_ guest: Int, _ slices: [Slice], _ window: Interval, _ emit: (RatedPiece) -> Void) {
        var slice = 0
        for index in spans.spanRanges[guest] {
            let span = spans.spans[index]
            if span.interval.to <= window.from { continue }
            if span.interval.from >= window.to { break }
            guard fits(shape: span.shape), hostIndex == nil || hostIndex == span.host else { continue }
            while slice > 0, slices[slice].interval.from > span.interval.from { slice -= 1 }
            while slice < slices.count, slices[slice].interval.from < span.interval.to {
                let piece = span.interval.clipped(to: slices[slice].interval)
                if piece.seconds > 0 { rateSpan(span, piece, slices[slice], emit) }
                if slices[slice].interval.to > span.interval.to { break }
                slice += 1
            }
            if slice == slices.count { slice -= 1 }
        }
        rateMinimums(guest, slices, window, emit)
    }

    private mutating func rateSpan(_ span: GuestSpan, _ interval: Interval, _ slice: Slice, _ emit: (RatedPiece) -> Void) {
        let seconds = interval.seconds
        tally.life += seconds
        guard span.evidence != .unknown, span.state.code != 8 else {
            tally.unknown += seconds
            return
        }
        let compute = slice.table?.bills(.compute, in: span.state) == true
        if compute {
            tally.billed += seconds
            tally.billedByEvidence[Int(span.evidence.rawValue)] += seconds
        } else {
            tally.free += seconds
        }
        let reserved = !compute && slice.table?.bills(.reservedMemory, in: span.state) == true
        guard compute || reserved else { return }
        if compute, span.shape >= 0 { noteMismatch(span, slice, at: interval.from) }
        for (part, factor) in parts(of: span.shape, compute ? .compute : .reservedMemory, slice) {
            emit(
                RatedPiece(
                    part: part, from: interval.from, to: interval.to, usage: factor * Int128(seconds), guest: span.guest, volume: -1,
                    shape: span.shape, host: span.host, state: span.state, evidence: span.evidence))
        }
    }

    private mutating func noteMismatch(_ span: GuestSpan, _ slice: Slice, at second: Int64) {
        guard slice.catalogue >= 0 else { return }
        let key = UInt64(UInt32(bitPattern: span.shape)) << 32 | UInt64(UInt32(bitPattern: slice.catalogue))
        let message: String?
        if let known = mismatchShapes[key] {
            message = known
        } else {
            message = tariff.catalogues.entries[Int(slice.catalogue)].value.resolve(spans.shapes[Int(span.shape)]).mismatch
            mismatchShapes[key] = .some(message)
        }
        if let message, mismatches[span.guest] == nil { mismatches[span.guest] = (second, message) }
    }

    /// What one second of a shape counts on a meter: one part for an instance type or reserved memory, two for `custom`.
    private mutating func parts(of shape: Int32, _ meter: Meter, _ slice: Slice) -> [(part: Int32, factor: Int128)] {
        let key =
            UInt64(UInt32(bitPattern: shape)) << 32 | UInt64(UInt16(truncatingIfNeeded: slice.book)) << 16
            | UInt64(UInt16(truncatingIfNeeded: slice.catalogue) & 0xFFF) << 4 | UInt64(meter.rawValue)
        if let known = guestParts[key] { return known }
        let book = slice.book >= 0 ? tariff.books.entries[Int(slice.book)].value : nil
        let what = shape >= 0 ? spans.shapes[Int(shape)] : nil
        let kept = book?.keptPartsPerMillion(tenant: what?.tenant, meter: meter) ?? 1_000_000
        func part(_ sku: String, _ unit: UsageUnit, _ price: Price?) -> Int32 {
            parts.index(
                RatePart(meter: meter, sku: sku, unit: unit, book: slice.book, price: price, tier: 0, keptPartsPerMillion: kept))
        }
        var result: [(part: Int32, factor: Int128)] = []
        if meter == .reservedMemory {
            result = [(part("memory", .gibibyteHours, book?.reservedMemory), Int128(what?.memory.count ?? 0))]
        } else if let what {
            let catalogue = slice.catalogue >= 0 ? tariff.catalogues.entries[Int(slice.catalogue)].value : nil
            if let type = catalogue?.resolve(what).type {
                result = [(part(type, .hours, Rater.price(book?.instances[type], for: meter)), 1)]
            } else {
                result = [
                    (part("custom vCPU", .vcpuHours, Rater.price(book?.customVCPU, for: meter)), Int128(what.vcpus)),
                    (part("custom memory", .gibibyteHours, Rater.price(book?.customMemory, for: meter)), Int128(what.memory.count)),
                ]
            }
        } else {
            // No description was ever read: there is nothing to price it by, and that is said aloud.
            result = [(part("unknown size", .hours, nil), 1)]
        }
        guestParts[key] = result
        return result
    }

    /// A minimum is charged at the first step of a stepped price.
    private static func price(_ price: Price?, for meter: Meter) -> Price? {
        meter == .minimum ? price.map { Price(trillionths: $0.tiers[0].trillionths) } : price
    }

    /// The top-up of each start: the whole of it belongs to the second of the start, so that reports add up.
    private mutating func rateMinimums(_ guest: Int, _ slices: [Slice], _ window: Interval, _ emit: (RatedPiece) -> Void) {
        for index in spans.sessionRanges[guest] {
            let session = spans.sessions[index]
            guard session.startSeen, session.start >= window.from, session.start < window.to, fits(shape: session.shape),
                hostIndex == nil || hostIndex == session.host,
                let slice = slices.first(where: { $0.interval.from <= session.start && session.start < $0.interval.to }), slice.book >= 0
            else { continue }
            let minimum = tariff.books.entries[Int(slice.book)].value.minimumSeconds
            guard minimum > 0 else { continue }
            let missing = minimum - billedSeconds(of: Int32(index), guest: guest, enough: minimum)
            guard missing > 0 else { continue }
            for (part, factor) in parts(of: session.shape, .minimum, slice) {
                emit(
                    RatedPiece(
                        part: part, from: session.start, to: session.start, usage: factor * Int128(missing), guest: session.guest,
                        volume: -1, shape: session.shape, host: session.host, state: SpanState(.running, reason: 1), evidence: .observed))
            }
        }
    }

    private func billedSeconds(of session: Int32, guest: Int, enough: Int64) -> Int64 {
        let range = spans.spanRanges[guest]
        // A guest's sessions are numbered in time: its spans can be searched by the start of the session.
        let start = spans.sessions[Int(session)].start
        var low = range.lowerBound
        var high = range.upperBound
        while low < high {
            let middle = (low + high) / 2
            if spans.spans[middle].interval.to <= start { low = middle + 1 } else { high = middle }
        }
        var billed: Int64 = 0
        for index in low..<range.upperBound where billed < enough {
            let span = spans.spans[index]
            if span.session > session { break }
            guard span.session == session, let table = tariff.tables.index(at: span.interval.from) else { continue }
            if tariff.tables.entries[table].value.bills(.compute, in: span.state) { billed += span.interval.seconds }
        }
        return min(billed, enough)
    }

    private mutating func rateTraffic(_ guest: Int, _ slices: [Slice], _ window: Interval, _ emit: (RatedPiece) -> Void) {
        for index in spans.trafficRanges[guest] {
            let use = spans.traffic[index]
            guard use.second >= window.from, use.second < window.to, fits(shape: use.shape), hostIndex == nil || hostIndex == use.host,
                let slice = slices.first(where: { $0.interval.from <= use.second && use.second < $0.interval.to })
            else { continue }
            for (meter, bytes) in [(Meter.trafficIn, use.received), (.trafficOut, use.sent)] {
                guard bytes > 0, slice.table?.meters.contains(meter) == true else { continue }
                let book = slice.book >= 0 ? tariff.books.entries[Int(slice.book)].value : nil
                let tenant = use.shape >= 0 ? spans.shapes[Int(use.shape)].tenant : nil
                let part = parts.index(
                    RatePart(
                        meter: meter, sku: "traffic", unit: .gibibytes, book: slice.book, price: book?.others[meter], tier: 0,
                        keptPartsPerMillion: book?.keptPartsPerMillion(tenant: tenant, meter: meter) ?? 1_000_000))
                emit(
                    RatedPiece(
                        part: part, from: use.second, to: use.second, usage: Int128(bytes), guest: use.guest, volume: use.interface,
                        shape: use.shape, host: use.host, state: SpanState(.running, reason: 0), evidence: .observed))
            }
        }
    }

    private mutating func rateVolume(_ volume: Int, _ slices: [Slice], _ emit: (RatedPiece) -> Void) {
        guard hostIndex == nil else { return }
        let kind = spans.volumes[volume].kind
        for index in spans.volumeRanges[volume] {
            let span = spans.volumeSpans[index]
            guard span.evidence != .unknown, fits(shape: span.shape), guestIndex == nil || guestIndex == span.guest else { continue }
            for slice in slices {
                let interval = span.interval.clipped(to: slice.interval)
                guard interval.seconds > 0, let table = slice.table, table.meters.contains(kind.meter),
                    span.isAttached || kind != .disk || table.billsDetached
                else { continue }
                let part = part(of: span, kind, slice)
                emit(
                    RatedPiece(
                        part: part, from: interval.from, to: interval.to, usage: Int128(span.bytes) * Int128(interval.seconds),
                        guest: span.guest, volume: span.volume, shape: span.shape, host: -1, state: .unknown, evidence: span.evidence))
            }
        }
    }

    private mutating func part(of span: VolumeSpan, _ kind: VolumeFact.Kind, _ slice: Slice) -> Int32 {
        let key = VolumeRateKey(kind: kind, hints: span.hints, shape: span.shape, book: slice.book, catalogue: slice.catalogue)
        let place = UInt64(volumeKeyPlaces.index(key))
        if let known = volumeParts[place] { return known }
        let book = slice.book >= 0 ? tariff.books.entries[Int(slice.book)].value : nil
        let catalogue = slice.catalogue >= 0 ? tariff.catalogues.entries[Int(slice.catalogue)].value : InstanceCatalogue(types: [])
        let sku = kind == .disk ? catalogue.diskType(spans.hints[Int(span.hints)]) : kind.word
        let tenant = span.shape >= 0 ? spans.shapes[Int(span.shape)].tenant : nil
        let part = parts.index(
            RatePart(
                meter: kind.meter, sku: sku, unit: .gibibyteHours, book: slice.book,
                price: kind == .disk ? book?.disks[sku] : book?.others[kind.meter], tier: 0,
                keptPartsPerMillion: book?.keptPartsPerMillion(tenant: tenant, meter: kind.meter) ?? 1_000_000))
        volumeParts[place] = part
        return part
    }

    /// The index of a part.
    mutating func index(of part: RatePart) -> Int32 { parts.index(part) }
}

extension VolumeFact.Kind {
    /// The meter that counts this kind.
    var meter: Meter {
        switch self {
        case .disk: .disk
        case .snapshot: .snapshot
        case .image: .image
        case .savedMemory: .savedMemory
        }
    }
}
