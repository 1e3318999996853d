/// The readings of one source over several ticks, column by column: what a segment is made from and what it decodes to.
package struct TickBlock: Sendable, Equatable {
    /// How many columns the source has.
    package let columnCount: Int
    /// When, in milliseconds since the Unix epoch; strictly increasing.
    package var times: [Int64]
    /// Native bits: those of column c at tick t are at c × times.count + t.
    package var values: [UInt64]
    /// Whether there is a number, placed like `values`; empty where all are present.
    package var presence: [Bool]
    /// For each column whether it had a number at the tick before the first.
    package var wasPresent: [Bool]

    /// A block; traps where the shapes differ.
    package init(columnCount: Int, times: [Int64], values: [UInt64], presence: [Bool] = [], wasPresent: [Bool]) {
        precondition(values.count == columnCount * times.count && wasPresent.count == columnCount, "a block of another shape")
        precondition(presence.isEmpty || presence.count == values.count, "presence of another shape")
        self.columnCount = columnCount
        self.times = times
        self.values = values
        self.presence = presence
        self.wasPresent = wasPresent
    }

    /// Only the ticks whose times pass.
    package func filter(_ isKept: (Int64) -> Bool) -> TickBlock {
        let kept = times.indices.filter { isKept(times[$0]) }
        guard kept.count < times.count else { return self }
        var values: [UInt64] = []
        var presence: [Bool] = []
        values.reserveCapacity(kept.count * columnCount)
        for column in 0..<columnCount {
            for tick in kept {
                values.append(self.values[column * times.count + tick])
                if !self.presence.isEmpty { presence.append(self.presence[column * times.count + tick]) }
            }
        }
        return TickBlock(
            columnCount: columnCount, times: kept.map { times[$0] }, values: values, presence: presence, wasPresent: wasPresent)
    }

    func presentValues(_ column: Int) -> [UInt64] {
        let range = column * times.count..<(column + 1) * times.count
        guard !presence.isEmpty else { return Array(values[range]) }
        return range.filter { presence[$0] }.map { values[$0] }
    }

    /// Lengths of alternating stretches, the first one present (perhaps 0 long); empty where every tick has a number.
    func runs(_ column: Int) -> [UInt32] {
        guard !presence.isEmpty else { return [] }
        let range = column * times.count..<(column + 1) * times.count
        guard range.contains(where: { !presence[$0] }) else { return [] }
        var runs: [UInt32] = [0]
        var isPresent = true
        for index in range {
            if presence[index] != isPresent {
                isPresent.toggle()
                runs.append(0)
            }
            runs[runs.count - 1] += 1
        }
        return runs
    }
}
