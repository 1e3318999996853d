import Fleet
import Threads

/// The thread that makes one lane's calls, one at a time; abandoned, it ends when its call does.
final class LaneWorker: Sendable {
    enum Job: Sendable {
        case open(LaneMachine.CallID)
        case request(LaneMachine.CallID, LaneRequest, any Hypervisor)
        /// Close the connection and end the thread.
        case close(any Hypervisor)
        /// End the thread.
        case end
    }

    typealias Opener = @Sendable (@escaping @Sendable (HypervisorEvent) -> Void) throws(HypervisorError) -> any Hypervisor

    private let jobs = Mailbox<Job>()

    /// Starts the thread; `post` takes events from it and from the host, with the connection where one was opened.
    init(
        host: HostName, clock: @escaping @Sendable () -> Moment, open: @escaping Opener,
        post: @escaping @Sendable (LaneMachine.Event, (any Hypervisor)?) -> Void
    ) {
        let jobs = jobs
        startThread(named: "lane \(host)") {
            while true {
                for job in jobs.take(within: nil) {
                    switch job {
                    case .open(let id): LaneWorker.open(id, open, post)
                    case .request(let id, let request, let hypervisor):
                        do throws(HypervisorError) {
                            post(.answered(id, try LaneWorker.carryOut(request, on: hypervisor, clock)), nil)
                        } catch {
                            post(.failed(id, error), nil)
                        }
                    case .close(let hypervisor):
                        hypervisor.close()
                        return
                    case .end: return
                    }
                }
            }
        }
    }

    func put(_ job: Job) { jobs.put(job) }

    private static func open(
        _ id: LaneMachine.CallID, _ open: Opener, _ post: @escaping @Sendable (LaneMachine.Event, (any Hypervisor)?) -> Void
    ) {
        do throws(HypervisorError) {
            let hypervisor = try open { post(.told($0), nil) }
            do throws(HypervisorError) {
                let description = try hypervisor.describeHost()
                let groups = try hypervisor.supportedGroups(among: StatGroups.standard.union(.occasional))
                post(.opened(id, description, groups: groups), hypervisor)
            } catch {
                hypervisor.close()
                throw error
            }
        } catch {
            post(.failed(id, error), nil)
        }
    }

    /// Makes the calls of a request, in order.
    ///
    /// The bulk read decides: if it fails, the request fails. Whatever else fails is reported beside it and spoils nothing.
    static func carryOut(
        _ request: LaneRequest, on hypervisor: any Hypervisor, _ clock: () -> Moment
    ) throws(HypervisorError) -> LaneAnswer {
        var failures: [HypervisorError] = []
        var calls = 0
        func attempt<Value>(_ call: () throws(HypervisorError) -> Value) throws(HypervisorError) -> Value? {
            calls += 1
            do throws(HypervisorError) {
                return try call()
            } catch {
                // A guest that went away meanwhile is no failure; a lost connection ends the request.
                if error.kind == .disconnected { throw error }
                if error.kind != .noSuchGuest { failures.append(error) }
                return nil
            }
        }
        var descriptions: [GuestDescription] = []
        for guest in request.describe {
            if let description = try attempt({ () throws(HypervisorError) in try hypervisor.describeGuest(guest) }) {
                descriptions.append(description)
            }
        }
        let began = clock()
        calls += 1
        let domains = try hypervisor.readDomains(request.groups, request.scope)
        let node = try attempt { () throws(HypervisorError) in try hypervisor.readNode() }
        var inactive: [DomainReading]?
        if request.listsInactive {
            inactive = try attempt { () throws(HypervisorError) in try hypervisor.readDomains(.state, .inactive) }
        }
        var pools: [PoolReading]?
        if request.readsPools { pools = try attempt { () throws(HypervisorError) in try hypervisor.readPools() } }
        var jobs: [JobReading] = []
        for guest in request.jobs {
            if let job = try attempt({ () throws(HypervisorError) in try hypervisor.readJob(of: guest) }), let job { jobs.append(job) }
        }
        return LaneAnswer(
            descriptions: descriptions, domains: domains, inactive: inactive, node: node, pools: pools, jobs: jobs, began: began,
            calls: calls, failures: failures)
    }
}
