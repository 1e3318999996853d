/// What carries single actions out on the world, and looks at it.
///
/// Both calls block; the runner makes them on threads of their own and abandons those that hang, so neither may hold a lock that another
/// host's calls need. An action may be asked for again after a crash: what is in effect is not done twice.
public protocol Actuator: Sendable {
    /// Does it; nil claims success, which the next look checks. A longer call than `deadline` is given up by the caller, not by us.
    func act(_ action: Action, deadline: Duration) -> String?
    /// Looks whether the action's expectation holds.
    func look(_ action: Action) -> Observation
    /// Asks a call that is under way to end without harm; where that cannot be, it goes on.
    func cancel(_ action: Action)
}
