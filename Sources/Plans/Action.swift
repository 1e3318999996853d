public import Fleet

/// A volume by host, pool and name.
public struct VolumeReference: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The host through which the pool is reached.
    public let host: HostName
    /// The pool's name on that host.
    public let pool: String
    /// The volume's name in the pool.
    public let name: String

    /// A volume.
    public init(host: HostName, pool: String, name: String) {
        self.host = host
        self.pool = pool
        self.name = name
    }

    /// `host:pool/name`.
    public var description: String { "\(host):\(pool)/\(name)" }
}

/// How a guest moves between hosts.
public enum MigrationKind: String, Hashable, Codable, Sendable, CaseIterable {
    /// Running, memory copied before the switch.
    case live
    /// Shut off: the definition and, where the disks are local, the disks.
    case cold
    /// Saved to shared storage on one side and restored on the other.
    case saved
}

/// One thing that Steward can do to the world.
///
/// Each names everything that is needed to do it again or to see whether it was done.
public enum Action: Hashable, Codable, Sendable {
    /// Moves a guest.
    case migrate(GuestID, from: HostName, to: HostName, MigrationKind)
    /// Starts a defined guest; `incident` is the proof of death on which the start depends, read again before it.
    case start(GuestID, on: HostName, incident: String?)
    /// Asks the guest to power off.
    case shutdown(GuestID, on: HostName)
    /// Stops the guest at once.
    case destroy(GuestID, on: HostName)
    /// Removes the definition; `keepingState` keeps NVRAM, TPM state and saved images.
    case undefine(GuestID, on: HostName, keepingState: Bool)
    /// Defines the guest from a definition that Steward keeps under this digest.
    case define(GuestID, on: HostName, definition: String)
    /// Sets whether libvirt starts the guest at the host's boot.
    case setAutostart(GuestID, on: HostName, Bool)
    /// Gives a guest another size.
    case resize(GuestID, on: HostName, vcpus: Int, memory: Bytes)
    /// Creates an empty volume for a guest.
    case createVolume(VolumeReference, size: Bytes, owner: GuestID)
    /// Creates a copy-on-write overlay for a guest.
    case createOverlay(VolumeReference, backing: String, size: Bytes, owner: GuestID)
    /// Creates the guest's cloud-init seed.
    case createSeed(VolumeReference, owner: GuestID)
    /// Sets a volume aside; it can be had back until it is deleted.
    case quarantineVolume(VolumeReference, owner: GuestID)
    /// Deletes a volume that the journal shows to be ours.
    case deleteVolume(VolumeReference, owner: GuestID)
    /// Defines a network filter on a host.
    case defineFilter(String, on: HostName, owner: GuestID?)
    /// Removes a network filter from a host.
    case undefineFilter(String, on: HostName, owner: GuestID?)
    /// Powers a host off.
    case fence(HostName, incident: String)
    /// Tells somebody; `payload` is the body under its digest in the delivery log.
    case notify(endpoint: String, event: String, payload: String, guest: GuestID?)
    /// Waits until the guest answers its health check.
    case awaitHealth(GuestID, on: HostName)
    /// Waits until the guest carries no more work.
    case awaitDrain(GuestID, on: HostName)

    /// The verb alone: the schema that kill tests enumerate.
    public enum Kind: String, CaseIterable, Sendable {
        /// See ``Action``'s case of the same name.
        case migrate, start, shutdown, destroy, undefine, define, setAutostart, resize, createVolume, createOverlay, createSeed
        /// See ``Action``'s case of the same name.
        case quarantineVolume, deleteVolume, defineFilter, undefineFilter, fence, notify, awaitHealth, awaitDrain
    }

    /// The verb.
    public var kind: Kind {
        switch self {
        case .migrate: .migrate
        case .start: .start
        case .shutdown: .shutdown
        case .destroy: .destroy
        case .undefine: .undefine
        case .define: .define
        case .setAutostart: .setAutostart
        case .resize: .resize
        case .createVolume: .createVolume
        case .createOverlay: .createOverlay
        case .createSeed: .createSeed
        case .quarantineVolume: .quarantineVolume
        case .deleteVolume: .deleteVolume
        case .defineFilter: .defineFilter
        case .undefineFilter: .undefineFilter
        case .fence: .fence
        case .notify: .notify
        case .awaitHealth: .awaitHealth
        case .awaitDrain: .awaitDrain
        }
    }

    /// The guest that the action touches or serves, whose lock it needs.
    public var guest: GuestID? {
        switch self {
        case .migrate(let guest, _, _, _), .start(let guest, _, _), .shutdown(let guest, _), .destroy(let guest, _),
            .undefine(let guest, _, _), .define(let guest, _, _), .setAutostart(let guest, _, _), .resize(let guest, _, _, _),
            .awaitHealth(let guest, _), .awaitDrain(let guest, _):
            guest
        case .createVolume(_, _, let owner), .createOverlay(_, _, _, let owner), .createSeed(_, let owner),
            .quarantineVolume(_, let owner), .deleteVolume(_, let owner):
            owner
        case .defineFilter(_, _, let owner), .undefineFilter(_, _, let owner): owner
        case .notify(_, _, _, let guest): guest
        case .fence: nil
        }
    }

    /// The hosts whose limits the action counts against: none for what only waits or tells.
    public var hosts: [HostName] {
        switch self {
        case .migrate(_, let source, let target, _): [source, target]
        case .start(_, let host, _), .shutdown(_, let host), .destroy(_, let host), .undefine(_, let host, _), .define(_, let host, _),
            .setAutostart(_, let host, _), .resize(_, let host, _, _), .defineFilter(_, let host, _), .undefineFilter(_, let host, _):
            [host]
        case .createVolume(let volume, _, _), .createOverlay(let volume, _, _, _), .createSeed(let volume, _),
            .quarantineVolume(let volume, _), .deleteVolume(let volume, _):
            [volume.host]
        case .fence, .notify, .awaitHealth, .awaitDrain: []
        }
    }

    /// Whether the guest's users can notice it: what the hourly disruption budget counts.
    public var isDisruptive: Bool {
        switch kind {
        case .migrate, .shutdown, .destroy, .resize: true
        default: false
        }
    }

    /// What must be true of the world once the action has been done: the question for the look before, the look after, and the look
    /// after a crash.
    public var expectation: Expectation {
        switch self {
        case .migrate(let guest, let source, let target, let kind):
            kind == .cold ? .definedOnlyOn(guest, target, notOn: source) : .runsOnlyOn(guest, target, notOn: source)
        case .start(let guest, let host, _): .runs(guest, host)
        case .shutdown(let guest, let host), .destroy(let guest, let host): .stopped(guest, host)
        case .undefine(let guest, let host, _): .undefined(guest, host)
        case .define(let guest, let host, let definition): .defined(guest, host, definition: definition)
        case .setAutostart(let guest, let host, let isOn): .autostart(guest, host, isOn)
        case .resize(let guest, let host, let vcpus, let memory): .size(guest, host, vcpus: vcpus, memory: memory)
        case .createVolume(let volume, let size, _): .volume(volume, backing: nil, size: size)
        case .createOverlay(let volume, let backing, let size, _): .volume(volume, backing: backing, size: size)
        case .createSeed(let volume, _): .volume(volume, backing: nil, size: nil)
        case .quarantineVolume(let volume, _), .deleteVolume(let volume, _): .noVolume(volume)
        case .defineFilter(let name, let host, _): .filter(name, host, exists: true)
        case .undefineFilter(let name, let host, _): .filter(name, host, exists: false)
        case .fence(let host, _): .poweredOff(host)
        case .notify(let endpoint, _, let payload, _): .delivered(endpoint: endpoint, payload: payload)
        case .awaitHealth(let guest, let host): .healthy(guest, host)
        case .awaitDrain(let guest, let host): .drained(guest, host)
        }
    }
}

/// A statement about the world that can be looked up on the hosts, and on nothing else.
public enum Expectation: Hashable, Sendable {
    /// The guest runs on this host and is neither running nor defined on the other.
    case runsOnlyOn(GuestID, HostName, notOn: HostName)
    /// The guest is defined on this host and not on the other.
    case definedOnlyOn(GuestID, HostName, notOn: HostName)
    /// The guest runs there.
    case runs(GuestID, HostName)
    /// The guest does not run there.
    case stopped(GuestID, HostName)
    /// The guest is not defined there.
    case undefined(GuestID, HostName)
    /// The guest is defined there, from that definition.
    case defined(GuestID, HostName, definition: String)
    /// The guest's autostart flag there.
    case autostart(GuestID, HostName, Bool)
    /// The guest's size there.
    case size(GuestID, HostName, vcpus: Int, memory: Bytes)
    /// The volume exists, with that backing file and at least that size.
    case volume(VolumeReference, backing: String?, size: Bytes?)
    /// No volume of that name.
    case noVolume(VolumeReference)
    /// A network filter is there, or is not.
    case filter(String, HostName, exists: Bool)
    /// The host's power was observed off, just now.
    case poweredOff(HostName)
    /// The delivery log shows the payload accepted by the endpoint.
    case delivered(endpoint: String, payload: String)
    /// The guest answers its health check.
    case healthy(GuestID, HostName)
    /// The guest carries no more work.
    case drained(GuestID, HostName)
}
