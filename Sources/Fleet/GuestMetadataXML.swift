/// Why metadata could not be written or read.
public enum GuestMetadataError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A text that XML cannot carry.
    case unwritable(what: String, text: String)
    /// A text longer than `GuestMetadata.maximumTextBytes`.
    case tooLong(what: String, bytes: Int)
    /// More tags or disk types than `GuestMetadata.maximumEntries`.
    case tooMany(what: String, count: Int)
    /// What libvirt returned is not the element.
    case malformed(String)

    /// What is wrong and what the bound is, without a full stop.
    public var description: String {
        switch self {
        case .unwritable(let what, let text):
            "the \(what) '\(text.unicodeScalars.map { $0.escaped(asASCII: false) }.joined())' holds a control character; remove it"
        case .tooLong(let what, let bytes):
            "the \(what) has \(bytes) bytes, where at most \(GuestMetadata.maximumTextBytes) are written; shorten it"
        case .tooMany(let what, let count):
            "\(count) \(what), where at most \(GuestMetadata.maximumEntries) are written; remove some"
        case .malformed(let why): "the guest's metadata element cannot be read: \(why)"
        }
    }
}

extension GuestMetadata {
    /// The longest text written: labels beyond this are somebody's document, not a tag.
    public static let maximumTextBytes = 1024
    /// The most tags, and the most disk types, written.
    public static let maximumEntries = 64

    /// Whether there is nothing to write.
    public var isEmpty: Bool { self == GuestMetadata() }

    /// The element as `virDomainGetMetadata` returns it (libvirt strips the namespace) or with its namespace.
    public init(metadataXML: String) throws(GuestMetadataError) {
        let element: XMLElement
        do { element = try XMLElement(parsing: metadataXML) } catch { throw .malformed(error.description) }
        guard element.name == "guest", element.namespace.isEmpty || element.namespace == GuestMetadata.namespace else {
            throw .malformed("the root element is <\(element.name)>, not <guest>")
        }
        self.init(element: element)
    }

    /// Reads children of the element's own namespace; of a field given twice the first counts, empty ones count as absent.
    init(element: XMLElement) {
        func text(_ name: String) -> String? {
            element.child(name, namespace: element.namespace).map(\.trimmedText).flatMap { $0.isEmpty ? nil : $0 }
        }
        let own = element.children.filter { $0.namespace == element.namespace }
        self.init(
            group: text("group"), tenant: text("tenant"), instanceType: text("instance-type"),
            tags: own.filter { $0.name == "tag" }.compactMap { tag in tag["name"].map { Tag(name: $0, value: tag.trimmedText) } },
            diskTypes: own.filter { $0.name == "disk" }.compactMap { disk in
                disk["target"].flatMap { target in disk["type"].map { DiskType(target: target, type: $0) } }
            })
    }

    /// The element with its namespace, as it stands inside a domain's `<metadata>`.
    public func qualifiedXML() throws(GuestMetadataError) -> String {
        try xml(tag: "\(GuestMetadata.prefix):", declaration: " xmlns:\(GuestMetadata.prefix)=\"\(GuestMetadata.namespace)\"")
    }

    /// The element for `virDomainSetMetadata`, which declares the prefix itself and fails where it is declared already.
    public func bareXML() throws(GuestMetadataError) -> String {
        try xml(tag: "", declaration: "")
    }

    private func xml(tag: String, declaration: String) throws(GuestMetadataError) -> String {
        guard tags.count <= GuestMetadata.maximumEntries else { throw .tooMany(what: "tags", count: tags.count) }
        guard diskTypes.count <= GuestMetadata.maximumEntries else { throw .tooMany(what: "disk types", count: diskTypes.count) }
        var xml = "<\(tag)guest\(declaration)>"
        for (name, text) in [("group", group), ("tenant", tenant), ("instance-type", instanceType)] {
            if let text { xml += "<\(tag)\(name)>\(try escaped(text, name))</\(tag)\(name)>" }
        }
        for entry in tags {
            xml += "<\(tag)tag name=\"\(try escaped(entry.name, "tag's name"))\">\(try escaped(entry.value, "tag"))</\(tag)tag>"
        }
        for disk in diskTypes {
            xml += "<\(tag)disk target=\"\(try escaped(disk.target, "disk's target"))\" type=\"\(try escaped(disk.type, "disk type"))\"/>"
        }
        return xml + "</\(tag)guest>"
    }

    private func escaped(_ text: String, _ what: String) throws(GuestMetadataError) -> String {
        guard text.utf8.count <= GuestMetadata.maximumTextBytes else { throw .tooLong(what: what, bytes: text.utf8.count) }
        guard let escaped = xmlEscaped(text) else { throw .unwritable(what: what, text: text) }
        return escaped
    }
}
