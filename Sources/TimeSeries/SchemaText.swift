/// The labels of a schema as the text formats write them, laid out in the order in which an exposition needs them.
///
/// A scrape of a million series visits them family by family, so that what one line needs must lie close together: for each column
/// that the catalogue knows, in its order, a head of 8 bytes and then the column's own labels. Made once, when the schema is; about
/// 20 bytes a series on a usual guest.
public final class SchemaText: @unchecked Sendable {
    // Unchecked: the memory is written in `init` and only read afterwards; the class owns it and frees it in `deinit`.

    /// The labels of the source, `host="h1",uuid="…"`, without braces; empty where it has none.
    public let sourceLabels: UnsafeBufferPointer<UInt8>
    /// The first entry.
    public let firstEntry: Entry

    private let memory: UnsafeMutableBufferPointer<UInt8>

    /// One catalogued column; valid as long as its `SchemaText` lives.
    public struct Entry {
        @usableFromInline
        let pointer: UnsafePointer<UInt8>

        /// The family that stands after the last entry.
        @inlinable public static var endFamily: UInt16 { .max }

        @inlinable init(_ pointer: UnsafePointer<UInt8>) { self.pointer = pointer }

        /// The family's index in the catalogue, or `endFamily` after the last column.
        @inlinable public var family: UInt16 { UnsafeRawPointer(pointer).loadUnaligned(as: UInt16.self) }
        /// The column's index in the schema.
        @inlinable public var column: Int { Int(UnsafeRawPointer(pointer).loadUnaligned(fromByteOffset: 2, as: UInt16.self)) }
        /// Whether the column's numbers are unsigned and scaled as the catalogue says.
        @inlinable public var isUsual: Bool { pointer[6] == 1 }
        /// The column's own labels, `device="vda"`, without braces; empty where it has none.
        @inlinable public var labels: UnsafeBufferPointer<UInt8> {
            UnsafeBufferPointer(start: pointer + SchemaText.headBytes, count: labelBytes)
        }
        /// The entry after this one; not to be asked for after `endFamily`.
        @inlinable public var next: Entry { Entry(pointer + SchemaText.headBytes + labelBytes) }

        @inlinable var labelBytes: Int {
            Int(UnsafeRawPointer(pointer).loadUnaligned(fromByteOffset: 4, as: UInt16.self)) | Int(pointer[7]) << 16
        }
    }

    @inlinable static var headBytes: Int { 8 }
    /// The longest text of one column's labels, by the 24 bits that hold its length: four times libvirt's longest string.
    private static let maximumLabelBytes = 1 << 24 - 1

    init(labels: LabelSet, columns: [Column]) {
        var source: [UInt8] = []
        labels.appendText(to: &source)
        var entries: [UInt8] = []
        for entry in CataloguedColumn.all(of: columns) {
            let column = columns[Int(entry.column)]
            var text: [UInt8] = []
            column.labels.appendText(to: &text)
            if text.count > SchemaText.maximumLabelBytes { continue }
            let isUsual = column.kind == .unsigned && column.scale == MetricCatalogue.families[Int(entry.family)].scale
            for half in [entry.family, entry.column, UInt16(truncatingIfNeeded: text.count)] {
                withUnsafeBytes(of: half) { entries += $0 }
            }
            entries += [isUsual ? 1 : 0, UInt8(truncatingIfNeeded: text.count >> 16)]
            entries += text
        }
        withUnsafeBytes(of: Entry.endFamily) { entries += $0 }

        memory = .allocate(capacity: source.count + entries.count)
        _ = memory.initialize(fromContentsOf: source + entries)
        sourceLabels = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(memory)[..<source.count])
        firstEntry = Entry(UnsafePointer(memory.baseAddress.unsafelyUnwrapped + source.count))
    }

    deinit { memory.deallocate() }

    /// The memory that the text takes.
    public var bytes: Int { memory.count }
}

extension LabelSet {
    /// Appends the labels as the text formats write them: `a="1",b="2"`, with `\`, `"` and line ends escaped.
    public func appendText(to text: inout [UInt8]) {
        for label in labels { Label.appendText(label.name, label.value, to: &text) }
    }
}

extension Label {
    /// Appends one label, after a comma unless `text` is empty or ends in `{`.
    public static func appendText(_ name: String, _ value: String, to text: inout [UInt8]) {
        if let last = text.last, last != UInt8(ascii: "{") { text.append(UInt8(ascii: ",")) }
        text += Array(name.utf8)
        text += [UInt8(ascii: "="), UInt8(ascii: "\"")]
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\\"), UInt8(ascii: "\""): text += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "\n"): text += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
