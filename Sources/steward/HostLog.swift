import Collection
import Fleet
import Logging
import Synchronization

/// Turns reports into log lines: one where something changed, none where all is as before.
final class HostLog: Sendable {
    private struct Known {
        var isUp: Bool?
        var words: String?
        var troubled: [GuestID: GuestCondition] = [:]
    }

    private let logger: Logger
    private let known = Mutex<[HostName: Known]>([:])

    init(logger: Logger) { self.logger = logger }

    func note(_ report: LaneReport) {
        // A first connection that is still being opened is no news.
        if !report.isUp, report.failure == nil, known.withLock({ $0[report.host] == nil }) { return }
        let before = known.withLock { known in
            let before = known[report.host] ?? Known()
            known[report.host] = Known(
                isUp: report.isUp, words: report.failure?.description ?? (report.isUp ? nil : before.words),
                troubled: report.isUp
                    ? Dictionary(
                        report.guests.filter { $0.condition != .whole }.map { ($0.reading.guest, $0.condition) }, uniquingKeysWith: { $1 })
                    : before.troubled)
            return before
        }
        if report.isUp, before.isUp != true {
            logger.info("host \(report.host) answers: \(report.guests.count) active guests")
        } else if !report.isUp, before.isUp != false || (report.failure != nil && report.failure?.description != before.words) {
            logger.warning(
                "host \(report.host) does not answer: \(report.failure?.description ?? "no answer within the deadline"); trying on")
        }
        guard report.isUp else { return }
        for guest in report.guests where guest.condition != before.troubled[guest.reading.guest] ?? .whole {
            switch guest.condition {
            case .whole: logger.info("guest \(guest.reading.name) on \(report.host) answers again")
            case .partial: logger.notice("guest \(guest.reading.name) on \(report.host) is busy: only part of its figures can be read")
            case .stuck:
                logger.warning("guest \(guest.reading.name) on \(report.host) is stuck: libvirt hangs on it, so it is left out of reads")
            }
        }
    }
}
