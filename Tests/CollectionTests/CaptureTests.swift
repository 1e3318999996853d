import Collection
import Fleet
import Gzip
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// A folder that goes when the test does.
struct TemporaryFolder: ~Copyable {
    let path: String

    init() {
        var template = Array("/tmp/steward-test-XXXXXX".utf8CString)
        _ = mkdtemp(&template)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func file(_ name: String, _ bytes: [UInt8]) -> String {
        let full = "\(path)/\(name)"
        guard let file = fopen(full, "w") else { return full }
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
        return full
    }

    deinit {
        if let folder = opendir(path) {
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." { unlink("\(path)/\(name)") }
            }
            closedir(folder)
        }
        rmdir(path)
    }
}

func contents(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = fgetc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    return bytes
}

func readAll(_ path: String) throws(CaptureError) -> [CaptureRecord] {
    var reader = try CaptureReader(path: path)
    var records: [CaptureRecord] = []
    while let record = try reader.next() { records.append(record) }
    return records
}

@Suite("Captures")
struct CaptureTests {
    static let time = Timestamp(milliseconds: 1_795_421_832_599)
    static let records: [CaptureRecord] = [
        .guest(
            CapturedGuest(
                time: time, host: "h1", guest: guestID, name: "w\"eb\u{1}\n", domainID: 7, xml: "<domain>\n\t\"ü\u{1F600}\\</domain>")),
        .reading(
            CapturedReading(
                time: time, host: "h1", guest: guestID,
                parameters: [
                    StatParameter("a", .unsigned(.max)), StatParameter("b", .signed(.min)), StatParameter("c", .real(0.1)),
                    StatParameter("d", .flag(true)), StatParameter("e", .text("vda")), StatParameter("f", .unsigned(9_007_199_254_740_993)),
                    StatParameter("g", .real(3)), StatParameter("a", .unsigned(0)),
                ])),
        .node(
            time: time, host: "h2",
            NodeReading(cpu: [StatParameter("user", .unsigned(1))], memory: [StatParameter("free", .unsigned(2))])),
        .guest(CapturedGuest(time: time, host: "h1", guest: guestID, name: "web", domainID: nil, xml: nil)),
    ]
    static let header = #"{"steward-capture": 2, "libvirt": "9.0.0", "qemu": "7.2.22", "interval_ms": 2000, "new": [1]}"#

    @Test("what is written is read back, every bit of every number")
    func roundTrip() throws {
        let folder = TemporaryFolder()
        let path = "\(folder.path)/a.jsonl.gz"
        var writer = try CaptureWriter(path: path, header: CaptureHeader(libvirt: "9.0.0", hypervisor: "7.2", intervalMilliseconds: 2000))
        for record in Self.records { try writer.append(record) }
        try writer.finish()
        let reader = try CaptureReader(path: path)
        #expect(reader.header == CaptureHeader(libvirt: "9.0.0", hypervisor: "7.2", intervalMilliseconds: 2000))
        #expect(try readAll(path) == Self.records)
        #expect(access("\(path).part", F_OK) != 0)
    }

    @Test("an unfinished capture keeps its own name free and can be read up to its last flush")
    func unfinished() throws {
        let folder = TemporaryFolder()
        let path = "\(folder.path)/a.jsonl.gz"
        do {
            var writer = try CaptureWriter(path: path, header: CaptureHeader())
            for record in Self.records { try writer.append(record) }
            try writer.flush()
            try writer.append(Self.records[0])
        }
        #expect(access(path, F_OK) != 0)
        var reader = try CaptureReader(path: "\(path).part")
        for record in Self.records { #expect(try reader.next() == record) }
        do {
            _ = try reader.next()
            Issue.record("the end of an unfinished capture was taken for a whole one")
        } catch {
            #expect(error.reason == .cutOff)
            #expect(error.description == "\(path).part:6: the capture's gzip data ends in the middle; the 4 records before it are whole")
        }
    }

    @Test("a file that exists is not overwritten")
    func existing() throws {
        let folder = TemporaryFolder()
        let path = folder.file("a.jsonl.gz", [1, 2, 3])
        do {
            let writer = try CaptureWriter(path: path, header: CaptureHeader())
            try writer.finish()
            Issue.record("an existing file was overwritten")
        } catch {
            #expect(error.description == "\(path): exists already; name another file or remove it")
        }
        #expect(contents(path) == [1, 2, 3])
    }

    @Test("plain text is read like gzip, blank lines and line ends of Windows included")
    func plain() throws {
        let folder = TemporaryFolder()
        let text = Self.header + "\r\n\n" + #"[1,"h",null,{"cpu":{"user":1}}]"# + "\r\n   \n"
        let records = try readAll(folder.file("a.jsonl", Array(text.utf8)))
        #expect(
            records == [
                .node(time: Timestamp(milliseconds: 1), host: "h", NodeReading(cpu: [StatParameter("user", .unsigned(1))], memory: []))
            ])
    }

    @Test("a capture cut off at any byte gives its whole lines and then says that it is cut off")
    func cutOff() throws {
        let folder = TemporaryFolder()
        let path = "\(folder.path)/a.jsonl.gz"
        var writer = try CaptureWriter(path: path, header: CaptureHeader())
        for record in Self.records { try writer.append(record) }
        try writer.finish()
        let whole = contents(path)
        for length in 1..<whole.count {
            let cut = folder.file("cut", Array(whole[..<length]))
            let error = #expect(throws: CaptureError.self) { try readAll(cut) }
            if length >= 2 { #expect(error?.reason == .cutOff || error?.reason == .format, "\(length): \(String(describing: error))") }
        }
    }

    static let id = "00000000-0000-0001-0000-000000000002"

    @Test(
        "a line that is no record is refused with its place and what to do",
        arguments: [
            ("garbage", ":2:1: not a line of a capture: no JSON value begins like this; remove the line or record anew"),
            (
                #"[1,"h",null,{"cpu":{}}] x"#,
                ":2:25: not a line of a capture: text after the end of the JSON value; remove the line or record anew"
            ),
            (#"{"t": 1"#, ":2:8: not a line of a capture: ',' or '}' is expected here; remove the line or record anew"),
            (#"[1,"h"]"#, ":2: a reading of 2 elements, where 4 are expected: time, host, uuid, values"),
            (#"[1,"h","x",{}]"#, ":2: a uuid that is none"),
            (#"["1","h",null,{}]"#, ":2: a time that is not a whole number of milliseconds"),
            (#"[1,2,null,{}]"#, ":2: the host of a reading is not a string"),
            (#"[1,"h",null,{"cpu":[]}]"#, ":2: the values of a reading are not an object"),
            (#"[1,"h","\#(id)",{"a":[]}]"#, ":2: the value of a is neither a number, a flag nor a string"),
            (
                #"[1,"h","\#(id)",{"a":18446744073709551616}]"#,
                ":2:52: not a line of a capture: the number 18446744073709551616 does not fit 64 bits; remove the line or record anew"
            ),
            (#"[1,"h","\#(id)",{"a":01}]"#, ":2:52: not a line of a capture: 01 is not a number; remove the line or record anew"),
            (
                #"[1,"h","\#(id)",{"a":"\x"}]"#,
                ":2:53: not a line of a capture: '\\' begins no escape that JSON knows; remove the line or record anew"
            ),
            (#"{"x": 1}"#, ":2: an object that is no guest: it lacks \"t\" or \"uuid\""),
            ("3", ":2: neither a guest (an object) nor a reading (an array)"),
            ("[[[[[[[[[[1]]]]]]]]]]", ":2:10: not a line of a capture: JSON nested deeper than 8; remove the line or record anew"),
        ])
    func garbage(line: String, message: String) throws {
        let folder = TemporaryFolder()
        let path = folder.file("a.jsonl", Array("\(Self.header)\n\(line)\n".utf8))
        let error = #expect(throws: CaptureError.self) { try readAll(path) }
        #expect(error?.description == path + message)
        #expect(error?.reason == .line)
    }

    @Test(
        "a file that is no capture is refused by its first line",
        arguments: [
            ("", ": the file is empty; a capture begins with a line {\"steward-capture\": 2, …}"),
            ("hello\n", ":1:1: not a line of a capture: no JSON value begins like this; this is no capture"),
            ("{}\n", ":1: this is no capture: its first line lacks \"steward-capture\""),
            (#"{"steward-capture": 3}"# + "\n", ":1: a capture of a format that is not read; this version reads format 2"),
        ])
    func noCapture(text: String, message: String) throws {
        let folder = TemporaryFolder()
        let path = folder.file("a.jsonl", Array(text.utf8))
        do {
            _ = try CaptureReader(path: path)
            Issue.record("a file that is no capture was opened")
        } catch {
            #expect(error.description == path + message)
            #expect(error.reason == .format)
        }
    }

    @Test("a file that is not there, and a file cut off in a line, say so")
    func missing() throws {
        let folder = TemporaryFolder()
        do {
            _ = try CaptureReader(path: "\(folder.path)/none")
            Issue.record("a missing file was opened")
        } catch {
            #expect(error.description == "\(folder.path)/none: cannot be opened: No such file or directory")
        }
        let path = folder.file("a.jsonl", Array("\(Self.header)\n[1,\"h\",null,{}]\n[1,\"h".utf8))
        let error = #expect(throws: CaptureError.self) { try readAll(path) }
        #expect(error?.description == "\(path):3: the capture ends in the middle of this line; the 1 records before it are whole")
    }

    @Test("a line is read to its bound and refused one byte beyond it", arguments: [0, 1])
    func longLine(excess: Int) throws {
        let folder = TemporaryFolder()
        let frame = (#"[1,"h","\#(Self.id)",{"a":""#, #""}]"#)
        let length = CaptureReader.maximumLineBytes + excess - frame.0.utf8.count - frame.1.utf8.count
        let line = Array(frame.0.utf8) + Array(repeating: UInt8(ascii: "x"), count: length) + Array(frame.1.utf8)
        let path = folder.file("a.jsonl", Array("\(Self.header)\n".utf8) + line + [10])
        if excess == 0 {
            #expect(try readAll(path).count == 1)
        } else {
            let error = #expect(throws: CaptureError.self) { try readAll(path) }
            #expect(error?.reason == .line && error?.place.line == 2)
        }
    }
}
