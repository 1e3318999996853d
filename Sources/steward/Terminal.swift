import Glibc

/// What the command's output goes to.
enum Terminal {
    /// Whether standard output is a person's terminal.
    static var isInteractive: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Whether to colour: only on a terminal, and not where NO_COLOR is set (https://no-color.org).
    static var hasColour: Bool { isInteractive && getenv("NO_COLOR") == nil }

    enum Colour: Int {
        case red = 31
        case green = 32
        case yellow = 33
    }

    static func coloured(_ text: String, _ colour: Colour) -> String {
        hasColour ? "\u{1b}[\(colour.rawValue)m\(text)\u{1b}[0m" : text
    }
}

/// A table of text for a terminal: columns as wide as their widest cell, two spaces between them.
struct TextTable {
    enum Alignment {
        case left
        case right
    }

    private let columns: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []

    init(_ columns: [(title: String, alignment: Alignment)]) { self.columns = columns }

    mutating func add(_ cells: [String]) { rows.append(cells) }

    /// The lines, the titles first, without trailing spaces.
    var lines: [String] {
        let all = [columns.map(\.title)] + rows
        let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let space = String(repeating: " ", count: widths[column] - cell.count)
                line += (column == 0 ? "" : "  ") + (columns[column].alignment == .left ? cell + space : space + cell)
            }
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }
}
