import TimeSeries

/// One family as it is written: its head, and how its lines come from the catalogue's columns.
struct FamilyPlan {
    /// The index of the catalogue's family that gives the numbers.
    let family: Int
    /// The name as every line begins with it.
    let name: [UInt8]
    /// `# HELP`, `# TYPE` and, in OpenMetrics, `# UNIT`.
    let head: [UInt8]
    /// How the family's numbers are scaled.
    let scale: Scale
    /// The legacy form, or nil for the catalogue's own.
    let legacy: LegacyFamily?
    /// Whether no later plan is fed by the same family.
    let isLast: Bool

    /// The plans for the families that occur, in the catalogue's order.
    static func all(occurring: [Bool], format: ExpositionFormat, names: MetricNames) -> [FamilyPlan] {
        switch names {
        case .canonical:
            return MetricCatalogue.families.indices.filter { occurring[$0] }.map { index in
                let family = MetricCatalogue.families[index]
                return FamilyPlan(
                    family: index, name: Array(family.name.utf8),
                    head: head(
                        name: format == .openMetrics ? family.familyName : family.name, kind: family.kind, unit: family.unit,
                        help: family.help, format: format),
                    scale: family.scale, legacy: nil, isLast: true)
            }
        case .tinkoff:
            let plans = MetricCatalogue.legacy.compactMap { legacy in
                MetricCatalogue.index(of: legacy.canonical).flatMap { occurring[$0] ? (legacy, $0) : nil }
            }
            return plans.enumerated().map { place, plan in
                let (legacy, index) = plan
                let isCounter = legacy.kind == .counter && format == .openMetrics
                return FamilyPlan(
                    family: index, name: Array(legacy.name.utf8),
                    head: head(
                        name: isCounter ? String(legacy.name.dropLast("_total".count)) : legacy.name, kind: legacy.kind, unit: nil,
                        help: legacy.help, format: format),
                    scale: MetricCatalogue.families[index].scale, legacy: legacy,
                    isLast: place + 1 == plans.count || plans[place + 1].1 != index)
            }
        }
    }

    private static func head(name: String, kind: MetricFamily.Kind, unit: String?, help: String, format: ExpositionFormat) -> [UInt8] {
        let type = kind == .info && format == .prometheusText ? "gauge" : kind.rawValue
        var escaped = ""
        for character in help {
            switch character {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where format == .openMetrics: escaped += "\\\""
            default: escaped.append(character)
            }
        }
        var text = "# HELP \(name) \(escaped)\n# TYPE \(name) \(type)\n"
        if format == .openMetrics, let unit { text += "# UNIT \(name) \(unit)\n" }
        return Array(text.utf8)
    }
}
