import Fleet
import Metering

/// What a lifecycle event says of a guest's state.
struct LifecycleState: Equatable {
    let presence: GuestFact.Presence
    let edge: GuestFact.Edge

    /// The state after an event, by libvirt's numbers (virDomainEventType and its details, libvirt-domain.h); nil where the event alone does
    /// not tell it: a definition that comes or goes.
    ///
    /// An incoming migration begins paused: it is not a start.
    init?(_ event: HypervisorEvent.Lifecycle, detail: Int32) {
        func row(_ table: [Int32], _ state: DomainState, _ edge: GuestFact.Edge) -> LifecycleState {
            LifecycleState(state, reason: Int(detail) < table.count && detail >= 0 ? table[Int(detail)] : 0, edge)
        }
        switch event {
        // BOOTED, MIGRATED, RESTORED, FROM_SNAPSHOT, WAKEUP, RECOVERED.
        case .started where detail == 1: self.init(.paused, reason: 2, .started)
        case .started: self = row([1, 2, 3, 4, 8, 1], .running, .started)
        // PAUSED, MIGRATED, IOERROR, WATCHDOG, RESTORED, FROM_SNAPSHOT, API_ERROR, POSTCOPY, POSTCOPY_FAILED.
        case .suspended: self = row([1, 2, 5, 6, 1, 7, 14, 12, 13], .paused, .none)
        // UNPAUSED, MIGRATED, FROM_SNAPSHOT, POSTCOPY, POSTCOPY_FAILED.
        case .resumed: self = row([5, 2, 4, 10, 11], .running, .none)
        // SHUTDOWN, DESTROYED, CRASHED, MIGRATED, SAVED, FAILED, FROM_SNAPSHOT.
        case .stopped: self = row([1, 2, 3, 4, 5, 6, 7], .shutOff, .stopped)
        case .shutdown: self.init(.shutdown, reason: 0, .none)
        case .suspendedByGuest: self.init(.suspended, reason: 0, .none)
        case .crashed: self.init(.crashed, reason: 1, .stopped)
        case .defined, .undefined: return nil
        }
    }

    private init(_ state: DomainState, reason: Int32, _ edge: GuestFact.Edge) {
        presence = .state(state, reason: reason)
        self.edge = edge
    }
}

extension GuestFact.Presence {
    /// Whether a process of the guest exists.
    var isActive: Bool {
        guard case .state(let state, _) = self else { return false }
        return state != .shutOff && state != .crashed && state != .noState
    }

    /// Whether the host sent the guest to another one.
    var isMigratedAway: Bool { self == .state(.shutOff, reason: 4) }

    func isSameState(as other: GuestFact.Presence) -> Bool {
        guard case .state(let one, _) = self, case .state(let two, _) = other else { return self == other }
        return one == two
    }
}
