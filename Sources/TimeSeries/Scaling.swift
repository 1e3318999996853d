/// Powers of ten that a double holds exactly: 10^0…10^22; decimals go to 18.
let exactPowersOfTen: [Double] = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18]

let integerPowersOfTen: [UInt64] = (0...18).map { exponent in (0..<exponent).reduce(1) { power, _ in power * 10 } }

extension Scale {
    /// `magnitude × multiplier ÷ 10^decimals`, rounded once, to the nearest double, ties to even.
    ///
    /// Up to 2^53 numerator and divisor are both exact doubles, so one IEEE division rounds correctly. Beyond it the quotient is taken
    /// with 64 and more significant bits, the remainder folded into the lowest one, and converted: again one rounding.
    public func apply(toMagnitude magnitude: UInt64) -> Double {
        let numerator = UInt128(magnitude) * UInt128(multiplier)
        let divisor = integerPowersOfTen[Int(decimals)]
        if numerator <= 1 << 53 { return Double(UInt64(numerator)) / Double(divisor) }
        if divisor == 1 { return rounded(numerator, exponent: 0) }
        // The numerator has at most 96 bits and more than 53: shifted to 127 its quotient by at most 60 bits keeps 67 and more.
        let shift = numerator.leadingZeroBitCount
        let (quotient, remainder) = (numerator << UInt128(shift)).quotientAndRemainder(dividingBy: UInt128(divisor))
        return rounded(quotient | (remainder == 0 ? 0 : 1), exponent: -shift)
    }

    /// An integer with a sticky lowest bit, times a power of two, rounded once.
    private func rounded(_ value: UInt128, exponent: Int) -> Double {
        let excess = max(0, 64 - value.leadingZeroBitCount)
        let sticky: UInt64 = value & ((UInt128(1) << UInt128(excess)) - 1) == 0 ? 0 : 1
        let top = UInt64(truncatingIfNeeded: value >> UInt128(excess)) | sticky
        // Converting 64 bits to a double rounds to nearest even; scaling by a power of two is exact in this range.
        return Double(top) * Double(sign: .plus, exponent: exponent + excess, significand: 1)
    }

    /// The shown value of a stored number.
    public func apply(toBits bits: UInt64, kind: NumberKind) -> Double {
        switch kind {
        case .unsigned: return apply(toMagnitude: bits)
        case .signed:
            let number = Int64(bitPattern: bits)
            return number < 0 ? -apply(toMagnitude: number.magnitude) : apply(toMagnitude: bits)
        case .real:
            let number = Double(bitPattern: bits)
            return self == .one ? number : number * Double(multiplier) / exactPowersOfTen[Int(decimals)]
        }
    }

    /// The shown values of many stored numbers; `target` is as long as `source`.
    ///
    /// One pass decides whether the exact fast path holds for all of them, so that the loop has no branch.
    package func apply(_ source: UnsafeBufferPointer<UInt64>, kind: NumberKind, into target: UnsafeMutableBufferPointer<Double>) {
        guard kind != .real else {
            for index in source.indices { target[index] = apply(toBits: source[index], kind: .real) }
            return
        }
        var largest: UInt64 = 0
        if kind == .unsigned {
            for bits in source { largest |= bits }
        } else {
            for bits in source { largest |= bits ^ UInt64(bitPattern: Int64(bitPattern: bits) >> 63) }
        }
        // One bit in reserve: the complement of a negative number is its magnitude less one.
        let significantBits = (64 - largest.leadingZeroBitCount) + (32 - multiplier.leadingZeroBitCount)
        guard significantBits <= 52 else {
            for index in source.indices { target[index] = apply(toBits: source[index], kind: kind) }
            return
        }
        let factor = Int64(multiplier)
        let divisor = exactPowersOfTen[Int(decimals)]
        if divisor == 1 {
            for index in source.indices { target[index] = Double(Int64(bitPattern: source[index]) &* factor) }
        } else {
            for index in source.indices { target[index] = Double(Int64(bitPattern: source[index]) &* factor) / divisor }
        }
    }
}
