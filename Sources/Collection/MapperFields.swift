import Fleet
import TimeSeries

/// Finds the family and the labels of one of libvirt's parameters by its name.
///
/// Built once from the catalogue; used when a guest's shape changes, never for each number.
struct FieldIndex: Sendable {
    /// What a parameter's name was found to be.
    struct Match {
        let family: Int
        let labels: [MetricLabel]
        /// The numbers in the name, in order.
        let numbers: [Substring]
        /// The word that stands for the pattern's `?`.
        let word: Substring?
    }

    static let shared = FieldIndex()

    private let places: [String: (family: Int, field: Int)]

    private init() {
        var places: [String: (family: Int, field: Int)] = [:]
        for (familyIndex, family) in MetricCatalogue.families.enumerated() {
            for (fieldIndex, field) in family.fields.enumerated() where field.answer != .other {
                places["\(field.answer.rawValue)/\(field.pattern)"] = (familyIndex, fieldIndex)
            }
        }
        self.places = places
    }

    func match(_ name: String, from answer: MetricField.Answer) -> Match? {
        var words = name.split(separator: ".", omittingEmptySubsequences: false)
        var numbers: [Substring] = []
        for (index, word) in words.enumerated() where isNumber(word) {
            numbers.append(word)
            words[index] = "*"
        }
        func place() -> (family: Int, field: Int)? { places["\(answer.rawValue)/\(words.joined(separator: "."))"] }
        if let place = place() { return match(place, numbers, word: nil) }
        guard words.count >= 3 else { return nil }
        let word = words[words.count - 2]
        words[words.count - 2] = "?"
        return place().map { match($0, numbers, word: word) }
    }

    private func match(_ place: (family: Int, field: Int), _ numbers: [Substring], word: Substring?) -> Match {
        let labels = MetricCatalogue.families[place.family].fields[place.field].labels
        return Match(family: place.family, labels: labels, numbers: numbers, word: word)
    }

    private func isNumber(_ word: Substring) -> Bool { !word.isEmpty && word.utf8.allSatisfy { (48...57).contains($0) } }
}

extension FieldIndex.Match {
    /// The name of another field with the same numbers: `block.*.name` of `block.3.rd.bytes` is `block.3.name`.
    func sibling(_ pattern: String) -> String {
        var rest = numbers[...]
        return pattern.split(separator: ".").map { $0 == "*" ? rest.popFirst() ?? "*" : $0 }.joined(separator: ".")
    }
}

/// The longest value of a descriptive label: what follows is cut off, so that no title or path makes a line without bound.
let maximumLabelBytes = 1024

/// A label, or nil where there is nothing to say; a value beyond `maximumLabelBytes` is cut at a character.
func descriptiveLabel(_ name: String, _ value: String?) -> Label? {
    guard let value, !value.isEmpty else { return nil }
    guard value.utf8.count > maximumLabelBytes else { return Label(name, value) }
    var cut = ""
    for scalar in value.unicodeScalars {
        if cut.utf8.count + UTF8.width(scalar) > maximumLabelBytes { break }
        cut.unicodeScalars.append(scalar)
    }
    return Label(name, cut)
}
