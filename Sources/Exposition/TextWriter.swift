import TimeSeries

/// Writes text into a piece of memory of fixed size; the caller asks for room first.
///
/// Unsafe inside and not outside: every write is preceded by a check of `room` against an upper bound of what is written.
struct TextWriter {
    private let start: UnsafeMutablePointer<UInt8>
    private var end: UnsafeMutablePointer<UInt8>
    private let capacity: Int

    init(_ start: UnsafeMutablePointer<UInt8>, capacity: Int) {
        self.start = start
        end = start
        self.capacity = capacity
    }

    var count: Int { end - start }
    var room: Int { capacity - count }

    mutating func write(_ byte: UInt8) {
        end.pointee = byte
        end += 1
    }

    mutating func write(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let source = bytes.baseAddress else { return }
        end.update(from: source, count: bytes.count)
        end += bytes.count
    }

    mutating func write(_ bytes: [UInt8]) {
        bytes.withUnsafeBufferPointer { write($0) }
    }

    mutating func write(_ text: String) {
        var text = text
        text.withUTF8 { write($0) }
    }

    /// The longest number: 2⁶⁴ × 2³² has 29 digits, a sign and a point; a double's shortest form has 24 characters.
    static let longestNumber = 64

    /// A stored number in base units, exactly: the decimal point is placed among the digits, and zeros at the end are dropped.
    mutating func write(bits: UInt64, kind: NumberKind, scale: Scale) {
        switch kind {
        case .unsigned: writeScaled(bits, scale)
        case .signed:
            let number = Int64(bitPattern: bits)
            if number < 0 { write(UInt8(ascii: "-")) }
            writeScaled(number.magnitude, scale)
        case .real: writeReal(Double(bitPattern: bits), scale)
        }
    }

    private mutating func writeScaled(_ magnitude: UInt64, _ scale: Scale) {
        let (product, isTooLarge) = magnitude.multipliedReportingOverflow(by: UInt64(scale.multiplier))
        guard !isTooLarge else {
            let wide = UInt128(magnitude) * UInt128(scale.multiplier)
            return writeWide(wide, decimals: Int(scale.decimals))
        }
        switch scale.decimals {
        case 0: writeInteger(product)
        case 3: writeParts(product / 1000, product % 1000, decimals: 3)
        case 9: writeParts(product / 1_000_000_000, product % 1_000_000_000, decimals: 9)
        default:
            let divisor = TextWriter.powersOfTen[Int(scale.decimals)]
            writeParts(product / divisor, product % divisor, decimals: Int(scale.decimals))
        }
    }

    private mutating func writeWide(_ number: UInt128, decimals: Int) {
        let divisor = UInt128(TextWriter.powersOfTen[decimals])
        let whole = number / divisor
        let chunk = UInt128(TextWriter.powersOfTen[18])
        if whole >= chunk {
            writeInteger(UInt64(truncatingIfNeeded: whole / chunk))
            writeDigits(UInt64(truncatingIfNeeded: whole % chunk), digits: 18)
        } else {
            writeInteger(UInt64(truncatingIfNeeded: whole))
        }
        writeFraction(UInt64(truncatingIfNeeded: number % divisor), decimals: decimals)
    }

    private mutating func writeParts(_ whole: UInt64, _ fraction: UInt64, decimals: Int) {
        writeInteger(whole)
        writeFraction(fraction, decimals: decimals)
    }

    private mutating func writeFraction(_ fraction: UInt64, decimals: Int) {
        guard fraction > 0 else { return }
        write(UInt8(ascii: "."))
        writeDigits(fraction, digits: decimals)
        while (end - 1).pointee == UInt8(ascii: "0") { end -= 1 }
    }

    private mutating func writeInteger(_ number: UInt64) {
        // The number of bits times log₁₀ 2 (1233/4096) is the number of digits or one less.
        let atLeastOne = number | 1
        let guess = ((64 - atLeastOne.leadingZeroBitCount) * 1233) >> 12
        writeDigits(number, digits: atLeastOne >= TextWriter.powersOfTen[guess] ? guess + 1 : guess)
    }

    /// Exactly so many digits, two at a time from the end.
    private mutating func writeDigits(_ number: UInt64, digits: Int) {
        var rest = number
        var place = end + digits
        TextWriter.pairs.withUTF8Buffer { pairs in
            while place - end >= 2 {
                let (quotient, pair) = rest.quotientAndRemainder(dividingBy: 100)
                place -= 2
                place.pointee = pairs[Int(pair) * 2]
                place[1] = pairs[Int(pair) * 2 + 1]
                rest = quotient
            }
        }
        if place > end { end.pointee = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10) }
        end += digits
    }

    /// The shortest decimal that reads back as the same double, in the spelling that Go and OpenMetrics know.
    private mutating func writeReal(_ stored: Double, _ scale: Scale) {
        let number = stored * Double(scale.multiplier) / Double(TextWriter.powersOfTen[Int(scale.decimals)])
        if number.isNaN {
            write("NaN")
        } else if number.isInfinite {
            write(number < 0 ? "-Inf" : "+Inf")
        } else {
            let text = number.description
            write(text.hasSuffix(".0") ? String(text.dropLast(2)) : text)
        }
    }

    /// 10⁰ to 10¹⁹, the largest power below 2⁶⁴.
    private static let powersOfTen: [UInt64] = (1...19).reduce(into: [1]) { powers, _ in powers.append(powers[powers.count - 1] * 10) }
    private static let pairs: StaticString = """
        00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960\
        616263646566676869707172737475767778798081828384858687888990919293949596979899
        """
}
