/// The present, on both clocks.
///
/// Windows, deadlines, cooldowns and expiries run on `uptime`, which a time server cannot step; records and calendars use `wall`.
public struct Moment: Hashable, Sendable {
    /// The wall clock.
    public let wall: Timestamp
    /// A monotonic clock since any origin; negative for what lies before the start of this process.
    public let uptime: Duration

    /// A present moment.
    public init(wall: Timestamp, uptime: Duration) {
        self.wall = wall
        self.uptime = uptime
    }

    /// Where a recorded wall-clock instant lies on the monotonic axis; an instant in the future counts as now.
    ///
    /// Used once, when records of an earlier process are read back.
    public func uptime(of instant: Timestamp) -> Duration {
        uptime - max(.zero, wall - instant)
    }
}
