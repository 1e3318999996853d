/// An element of an XML document: what Steward needs of one, and no more.
public struct XMLElement: Hashable, Sendable {
    /// One attribute.
    public struct Attribute: Hashable, Sendable {
        /// The name without its prefix.
        public let name: String
        /// The value with references resolved.
        public let value: String
    }

    /// The name without its prefix.
    public let name: String
    /// The URI of its namespace; empty where it has none.
    public let namespace: String
    /// The attributes in the order of the document, without namespace declarations.
    public let attributes: [Attribute]
    /// The child elements in the order of the document.
    public internal(set) var children: [XMLElement] = []
    /// The character data directly inside it, joined.
    public internal(set) var text = ""

    /// The value of an attribute, or nil where there is none.
    public subscript(attribute: String) -> String? {
        attributes.first { $0.name == attribute }?.value
    }

    /// The first child of that name in that namespace, or nil.
    public func child(_ name: String, namespace: String = "") -> XMLElement? {
        children.first { $0.name == name && $0.namespace == namespace }
    }

    /// The text without white space around it.
    public var trimmedText: String {
        func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }
        let bytes = text.utf8.drop(while: isSpace)
        let rest = bytes.reversed().prefix(while: isSpace).count
        return String(decoding: bytes.dropLast(rest), as: UTF8.self)
    }

    /// The root element of a document.
    ///
    /// Resolves namespaces, the five named references and numeric ones; reads CDATA; skips comments and processing instructions.
    /// Declared entities are refused, so no document grows while it is read. Bounds: `XMLReader.maximumBytes` and `maximumDepth`.
    public init(parsing document: String) throws(XMLError) {
        var reader = XMLReader(document)
        self = try reader.readDocument()
    }

    init(name: String, namespace: String, attributes: [Attribute]) {
        self.name = name
        self.namespace = namespace
        self.attributes = attributes
    }
}

/// Why a document could not be read, and where.
public struct XMLError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The line, from 1.
    public let line: Int
    /// The column in bytes, from 1.
    public let column: Int
    /// What is wrong, without a full stop.
    public let message: String

    /// An error at a place.
    public init(line: Int, column: Int, message: String) {
        self.line = line
        self.column = column
        self.message = message
    }

    /// `line 3, column 5: what is wrong`.
    public var description: String { "line \(line), column \(column): \(message)" }
}

/// Text as it stands inside an element or a quoted attribute, with markup and line ends as references.
///
/// Returns nil where the text holds a character that XML 1.0 cannot carry: a control character other than tab and line ends, U+FFFE, U+FFFF.
public func xmlEscaped(_ text: String) -> String? {
    var escaped = ""
    for scalar in text.unicodeScalars {
        switch scalar.value {
        case 0x26: escaped += "&amp;"
        case 0x3C: escaped += "&lt;"
        case 0x3E: escaped += "&gt;"
        case 0x22: escaped += "&quot;"
        case 0x27: escaped += "&apos;"
        case 9, 10, 13: escaped += "&#\(scalar.value);"
        case 0..<32, 0xFFFE, 0xFFFF: return nil
        default: escaped.unicodeScalars.append(scalar)
        }
    }
    return escaped
}
