import Fleet

/// Why stored bytes are no fact.
public enum FactCodingError: Error, Hashable, Sendable {
    /// The bytes end early, run on, or hold a value outside its range, at this offset.
    case malformed(offset: Int)
    /// A newer version of Steward wrote them.
    case unknownVersion(UInt8)
}

extension Fact {
    /// The version of the encoding.
    static let encodingVersion: UInt8 = 1

    /// The one byte sequence of this fact: equal facts have equal bytes on every machine.
    public var encoded: [UInt8] {
        var out = FactWriter()
        out.byte(Fact.encodingVersion)
        out.text(id.origin)
        out.unsigned(id.ordinal)
        out.byte(source.rawValue)
        out.optional(host?.text) { $0.text($1) }
        out.optional(bootID) { $0.text($1) }
        out.signed(seen.wall.milliseconds)
        out.optional(seen.steadyMilliseconds) { $0.signed($1) }
        out.text(seen.machine)
        out.body(body)
        return out.bytes
    }

    /// The fact that was encoded to these bytes.
    public init(encoded bytes: [UInt8]) throws(FactCodingError) {
        var input = FactReader(bytes: bytes)
        let version = try input.byte()
        guard version == Fact.encodingVersion else { throw .unknownVersion(version) }
        let id = FactID(origin: try input.text(), ordinal: try input.unsigned())
        guard let source = FactSource(rawValue: try input.byte()) else { throw input.malformed }
        let host = try input.isPresent() ? HostName(try input.text()) : nil
        let bootID = try input.isPresent() ? try input.text() : nil
        let wall = Timestamp(milliseconds: try input.signed())
        let steady = try input.isPresent() ? try input.signed() : nil
        let machine = try input.text()
        let seen = steady.map { ClockReading(wall: wall, steadyMilliseconds: $0, machine: machine) } ?? ClockReading(stated: wall)
        self.init(id: id, source: source, host: host, bootID: bootID, seen: seen, body: try input.body())
        guard input.isAtEnd else { throw input.malformed }
    }
}

/// Writes LEB128 integers and counted texts.
struct FactWriter {
    var bytes: [UInt8] = []

    mutating func byte(_ byte: UInt8) { bytes.append(byte) }

    mutating func unsigned(_ number: UInt64) {
        var left = number
        while left >= 128 {
            bytes.append(UInt8(left & 127) | 128)
            left >>= 7
        }
        bytes.append(UInt8(left))
    }

    /// Zigzag, so that small negative numbers stay short.
    mutating func signed(_ number: Int64) { unsigned(UInt64(bitPattern: number << 1 ^ number >> 63)) }

    mutating func text(_ text: String) {
        let utf8 = Array(text.utf8)
        unsigned(UInt64(utf8.count))
        bytes += utf8
    }

    mutating func optional<Value>(_ value: Value?, _ write: (inout FactWriter, Value) -> Void) {
        byte(value == nil ? 0 : 1)
        if let value { write(&self, value) }
    }

    mutating func guest(_ guest: GuestID) {
        for half in [guest.high, guest.low] {
            for shift in stride(from: UInt64(56), through: 0, by: -8) { byte(UInt8(truncatingIfNeeded: half >> shift)) }
        }
    }

    mutating func body(_ body: FactBody) {
        switch body {
        case .guest(let fact):
            byte(1)
            guestFact(fact)
        case .volume(let fact):
            byte(2)
            volumeFact(fact)
        case .traffic(let fact):
            byte(3)
            guest(fact.guest)
            signed(Int64(fact.run))
            text(fact.interface)
            unsigned(fact.received)
            unsigned(fact.sent)
        case .watchOpened(let means, let guests):
            byte(4)
            byte(means.rawValue)
            unsigned(UInt64(guests.count))
            for each in guests { guest(each) }
        case .watchClosed(let before):
            byte(5)
            signed(before)
        case .alive(let before):
            byte(6)
            signed(before)
        case .journalRead(let from, let through):
            byte(7)
            signed(from)
            signed(through)
        case .assignment(let id, let tenant):
            byte(8)
            guest(id)
            optional(tenant) { $0.text($1) }
        case .clockAnchor(let machine):
            byte(9)
            text(machine)
        case .acknowledgement(let finding):
            byte(10)
            text(finding)
        case .closing(let closing):
            byte(11)
            signed(closing.from.milliseconds)
            signed(closing.to.milliseconds)
            signed(closing.throughSequence)
            for each in [closing.chainHash, closing.reportDigest, closing.tariffDigest, closing.zoneData] { text(each) }
        }
    }

    private mutating func guestFact(_ fact: GuestFact) {
        guest(fact.guest)
        switch fact.presence {
        case .state(let state, let reason):
            byte(1)
            signed(Int64(state.rawValue))
            signed(Int64(reason))
        case .absent: byte(0)
        }
        byte(fact.edge.rawValue)
        optional(fact.run) { $0.signed(Int64($1)) }
        optional(fact.previousListingMillisecondsBefore) { $0.signed($1) }
        optional(fact.shape) { writer, shape in
            writer.text(shape.name)
            writer.signed(Int64(shape.vcpus))
            writer.unsigned(shape.memory.count)
            for each in [shape.instanceType, shape.tenant, shape.group, shape.zone] { writer.optional(each) { $0.text($1) } }
            writer.unsigned(UInt64(shape.tags.count))
            for tag in shape.tags {
                writer.text(tag.name)
                writer.text(tag.value)
            }
        }
        optional(fact.continuity) { writer, continuity in
            writer.signed(continuity.gapMilliseconds)
            writer.signed(Int64(continuity.vcpus))
            writer.signed(Int64(continuity.nodeCPUs))
            for end in [continuity.before, continuity.after] {
                writer.signed(Int64(end.run))
                writer.unsigned(end.cpuNanoseconds)
                writer.unsigned(UInt64(end.others.count))
                for counter in end.others { writer.unsigned(counter) }
                writer.optional(end.nodeNanoseconds) { $0.unsigned($1) }
                writer.optional(end.bootID) { $0.text($1) }
            }
        }
    }

    private mutating func volumeFact(_ fact: VolumeFact) {
        text(fact.key)
        byte(fact.kind.rawValue)
        unsigned(fact.size.count)
        switch fact.presence {
        case .attached(let id):
            byte(1)
            guest(id)
        case .detached: byte(2)
        case .unseen: byte(3)
        case .deleted: byte(0)
        }
        for each in [fact.hints.metadataType, fact.hints.pool, fact.hints.bus, fact.tenant] { optional(each) { $0.text($1) } }
        optional(fact.previousListingMillisecondsBefore) { $0.signed($1) }
    }
}

/// Reads what ``FactWriter`` wrote; every count is checked against the bytes that are left.
struct FactReader {
    let bytes: [UInt8]
    private var offset = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { offset == bytes.count }
    var malformed: FactCodingError { .malformed(offset: offset) }

    mutating func byte() throws(FactCodingError) -> UInt8 {
        guard offset < bytes.count else { throw malformed }
        offset += 1
        return bytes[offset - 1]
    }

    mutating func unsigned() throws(FactCodingError) -> UInt64 {
        var number: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            let next = try byte()
            guard shift < 63 || next <= 1 else { throw malformed }
            number |= UInt64(next & 127) << shift
            if next < 128 {
                // One number has one encoding: no trailing zero groups.
                guard next != 0 || shift == 0 else { throw malformed }
                return number
            }
        }
        throw malformed
    }

    mutating func signed() throws(FactCodingError) -> Int64 {
        let number = try unsigned()
        return Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1)
    }

    mutating func narrow<Number: FixedWidthInteger>(_: Number.Type) throws(FactCodingError) -> Number {
        guard let number = Number(exactly: try signed()) else { throw malformed }
        return number
    }

    mutating func count() throws(FactCodingError) -> Int {
        guard let count = Int(exactly: try unsigned()), count <= bytes.count - offset else { throw malformed }
        return count
    }

    mutating func text() throws(FactCodingError) -> String {
        let count = try count()
        guard let text = String(validating: bytes[offset..<offset + count], as: UTF8.self) else { throw malformed }
        offset += count
        return text
    }

    mutating func isPresent() throws(FactCodingError) -> Bool {
        switch try byte() {
        case 0: return false
        case 1: return true
        default: throw malformed
        }
    }

    mutating func optionalText() throws(FactCodingError) -> String? { try isPresent() ? try text() : nil }
    mutating func optionalSigned() throws(FactCodingError) -> Int64? { try isPresent() ? try signed() : nil }

    mutating func guest() throws(FactCodingError) -> GuestID {
        var halves: [UInt64] = []
        for _ in 0..<2 {
            var half: UInt64 = 0
            for _ in 0..<8 { half = half << 8 | UInt64(try byte()) }
            halves.append(half)
        }
        return GuestID(high: halves[0], low: halves[1])
    }

    mutating func body() throws(FactCodingError) -> FactBody {
        switch try byte() {
        case 1: return .guest(try guestFact())
        case 2: return .volume(try volumeFact())
        case 3:
            return .traffic(
                TrafficFact(
                    guest: try guest(), run: try narrow(Int32.self), interface: try text(), received: try unsigned(), sent: try unsigned()))
        case 4:
            guard let means = WatchMeans(rawValue: try byte()) else { throw malformed }
            var guests: [GuestID] = []
            for _ in 0..<(try count()) { guests.append(try guest()) }
            return .watchOpened(means, guests: guests)
        case 5: return .watchClosed(lastAnswerMillisecondsBefore: try signed())
        case 6: return .alive(oldestAnswerMillisecondsBefore: try signed())
        case 7: return .journalRead(fromSteady: try signed(), throughSteady: try signed())
        case 8: return .assignment(try guest(), tenant: try optionalText())
        case 9: return .clockAnchor(machine: try text())
        case 10: return .acknowledgement(finding: try text())
        case 11:
            return .closing(
                PeriodClosing(
                    from: Timestamp(milliseconds: try signed()), to: Timestamp(milliseconds: try signed()), throughSequence: try signed(),
                    chainHash: try text(), reportDigest: try text(), tariffDigest: try text(), zoneData: try text()))
        default: throw malformed
        }
    }

    private mutating func guestFact() throws(FactCodingError) -> GuestFact {
        let guest = try guest()
        var presence = GuestFact.Presence.absent
        if try isPresent() {
            guard let state = DomainState(rawValue: try narrow(Int32.self)) else { throw malformed }
            presence = .state(state, reason: try narrow(Int32.self))
        }
        guard let edge = GuestFact.Edge(rawValue: try byte()) else { throw malformed }
        let run = try isPresent() ? try narrow(Int32.self) : nil
        let before = try optionalSigned()
        let shape = try isPresent() ? try shape() : nil
        let continuity = try isPresent() ? try continuity() : nil
        return GuestFact(
            guest: guest, presence: presence, edge: edge, run: run, previousListingMillisecondsBefore: before, shape: shape,
            continuity: continuity)
    }

    private mutating func shape() throws(FactCodingError) -> GuestShape {
        let name = try text()
        let vcpus = try narrow(Int.self)
        let memory = Bytes(try unsigned())
        let words = [try optionalText(), try optionalText(), try optionalText(), try optionalText()]
        var tags: [GuestMetadata.Tag] = []
        for _ in 0..<(try count()) { tags.append(GuestMetadata.Tag(name: try text(), value: try text())) }
        return GuestShape(
            name: name, vcpus: vcpus, memory: memory, instanceType: words[0], tenant: words[1], group: words[2], zone: words[3], tags: tags)
    }

    private mutating func continuity() throws(FactCodingError) -> Continuity {
        let gap = try signed()
        let vcpus = try narrow(Int.self)
        let cpus = try narrow(Int.self)
        var ends: [Continuity.Counters] = []
        for _ in 0..<2 {
            let run = try narrow(Int32.self)
            let cpu = try unsigned()
            var others: [UInt64] = []
            for _ in 0..<(try count()) { others.append(try unsigned()) }
            let node = try isPresent() ? try unsigned() : nil
            ends.append(
                Continuity.Counters(run: run, cpuNanoseconds: cpu, others: others, nodeNanoseconds: node, bootID: try optionalText()))
        }
        return Continuity(gapMilliseconds: gap, vcpus: vcpus, nodeCPUs: cpus, before: ends[0], after: ends[1])
    }

    private mutating func volumeFact() throws(FactCodingError) -> VolumeFact {
        let key = try text()
        guard let kind = VolumeFact.Kind(rawValue: try byte()) else { throw malformed }
        let size = Bytes(try unsigned())
        let presence: VolumeFact.Presence
        switch try byte() {
        case 0: presence = .deleted
        case 1: presence = .attached(try guest())
        case 2: presence = .detached
        case 3: presence = .unseen
        default: throw malformed
        }
        let words = [try optionalText(), try optionalText(), try optionalText(), try optionalText()]
        return VolumeFact(
            key: key, kind: kind, size: size, presence: presence,
            hints: VolumeHints(metadataType: words[0], pool: words[1], bus: words[2]), tenant: words[3],
            previousListingMillisecondsBefore: try optionalSigned())
    }
}
