import Fleet
import Testing
import TimeSeries

@Suite("Scaling")
struct ScalingTests {
    @Test("a quotient is rounded once, as the decimal text of it would be", arguments: 0..<20)
    func decimals(seed: Int) throws {
        var dice = Dice(seed: UInt64(seed))
        for _ in 0..<400 {
            let decimals = Int.random(in: 0...18, using: &dice)
            let magnitude = dice.next() >> UInt64.random(in: 0..<64, using: &dice)
            let multiplier = dice.chance(50) ? 1 : UInt32(truncatingIfNeeded: dice.next()) | 1
            let product = UInt128(magnitude) * UInt128(multiplier)
            let expected = try #require(Double("\(product)e-\(decimals)"))
            #expect(Scale(multiplier: multiplier, decimals: UInt8(decimals)).apply(toMagnitude: magnitude) == expected)
        }
    }

    @Test(
        "both sides of the exact range, all 64 bits, and signs",
        arguments: [
            (UInt64(9_007_199_254_740_992), "9007199.254740992"), (9_007_199_254_740_993, "9007199.254740993"),
            (UInt64.max, "18446744073.709551615"), (0, "0"),
        ])
    func bounds(magnitude: UInt64, text: String) throws {
        #expect(Scale.nanoseconds.apply(toBits: magnitude, kind: .unsigned) == Double(text))
        if magnitude <= Int64.max {
            #expect(Scale.nanoseconds.apply(toBits: UInt64(bitPattern: -Int64(magnitude)), kind: .signed) == -(try #require(Double(text))))
        }
    }

    @Test("many at once give what each gives alone", arguments: 0..<30)
    func bulk(seed: Int) {
        var dice = Dice(seed: UInt64(seed) + 100)
        let kind: NumberKind = [.signed, .unsigned, .real][seed % 3]
        let scale = [Scale.one, .nanoseconds, .kibibytes, Scale(multiplier: 7, decimals: 3)][seed % 4]
        let shift = UInt64.random(in: 0..<63, using: &dice)
        let bits = (0..<200).map { _ in
            kind == .signed ? UInt64(bitPattern: Int64(bitPattern: dice.next()) >> Int64(shift)) : dice.next() >> shift
        }
        var bulk = [Double](repeating: 0, count: bits.count)
        bits.withUnsafeBufferPointer { source in bulk.withUnsafeMutableBufferPointer { scale.apply(source, kind: kind, into: $0) } }
        #expect(bulk.map(\.bitPattern) == bits.map { scale.apply(toBits: $0, kind: kind).bitPattern })
    }
}
