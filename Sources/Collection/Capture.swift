public import Fleet

/// What a capture says about itself in its first line.
public struct CaptureHeader: Hashable, Sendable {
    /// The format that is read and written.
    public static let format: UInt64 = 2

    /// libvirt's version as text, such as `9.0.0`.
    public var libvirt: String?
    /// The hypervisor's version as text.
    public var hypervisor: String?
    /// The interval of the ticks, in milliseconds.
    public var intervalMilliseconds: UInt64?

    /// A header.
    public init(libvirt: String? = nil, hypervisor: String? = nil, intervalMilliseconds: UInt64? = nil) {
        self.libvirt = libvirt
        self.hypervisor = hypervisor
        self.intervalMilliseconds = intervalMilliseconds
    }
}

/// One line of a capture after the first.
public enum CaptureRecord: Hashable, Sendable {
    /// A guest was first seen on a host, something of it changed, or it is gone.
    case guest(CapturedGuest)
    /// A guest's parameters.
    case reading(CapturedReading)
    /// A host's own figures.
    case node(time: Timestamp, host: HostName, NodeReading)
}

/// What a capture says of a guest when it changes.
public struct CapturedGuest: Hashable, Sendable {
    /// When.
    public let time: Timestamp
    /// Where.
    public let host: HostName
    /// The guest.
    public let guest: GuestID
    /// The guest's name on that host.
    public let name: String
    /// libvirt's running number; nil when the guest is gone from that host or not running.
    public let domainID: Int32?
    /// The domain's XML, where it is known.
    public let xml: String?

    /// A guest's description.
    public init(time: Timestamp, host: HostName, guest: GuestID, name: String, domainID: Int32?, xml: String?) {
        self.time = time
        self.host = host
        self.guest = guest
        self.name = name
        self.domainID = domainID
        self.xml = xml
    }
}

/// A guest's parameters as a capture has them.
///
/// Numbers are exact. The format does not tell a non-negative signed number from an unsigned one: both are read as unsigned.
public struct CapturedReading: Hashable, Sendable {
    /// When.
    public let time: Timestamp
    /// Where.
    public let host: HostName
    /// The guest.
    public let guest: GuestID
    /// The parameters in libvirt's order.
    public let parameters: [StatParameter]

    /// A reading.
    public init(time: Timestamp, host: HostName, guest: GuestID, parameters: [StatParameter]) {
        self.time = time
        self.host = host
        self.guest = guest
        self.parameters = parameters
    }

    /// The reading as a mapper takes it, with the name and the number that the guest's last description gave.
    public func domainReading(of described: CapturedGuest?) -> DomainReading {
        DomainReading(guest: guest, name: described?.name ?? guest.description, domainID: described?.domainID, parameters: parameters)
    }
}

/// Why a capture could not be read or written, and where in it.
public struct CaptureError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What went wrong.
    public enum Reason: Hashable, Sendable {
        /// The file could not be opened, read or written.
        case file
        /// It is no capture, or one of another format.
        case format
        /// A line is not what a capture holds.
        case line
        /// The file ends in the middle.
        case cutOff
    }

    /// What went wrong.
    public let reason: Reason
    /// The file, and the line from 1 where that is known.
    public let place: SourcePlace
    /// What is wrong and what to do, without a full stop.
    public let message: String

    /// `file:line:column: what is wrong`.
    public var description: String { "\(place): \(message)" }

    init(_ reason: Reason, _ place: SourcePlace, _ message: String) {
        self.reason = reason
        self.place = place
        self.message = message
    }
}

// MARK: - Records as JSON

/// Why a line that is JSON is not a line of a capture.
struct CaptureLineError: Error {
    let message: String
}

extension CaptureHeader {
    init(json: JSONValue) throws(CaptureLineError) {
        guard let format = json["steward-capture"] else {
            throw CaptureLineError(message: "this is no capture: its first line lacks \"steward-capture\"")
        }
        guard format == .unsigned(CaptureHeader.format) else {
            throw CaptureLineError(message: "a capture of a format that is not read; this version reads format \(CaptureHeader.format)")
        }
        self.init(libvirt: json["libvirt"]?.text, hypervisor: json["qemu"]?.text)
        if case .unsigned(let interval)? = json["interval_ms"] { intervalMilliseconds = interval }
    }

    var json: JSONValue {
        var members = [JSONValue.Member(key: "steward-capture", value: .unsigned(CaptureHeader.format))]
        if let libvirt { members.append(.init(key: "libvirt", value: .text(libvirt))) }
        if let hypervisor { members.append(.init(key: "qemu", value: .text(hypervisor))) }
        if let intervalMilliseconds { members.append(.init(key: "interval_ms", value: .unsigned(intervalMilliseconds))) }
        return .object(members)
    }
}

extension CaptureRecord {
    init(json: JSONValue) throws(CaptureLineError) {
        switch json {
        case .object: self = .guest(try CapturedGuest(json: json))
        case .array(let elements):
            guard elements.count == 4 else {
                throw CaptureLineError(message: "a reading of \(elements.count) elements, where 4 are expected: time, host, uuid, values")
            }
            let time = try timestamp(elements[0])
            guard let host = elements[1].text else { throw CaptureLineError(message: "the host of a reading is not a string") }
            if elements[2] == .null {
                let cpu = try parameters(elements[3]["cpu"] ?? .object([]))
                let memory = try parameters(elements[3]["mem"] ?? .object([]))
                self = .node(time: time, host: HostName(host), NodeReading(cpu: cpu, memory: memory))
            } else {
                let guest = try guestID(elements[2])
                let values = try parameters(elements[3])
                self = .reading(CapturedReading(time: time, host: HostName(host), guest: guest, parameters: values))
            }
        default: throw CaptureLineError(message: "neither a guest (an object) nor a reading (an array)")
        }
    }

    var json: JSONValue {
        switch self {
        case .guest(let guest): guest.json
        case .reading(let reading):
            .array([
                captureTime(reading.time), .text(reading.host.text), .text(reading.guest.description),
                .object(reading.parameters.map(member)),
            ])
        case .node(let instant, let host, let node):
            .array([
                captureTime(instant), .text(host.text), .null,
                .object([
                    .init(key: "cpu", value: .object(node.cpu.map(member))), .init(key: "mem", value: .object(node.memory.map(member))),
                ]),
            ])
        }
    }

    private func member(_ parameter: StatParameter) -> JSONValue.Member {
        let value: JSONValue =
            switch parameter.value {
            case .signed(let number): number < 0 ? .signed(number) : .unsigned(number.magnitude)
            case .unsigned(let number): .unsigned(number)
            case .real(let number): .real(number)
            case .flag(let flag): .flag(flag)
            case .text(let text): .text(text)
            }
        return .init(key: parameter.name, value: value)
    }
}

extension CapturedGuest {
    fileprivate init(json: JSONValue) throws(CaptureLineError) {
        guard let instant = json["t"], let uuid = json["uuid"] else {
            throw CaptureLineError(message: "an object that is no guest: it lacks \"t\" or \"uuid\"")
        }
        guard let host = json["host"]?.text, let name = json["domain"]?.text else {
            throw CaptureLineError(message: "a guest without \"host\" or \"domain\"")
        }
        var domainID: Int32?
        switch json["id"] {
        case .unsigned(let number)?:
            guard let number = Int32(exactly: number) else { throw CaptureLineError(message: "a guest's \"id\" beyond 31 bits") }
            domainID = number
        case .null?, nil: break
        default: throw CaptureLineError(message: "a guest's \"id\" is neither a whole number nor null")
        }
        self.init(
            time: try timestamp(instant), host: HostName(host), guest: try guestID(uuid), name: name, domainID: domainID,
            xml: json["xml"]?.text)
    }

    fileprivate var json: JSONValue {
        var members: [JSONValue.Member] = [
            .init(key: "t", value: captureTime(time)), .init(key: "host", value: .text(host.text)),
            .init(key: "uuid", value: .text(guest.description)), .init(key: "domain", value: .text(name)),
            .init(key: "id", value: domainID.flatMap { UInt64(exactly: $0) }.map(JSONValue.unsigned) ?? .null),
        ]
        if let xml { members.append(.init(key: "xml", value: .text(xml))) }
        return .object(members)
    }
}

private func captureTime(_ instant: Timestamp) -> JSONValue {
    UInt64(exactly: instant.milliseconds).map(JSONValue.unsigned) ?? .signed(instant.milliseconds)
}

private func timestamp(_ json: JSONValue) throws(CaptureLineError) -> Timestamp {
    switch json {
    case .unsigned(let number):
        guard let milliseconds = Int64(exactly: number) else { throw CaptureLineError(message: "a time beyond 63 bits") }
        return Timestamp(milliseconds: milliseconds)
    case .signed(let number): return Timestamp(milliseconds: number)
    default: throw CaptureLineError(message: "a time that is not a whole number of milliseconds")
    }
}

private func guestID(_ json: JSONValue) throws(CaptureLineError) -> GuestID {
    guard let text = json.text, let guest = GuestID(text) else { throw CaptureLineError(message: "a uuid that is none") }
    return guest
}

private func parameters(_ json: JSONValue) throws(CaptureLineError) -> [StatParameter] {
    guard case .object(let members) = json else { throw CaptureLineError(message: "the values of a reading are not an object") }
    var parameters: [StatParameter] = []
    parameters.reserveCapacity(members.count)
    for member in members {
        switch member.value {
        case .unsigned(let number): parameters.append(StatParameter(member.key, .unsigned(number)))
        case .signed(let number): parameters.append(StatParameter(member.key, .signed(number)))
        case .real(let number): parameters.append(StatParameter(member.key, .real(number)))
        case .flag(let flag): parameters.append(StatParameter(member.key, .flag(flag)))
        case .text(let text): parameters.append(StatParameter(member.key, .text(text)))
        case .null: break
        case .array, .object: throw CaptureLineError(message: "the value of \(member.key) is neither a number, a flag nor a string")
        }
    }
    return parameters
}
