/// The search for a better placement: first down the slope of the peak, then, where the fleet is small enough for it to help, annealing.
struct BalanceSearch {
    /// Above so many units × hosts annealing finds nothing that the descent has not.
    static let annealingSize = 200_000
    /// Runs of the annealing, each from the best placement so far or from the start.
    static let annealingRuns = 8
    /// Targets that a step of the descent looks at.
    static let targets = 8
    /// Units of one host that a step of the descent looks at.
    static let unitsOfHost = 400

    var state: BalanceState
    private var best: [Int]
    private var bestEnergy: Double
    private var random: BalanceGenerator
    private let steps: Int

    init(_ problem: BalanceProblem, seed: UInt64, steps: Int) {
        self.steps = steps
        state = BalanceState(problem)
        best = state.place
        bestEnergy = state.energy
        random = BalanceGenerator(state: seed)
    }

    /// Leaves the best placement found in `state`.
    mutating func run() {
        guard state.problem.hostCount > 1, !best.isEmpty else { return }
        repair()
        keepIfBetter()
        descend()
        restoreBest()
        if best.count * state.problem.hostCount <= BalanceSearch.annealingSize {
            for run in 0..<BalanceSearch.annealingRuns {
                if run % 4 == 3 { restart() } else { restoreBest() }
                anneal(steps: steps / BalanceSearch.annealingRuns, hot: run % 2 == 0 ? 0.03 : 0.008)
                restoreBest()
                polish()
            }
        }
        restoreBest()
        dropMovesThatDoNotPay()
        restoreBest()
    }

    private mutating func keepIfBetter() {
        let energy = state.energy
        guard energy < bestEnergy - 1e-12 else { return }
        bestEnergy = energy
        best = state.place
    }

    private mutating func restoreBest() { for unit in best.indices { state.move(unit, to: best[unit]) } }

    private mutating func restart() { for unit in best.indices { state.move(unit, to: state.problem.units[unit].home) } }

    /// Moves what breaks a rule where it stands to the place that keeps the rules and costs least.
    private mutating func repair() {
        guard state.violation > 0 else { return }
        for unit in best.indices {
            let before = state.energy
            let home = state.place[unit]
            guard !state.problem.mayBe(unit, on: home) || state.neighbours(unit, on: home) > 0 || state.isOverdrawn(home) else { continue }
            var choice: (host: Int, energy: Double)?
            for host in 0..<state.problem.hostCount where host != home && state.accepts(unit, on: host) {
                state.move(unit, to: host)
                if state.energy < (choice?.energy ?? before) { choice = (host, state.energy) }
                state.move(unit, to: home)
            }
            if let choice { state.move(unit, to: choice.host) }
        }
    }

    /// Takes load off the hottest host, cheapest first, again and again; the best of all placements on the way is kept.
    ///
    /// A peak shared by many hosts falls only when all of them have moved, so the way may lead through placements that do not pay yet. It
    /// ends when the moves cost more than the peak could still give.
    private mutating func descend() {
        let floor = state.problem.fleetLoad.max() ?? 0
        var sinceBest = 0
        while sinceBest < 50_000 {
            if state.violation <= 0, state.objective - state.peakOfAll + floor > bestEnergy, bestEnergy < .infinity { return }
            if let (unit, host) = relief() {
                state.move(unit, to: host)
            } else if let (left, right) = trade() {
                let (from, to) = (state.place[left], state.place[right])
                state.move(left, to: to)
                state.move(right, to: from)
            } else {
                return
            }
            sinceBest += 1
            if state.energy < bestEnergy - 1e-12 {
                keepIfBetter()
                sinceBest = 0
            }
        }
    }

    /// The move off the hottest host that takes most off its peak for the memory moved.
    private mutating func relief() -> (unit: Int, host: Int)? {
        let hot = state.hottest
        let peak = state.peakOfAll
        let problem = state.problem
        var targets = state.coolest(BalanceSearch.targets)
        targets.removeAll { $0 == hot }
        var choice: (unit: Int, host: Int, worth: Double)?
        for unit in state.onHost[hot].prefix(BalanceSearch.unitsOfHost) {
            let now = problem.memoryMoved(unit, to: hot)
            let demand = problem.units[unit].demand
            let left = state.peak(hot, changedBy: demand, -1)
            guard left < peak - 1e-12 else { continue }
            let own = problem.units[unit].allowed ?? []
            for host in own.isEmpty || own.count > 32 ? targets : own where host != hot {
                let arrived = state.peak(host, changedBy: demand, 1)
                guard arrived < peak - 1e-12, state.accepts(unit, on: host) else { continue }
                let gain = peak - max(left, arrived)
                let cost = max(0, problem.memoryMoved(unit, to: host) - now) / max(problem.memoryTotal, 1)
                let worth = gain / (cost + 1e-9)
                if worth > choice?.worth ?? 0 { choice = (unit, host, worth) }
            }
        }
        return choice.map { ($0.unit, $0.host) }
    }

    /// The exchange of a unit of the hottest host for one of a cool host that takes most off the peak: what remains when room is short.
    private mutating func trade() -> (left: Int, right: Int)? {
        let hot = state.hottest
        let peak = state.peakOfAll
        var choice: (left: Int, right: Int, peak: Double)?
        for host in state.coolest(BalanceSearch.targets) where host != hot {
            for left in state.onHost[hot].prefix(60) {
                for right in state.onHost[host].prefix(60) {
                    let difference = zip(state.problem.units[right].demand, state.problem.units[left].demand).map { $0 - $1 }
                    let after = max(state.peak(hot, changedBy: difference, 1), state.peak(host, changedBy: difference, -1))
                    guard after < (choice?.peak ?? peak) - 1e-12 else { continue }
                    let violation = state.violation
                    state.move(left, to: host)
                    state.move(right, to: hot)
                    if state.violation <= violation + 1e-9 { choice = (left, right, after) }
                    state.move(right, to: host)
                    state.move(left, to: hot)
                }
            }
        }
        return choice.map { ($0.left, $0.right) }
    }

    // MARK: Annealing

    private mutating func anneal(steps: Int, hot: Double) {
        let units = best.count
        let hosts = state.problem.hostCount
        let cold = 0.00005
        var temperature = hot
        var cooling = 1.0
        // The factor that leads from hot to cold in so many steps, by repeated square roots: no logarithm is needed.
        var low = 0.0
        var high = 1.0
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if power(middle, steps / 256) * hot < cold { low = middle } else { high = middle }
        }
        cooling = high
        for step in 0..<steps {
            if step % 256 == 255 { temperature *= cooling }
            let before = state.energy
            let choice = random.next(below: 100)
            if choice < 45 {
                shift(random.next(below: units), before, temperature)
            } else if choice < 65 {
                let crowd = state.onHost[state.hottest]
                if !crowd.isEmpty { shift(crowd[random.next(below: crowd.count)], before, temperature) }
            } else if choice < 75 {
                let unit = random.next(below: units)
                attempt([(unit, state.problem.units[unit].home)], before, temperature)
            } else {
                let left = random.next(below: units)
                let right = random.next(below: units)
                let (from, to) = (state.place[left], state.place[right])
                if from != to, hosts > 1 { attempt([(left, to), (right, from)], before, temperature) }
            }
        }
    }

    private mutating func shift(_ unit: Int, _ before: Double, _ temperature: Double) {
        let allowed = state.problem.units[unit].allowed
        let host: Int
        if let allowed {
            guard !allowed.isEmpty else { return }
            host = allowed[random.next(below: allowed.count)]
        } else {
            host = random.next(below: state.problem.hostCount)
        }
        attempt([(unit, host)], before, temperature)
    }

    private mutating func attempt(_ moves: [(unit: Int, host: Int)], _ before: Double, _ temperature: Double) {
        let violation = state.violation
        let old = moves.map { state.place[$0.unit] }
        for move in moves {
            guard state.problem.mayBe(move.unit, on: move.host) || move.host == state.problem.units[move.unit].home else { return }
        }
        for move in moves { state.move(move.unit, to: move.host) }
        let change = state.energy - before
        let isBetter = change <= 0
        if isBetter || (state.violation <= violation + 1e-9 && random.chance(negativeExponent: change / temperature)) {
            keepIfBetter()
        } else {
            for (index, move) in moves.enumerated() { state.move(move.unit, to: old[index]) }
        }
    }

    /// Shifts and swaps until none is better.
    private mutating func polish() {
        var improved = true
        var rounds = 0
        while improved, rounds < 20 {
            improved = false
            rounds += 1
            let before = bestEnergy
            for unit in best.indices {
                for host in 0..<state.problem.hostCount { attempt([(unit, host)], state.energy, 1e-12) }
            }
            if best.count <= 300 {
                for left in best.indices {
                    for right in best.indices where right > left && state.place[left] != state.place[right] {
                        attempt([(left, state.place[right]), (right, state.place[left])], state.energy, 1e-12)
                    }
                }
            }
            improved = bestEnergy < before - 1e-12
        }
    }

    /// Takes back each move without which the plan is no worse, the dearest first.
    private mutating func dropMovesThatDoNotPay() {
        let moved = best.indices.filter { best[$0] != state.problem.units[$0].home }
            .sorted { (state.problem.units[$1].memory, $0) < (state.problem.units[$0].memory, $1) }
        for unit in moved {
            let host = state.place[unit]
            let before = state.energy
            state.move(unit, to: state.problem.units[unit].home)
            if state.energy > before { state.move(unit, to: host) }
        }
        if state.energy <= bestEnergy {
            bestEnergy = state.energy
            best = state.place
        }
    }
}

private func power(_ base: Double, _ exponent: Int) -> Double {
    var result = 1.0
    var factor = base
    var left = exponent
    while left > 0 {
        if left & 1 == 1 { result *= factor }
        factor *= factor
        left >>= 1
    }
    return result
}

/// Splitmix64: the seed decides everything.
struct BalanceGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func next(below bound: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(bound)).high) }

    /// True with probability e⁻ˣ, by squaring a short series: the standard library has no exponential.
    mutating func chance(negativeExponent x: Double) -> Bool {
        guard x < 20 else { return false }
        var value = 1 - x / 1024
        for _ in 0..<10 { value *= value }
        return Double(next() >> 11) * 0x1p-53 < value
    }
}
