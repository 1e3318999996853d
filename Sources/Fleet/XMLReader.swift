/// Reads one XML document from front to back, without recursion.
public struct XMLReader {
    /// The longest document read: libvirt's own limit on a string in its protocol (REMOTE_STRING_MAX, 4 MiB).
    public static let maximumBytes = 4 << 20
    /// The deepest nesting read: libvirt stops a chain of backing files at 200, each one level deep.
    public static let maximumDepth = 256

    private let bytes: [UInt8]
    private var position = 0
    /// Elements that are open, outermost first, each with the qualified name that must close it.
    private var open: [(element: XMLElement, tag: ArraySlice<UInt8>, bindings: Int)] = []
    /// Namespace declarations in force, innermost last.
    private var bindings: [(prefix: String, uri: String)] = [("xml", "http://www.w3.org/XML/1998/namespace")]

    init(_ document: String) {
        bytes = Array(document.utf8)
    }

    mutating func readDocument() throws(XMLError) -> XMLElement {
        guard bytes.count <= XMLReader.maximumBytes else {
            throw error("a document of \(bytes.count) bytes, where at most \(XMLReader.maximumBytes) are read")
        }
        if starts(with: "\u{FEFF}") { position += 3 }
        var root: XMLElement?
        while position < bytes.count {
            if bytes[position] != UInt8(ascii: "<") {
                try readCharacters(rootIsClosed: root != nil)
            } else if let element = try readMarkup(rootIsClosed: root != nil) {
                root = element
            }
        }
        if let unclosed = open.last { throw error("the document ends inside <\(text(unclosed.tag))>") }
        guard let root else { throw error("a document without an element") }
        return root
    }

    /// Reads one piece of markup; returns the root element when this piece closes it.
    private mutating func readMarkup(rootIsClosed: Bool) throws(XMLError) -> XMLElement? {
        if starts(with: "<!--") {
            try skip(past: "-->", from: position + 4, what: "a comment")
        } else if starts(with: "<![CDATA[") {
            guard !open.isEmpty else { throw error("CDATA outside the root element") }
            let start = position + 9
            try skip(past: "]]>", from: start, what: "CDATA")
            open[open.count - 1].element.text += text(bytes[start..<(position - 3)])
        } else if starts(with: "<?") {
            try skip(past: "?>", from: position + 2, what: "a processing instruction")
        } else if starts(with: "<!") {
            throw error("a document type declaration, which is not read")
        } else if starts(with: "</") {
            return try readEndTag()
        } else {
            guard !rootIsClosed else { throw error("a second root element") }
            return try readStartTag()
        }
        return nil
    }

    private mutating func readCharacters(rootIsClosed: Bool) throws(XMLError) {
        let start = position
        let end = bytes[position...].firstIndex(of: UInt8(ascii: "<")) ?? bytes.count
        if open.isEmpty {
            guard bytes[start..<end].allSatisfy(isSpace) else {
                throw error(rootIsClosed ? "text after the root element" : "text before the root element")
            }
            position = end
        } else {
            open[open.count - 1].element.text += try resolve(start..<end, isAttribute: false)
        }
        position = end
    }

    private mutating func readStartTag() throws(XMLError) -> XMLElement? {
        guard open.count < XMLReader.maximumDepth else { throw error("elements nested deeper than \(XMLReader.maximumDepth)") }
        position += 1
        let tag = try readName()
        let outerBindings = bindings.count
        var attributes: [(name: ArraySlice<UInt8>, value: String)] = []
        while true {
            let hadSpace = skipSpace()
            guard position < bytes.count else { throw error("the document ends inside the tag <\(text(tag))") }
            if bytes[position] == UInt8(ascii: ">") || bytes[position] == UInt8(ascii: "/") { break }
            guard hadSpace else { throw error("white space is missing before an attribute of <\(text(tag))>") }
            let attribute = try readAttribute()
            guard !attributes.contains(where: { $0.name == attribute.name }) else {
                throw error("the attribute \(text(attribute.name)) stands twice in <\(text(tag))>")
            }
            attributes.append(attribute)
        }
        declareNamespaces(attributes)
        let isEmpty = bytes[position] == UInt8(ascii: "/")
        position += isEmpty ? 2 : 1
        guard position <= bytes.count, bytes[position - 1] == UInt8(ascii: ">") else { throw error("'/' in a tag is not followed by '>'") }

        let (prefix, local) = split(tag)
        let plain = attributes.filter { !isDeclaration($0.name) }.map { XMLElement.Attribute(name: split($0.name).local, value: $0.value) }
        let element = XMLElement(name: local, namespace: try namespace(of: prefix), attributes: plain)
        open.append((element, tag, outerBindings))
        return isEmpty ? closeInnermost() : nil
    }

    private mutating func readEndTag() throws(XMLError) -> XMLElement? {
        position += 2
        let tag = try readName()
        _ = skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: ">") else { throw error("an end tag without '>'") }
        guard let innermost = open.last else { throw error("</\(text(tag))> closes nothing") }
        guard innermost.tag == tag else { throw error("</\(text(tag))> stands where </\(text(innermost.tag))> is expected") }
        position += 1
        return closeInnermost()
    }

    /// Closes the innermost element; returns it when it is the root.
    private mutating func closeInnermost() -> XMLElement? {
        let (element, _, outerBindings) = open.removeLast()
        bindings.removeSubrange(outerBindings...)
        guard !open.isEmpty else { return element }
        open[open.count - 1].element.children.append(element)
        return nil
    }

    private mutating func readAttribute() throws(XMLError) -> (name: ArraySlice<UInt8>, value: String) {
        let name = try readName()
        _ = skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: "=") else { throw error("the attribute \(text(name)) has no value") }
        position += 1
        _ = skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") || bytes[position] == UInt8(ascii: "'") else {
            throw error("the value of the attribute \(text(name)) is not quoted")
        }
        let quote = bytes[position]
        let start = position + 1
        guard let end = bytes[start...].firstIndex(of: quote) else { throw error("the value of the attribute \(text(name)) has no end") }
        let value = try resolve(start..<end, isAttribute: true)
        position = end + 1
        return (name, value)
    }
}

// MARK: - Names and namespaces

extension XMLReader {
    private func isDeclaration(_ name: ArraySlice<UInt8>) -> Bool {
        let (prefix, local) = split(name)
        return prefix == "xmlns" || (prefix.isEmpty && local == "xmlns")
    }

    private mutating func declareNamespaces(_ attributes: [(name: ArraySlice<UInt8>, value: String)]) {
        for (name, value) in attributes where isDeclaration(name) {
            let (prefix, local) = split(name)
            bindings.append((prefix.isEmpty ? "" : local, value))
        }
    }

    private func namespace(of prefix: String) throws(XMLError) -> String {
        if let binding = bindings.last(where: { $0.prefix == prefix }) { return binding.uri }
        guard prefix.isEmpty else { throw error("the namespace prefix \(prefix) is not declared") }
        return ""
    }

    private func split(_ name: ArraySlice<UInt8>) -> (prefix: String, local: String) {
        guard let colon = name.firstIndex(of: UInt8(ascii: ":")) else { return ("", text(name)) }
        return (text(name[..<colon]), text(name[(colon + 1)...]))
    }

    private mutating func readName() throws(XMLError) -> ArraySlice<UInt8> {
        let start = position
        while position < bytes.count, isNameByte(bytes[position]) { position += 1 }
        guard position > start else { throw error("a name is expected here") }
        return bytes[start..<position]
    }

    /// Every byte outside ASCII counts as part of a name: the document is UTF-8 and comes from libvirt.
    private func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "."), 128...: true
        default: false
        }
    }
}

// MARK: - Characters

extension XMLReader {
    /// Text with references resolved and line ends made one; white space in attributes becomes spaces (XML 1.0, 3.3.3).
    private mutating func resolve(_ range: Range<Int>, isAttribute: Bool) throws(XMLError) -> String {
        var resolved: [UInt8] = []
        resolved.reserveCapacity(range.count)
        var index = range.lowerBound
        while index < range.upperBound {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "&"):
                position = index
                guard let end = bytes[index..<range.upperBound].firstIndex(of: UInt8(ascii: ";")) else {
                    throw error("'&' begins no reference")
                }
                resolved += Array(String(try reference(text(bytes[(index + 1)..<end]))).utf8)
                index = end
            case UInt8(ascii: "<"):
                position = index
                throw error("'<' inside an attribute's value")
            case 13:
                if index + 1 < range.upperBound, bytes[index + 1] == 10 { break }
                resolved.append(isAttribute ? 32 : 10)
            case 9, 10: resolved.append(isAttribute ? 32 : byte)
            default: resolved.append(byte)
            }
            index += 1
        }
        return String(decoding: resolved, as: UTF8.self)
    }

    private func reference(_ name: String) throws(XMLError) -> Character {
        switch name {
        case "lt": return "<"
        case "gt": return ">"
        case "amp": return "&"
        case "quot": return "\""
        case "apos": return "'"
        default: break
        }
        guard name.hasPrefix("#") else { throw error("&\(name); is not a reference that XML defines") }
        let digits = name.dropFirst()
        let number = digits.hasPrefix("x") ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits)
        guard let number, number > 0, let scalar = Unicode.Scalar(number) else { throw error("&\(name); names no character") }
        return Character(scalar)
    }

    private mutating func skip(past end: StaticString, from start: Int, what: String) throws(XMLError) {
        let pattern = end.withUTF8Buffer { Array($0) }
        var index = start
        while index + pattern.count <= bytes.count {
            if bytes[index..<(index + pattern.count)].elementsEqual(pattern) {
                position = index + pattern.count
                return
            }
            index += 1
        }
        throw error("\(what) has no end")
    }

    private mutating func skipSpace() -> Bool {
        let start = position
        while position < bytes.count, isSpace(bytes[position]) { position += 1 }
        return position > start
    }

    private func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 10 || byte == 13 }

    private func starts(with pattern: StaticString) -> Bool {
        pattern.withUTF8Buffer { position + $0.count <= bytes.count && bytes[position..<(position + $0.count)].elementsEqual($0) }
    }

    private func text(_ slice: ArraySlice<UInt8>) -> String { String(decoding: slice, as: UTF8.self) }

    private func error(_ message: String) -> XMLError {
        let before = bytes[..<min(position, bytes.count)]
        let line = before.count { $0 == 10 } + 1
        let lineStart = before.lastIndex(of: 10).map { $0 + 1 } ?? 0
        return XMLError(line: line, column: before.count - lineStart + 1, message: message)
    }
}
