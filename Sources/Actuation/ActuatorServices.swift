public import Fleet
public import Plans

/// What the actuator needs besides libvirt; each may block, and is called on the thread of the action.
///
/// What is not given prevents the actions that need it, with a reason.
public struct ActuatorServices: Sendable {
    /// The definition kept under a digest.
    public var definition: @Sendable (_ digest: String) -> String? = { _ in nil }
    /// The XML of a network filter.
    public var filter: @Sendable (_ name: String) -> String? = { _ in nil }
    /// The files of a guest's cloud-init seed.
    public var seed: @Sendable (GuestID) -> [SeedFile]? = { _ in nil }
    /// Why a start that rests on an incident's proof must not be made now; nil where the proof, read again, still holds.
    public var refusal: @Sendable (_ guest: GuestID, _ host: HostName, _ incident: String) -> String? = { _, _, _ in
        "nobody here can say whether the proof of death still holds"
    }
    /// Whether a host answers at the moment: others are not asked whether they run a guest.
    public var answers: @Sendable (HostName) -> Bool = { _ in true }
    /// Powers a host off; nil claims success.
    public var fence: (@Sendable (HostName, _ incident: String, _ deadline: Duration) -> String?)?
    /// Reads a host's power: in effect means observed off.
    public var power: (@Sendable (HostName) -> Observation)?
    /// Hands a notice over; nil claims success.
    public var notify: (@Sendable (_ endpoint: String, _ event: String, _ payload: String, GuestID?) -> String?)?
    /// Whether the endpoint accepted the payload.
    public var delivered: (@Sendable (_ endpoint: String, _ payload: String) -> Observation)?
    /// Whether a guest answers its health check.
    public var health: (@Sendable (GuestID, HostName) -> Observation)?
    /// Whether a guest carries no more work.
    public var drained: (@Sendable (GuestID, HostName) -> Observation)?
    /// Told how migrations stand, about twice a second each; must not block.
    public var progress: @Sendable (MigrationProgress) -> Void = { _ in }

    /// No services.
    public init() {}
}

/// How a migration stands.
public struct MigrationProgress: Hashable, Sendable {
    /// The guest.
    public let guest: GuestID
    /// From where.
    public let source: HostName
    /// To where.
    public let target: HostName
    /// Since its start, as libvirt counts.
    public let elapsed: Duration
    /// Memory and disk to be sent in all, as known now.
    public let total: Bytes
    /// What of that is still to be sent.
    public let remaining: Bytes
    /// Bytes that the guest dirties each second, where known.
    public let dirtyRate: Bytes?
    /// Bytes sent each second, where known.
    public let rate: Bytes?
    /// The pass over the memory, from 1, where known.
    public let pass: UInt64?
    /// How long the guest stood still; known at the end.
    public let downtime: Duration?
    /// Whether it has ended.
    public let hasEnded: Bool
}

/// A file of a cloud-init seed.
public struct SeedFile: Hashable, Sendable {
    /// The name, such as `user-data`.
    public let name: String
    /// The content.
    public let text: String

    /// A file.
    public init(_ name: String, _ text: String) {
        self.name = name
        self.text = text
    }
}
