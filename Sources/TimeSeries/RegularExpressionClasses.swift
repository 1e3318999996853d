/// A set of Unicode scalars as sorted ranges that neither touch nor overlap.
struct ScalarSet: Hashable {
    private(set) var ranges: [ClosedRange<UInt32>] = []

    static let last: UInt32 = 0x10FFFF
    static let all = ScalarSet([0...last])
    static let digits = ScalarSet([0x30...0x39])
    static let spaces = ScalarSet([0x09...0x0A, 0x0C...0x0D, 0x20...0x20])
    static let words = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])

    init() {}

    init(_ ranges: [ClosedRange<UInt32>]) { add(ranges) }

    mutating func add(_ more: [ClosedRange<UInt32>]) {
        var merged: [ClosedRange<UInt32>] = []
        for range in (ranges + more).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let before = merged.last, range.lowerBound <= before.upperBound || range.lowerBound == before.upperBound + 1 {
                merged[merged.count - 1] = before.lowerBound...max(before.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        ranges = merged
    }

    var inverted: ScalarSet {
        var result = ScalarSet()
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { result.ranges.append(next...range.lowerBound - 1) }
            next = range.upperBound + 1
        }
        if next <= ScalarSet.last { result.ranges.append(next...ScalarSet.last) }
        return result
    }

    /// The only scalar, if there is just one.
    var single: UInt32? {
        guard ranges.count == 1, ranges[0].count == 1 else { return nil }
        return ranges[0].lowerBound
    }

    /// With every scalar that differs from a member in case only.
    var foldingCase: ScalarSet {
        var result = self
        var additions: [ClosedRange<UInt32>] = []
        for range in ranges {
            var index = CaseOrbits.firstIndex(notBelow: range.lowerBound)
            while index < CaseOrbits.members.count, CaseOrbits.members[index].scalar <= range.upperBound {
                for other in CaseOrbits.members[index].others { additions.append(other...other) }
                index += 1
            }
        }
        result.add(additions)
        return result
    }
}

/// Scalars that differ in case only, by Unicode's simple mappings; a constant computed at first use.
enum CaseOrbits {
    struct Member {
        let scalar: UInt32
        let others: [UInt32]
    }

    /// No script with cases lies beyond Adlam.
    private static let lastCased: UInt32 = 0x1E943

    static let members: [Member] = {
        var orbits: [UInt32: [UInt32]] = [:]
        for value in 0...lastCased {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let upper = single(scalar.properties.uppercaseMapping) ?? scalar
            let folded = single(upper.properties.lowercaseMapping) ?? upper
            if folded != scalar || upper != scalar { orbits[folded.value, default: []].append(value) }
        }
        for key in orbits.keys where orbits[key]?.contains(key) == false { orbits[key]?.append(key) }
        return orbits.values.filter { $0.count > 1 }.flatMap { orbit in
            orbit.map { scalar in Member(scalar: scalar, others: orbit.filter { $0 != scalar }) }
        }.sorted { $0.scalar < $1.scalar }
    }()

    static func firstIndex(notBelow scalar: UInt32) -> Int {
        var low = 0
        var high = members.count
        while low < high {
            let middle = (low + high) / 2
            if members[middle].scalar < scalar { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func single(_ mapping: String) -> Unicode.Scalar? {
        let scalars = mapping.unicodeScalars
        return scalars.count == 1 ? scalars.first : nil
    }
}

/// The classes with names: `[:alpha:]`, `\pL`.
enum NamedClass {
    /// The POSIX classes of RE2, ASCII only.
    static func posix(_ name: String) -> ScalarSet? {
        switch name {
        case "alnum": ScalarSet([0x30...0x39, 0x41...0x5A, 0x61...0x7A])
        case "alpha": ScalarSet([0x41...0x5A, 0x61...0x7A])
        case "ascii": ScalarSet([0...0x7F])
        case "blank": ScalarSet([0x09...0x09, 0x20...0x20])
        case "cntrl": ScalarSet([0...0x1F, 0x7F...0x7F])
        case "digit": .digits
        case "graph": ScalarSet([0x21...0x7E])
        case "lower": ScalarSet([0x61...0x7A])
        case "print": ScalarSet([0x20...0x7E])
        case "punct": ScalarSet([0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E])
        case "space": ScalarSet([0x09...0x0D, 0x20...0x20])
        case "upper": ScalarSet([0x41...0x5A])
        case "word": .words
        case "xdigit": ScalarSet([0x30...0x39, 0x41...0x46, 0x61...0x66])
        default: nil
        }
    }

    /// A general category such as `L` or `Nd`, or `Any`; scripts are not known here.
    ///
    /// Walks all scalars, which takes some tens of milliseconds: the parser asks once a pattern and name.
    static func unicode(_ name: String) -> ScalarSet? {
        if name == "Any" { return .all }
        guard let wanted = categories[name] else { return nil }
        var ranges: [ClosedRange<UInt32>] = []
        var start: UInt32?
        for value in 0...ScalarSet.last + 1 {
            let isMember = Unicode.Scalar(value).map { wanted.contains($0.properties.generalCategory) } ?? false
            if isMember, start == nil { start = value }
            if !isMember, let first = start {
                ranges.append(first...value - 1)
                start = nil
            }
        }
        return ScalarSet(ranges)
    }

    private static let categories: [String: Set<Unicode.GeneralCategory>] = {
        let single: [(String, Unicode.GeneralCategory)] = [
            ("Lu", .uppercaseLetter), ("Ll", .lowercaseLetter), ("Lt", .titlecaseLetter), ("Lm", .modifierLetter), ("Lo", .otherLetter),
            ("Mn", .nonspacingMark), ("Mc", .spacingMark), ("Me", .enclosingMark), ("Nd", .decimalNumber), ("Nl", .letterNumber),
            ("No", .otherNumber), ("Pc", .connectorPunctuation), ("Pd", .dashPunctuation), ("Ps", .openPunctuation),
            ("Pe", .closePunctuation), ("Pi", .initialPunctuation), ("Pf", .finalPunctuation), ("Po", .otherPunctuation),
            ("Sm", .mathSymbol), ("Sc", .currencySymbol), ("Sk", .modifierSymbol), ("So", .otherSymbol), ("Zs", .spaceSeparator),
            ("Zl", .lineSeparator), ("Zp", .paragraphSeparator), ("Cc", .control), ("Cf", .format), ("Co", .privateUse),
        ]
        var result: [String: Set<Unicode.GeneralCategory>] = [:]
        for (name, category) in single {
            result[name] = [category]
            result[String(name.prefix(1)), default: []].insert(category)
        }
        return result
    }()
}
