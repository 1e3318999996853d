import Glibc

/// Small files, read and replaced as a whole.
enum Files {
    /// A file's bytes, or nil where it cannot be read or has more than `limit`.
    static func read(_ path: String, limit: Int) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count >= 0 else { return nil }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= limit else { return nil }
        }
    }

    /// The same as text.
    static func text(_ path: String, limit: Int) -> String? { read(path, limit: limit).map { String(decoding: $0, as: UTF8.self) } }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Writes a file aside and renames it: nobody ever sees half of it.
    ///
    /// - Returns: false, with `errno`, where it cannot be written.
    static func replace(_ path: String, with bytes: [UInt8], mode: mode_t = 0o600) -> Bool {
        let draft = path + ".new"
        unlink(draft)
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { return false }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else {
                close(descriptor)
                unlink(draft)
                return false
            }
            rest = rest.dropFirst(count)
        }
        // The mode that was asked for, whatever the umask is.
        guard fchmod(descriptor, mode) == 0, close(descriptor) == 0 else { return false }
        return rename(draft, path) == 0
    }

    /// The names in a folder, sorted; none where it cannot be read.
    static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Makes a folder and those above it.
    static func makeFolder(_ path: String, mode: mode_t) -> Bool {
        if mkdir(path, mode) == 0 || errno == EEXIST { return true }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return false }
        guard makeFolder(String(path[..<slash]), mode: 0o755) else { return false }
        return mkdir(path, mode) == 0 || errno == EEXIST
    }
}
