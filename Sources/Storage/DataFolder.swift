import Glibc

/// The folder that holds everything Steward keeps, held by one process at a time.
///
/// The folder is made with mode 0700. The lock is an `flock` on a file of its own: SQLite's files are never opened by other code, since
/// closing any descriptor of a file drops the POSIX locks that SQLite has on it.
public final class DataFolder: Sendable {
    /// The folder's path.
    public let path: String
    /// Something the operator should know, such as a file system that is not meant for databases.
    public let warning: String?
    private let descriptor: Int32

    /// Takes the folder, makes it when it is not there; throws when another process has it or it lies on a network file system.
    public init(path: String, allowingNetwork: Bool = false) throws(StorageError) {
        self.path = path
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw StorageError(
                .readOnly, "cannot make the data folder \(path): \(DataFolder.systemError()); give --data a folder you may write")
        }
        warning = try DataFolder.checkFileSystem(path, allowingNetwork: allowingNetwork)
        let lock = path + "/steward.lock"
        let opened = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard opened >= 0 else { throw StorageError(.readOnly, "cannot open \(lock): \(DataFolder.systemError())") }
        guard flock(opened, LOCK_EX | LOCK_NB) == 0 else {
            var text = [UInt8](repeating: 0, count: 32)
            let length = pread(opened, &text, text.count, 0)
            close(opened)
            let holder = String(decoding: text.prefix(max(0, length)).filter { $0 >= 48 && $0 <= 57 }, as: UTF8.self)
            throw StorageError(
                .locked,
                "the data folder \(path) is in use by process \(holder.isEmpty ? "unknown" : holder); stop it, or give --data another folder"
            )
        }
        let own = Array("\(getpid())\n".utf8)
        ftruncate(opened, 0)
        pwrite(opened, own, own.count, 0)
        descriptor = opened
    }

    deinit {
        // Closing alone would not do: a child that is just being started holds the descriptor until it runs its program.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// File systems on which SQLite's write-ahead log cannot share memory, as the kernel names them (also `fuse.` and a name).
    private static let networkFileSystems = ["9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs", "sshfs"]

    private static func checkFileSystem(_ path: String, allowingNetwork: Bool) throws(StorageError) -> String? {
        guard let name = fileSystem(of: path) else { return nil }
        let base = name.hasPrefix("fuse.") ? String(name.dropFirst(5)) : name
        guard networkFileSystems.contains(base) else { return nil }
        let words = "the data folder \(path) is on a network file system (\(name)), where SQLite's write-ahead log is not safe"
        guard allowingNetwork else { throw StorageError(.other, words + "; give --data a folder on a local disk") }
        return words
    }

    /// The kernel's name of the file system that holds a path, from the mount with the same device; nil where it cannot be told.
    static func fileSystem(of path: String) -> String? {
        var information = stat()
        guard stat(path, &information) == 0, let file = fopen("/proc/self/mountinfo", "re") else { return nil }
        defer { fclose(file) }
        // glibc's makedev, the other way round.
        let device = UInt64(information.st_dev)
        let major = device >> 8 & 0xfff | device >> 32 & 0xffff_f000
        let minor = device & 0xff | device >> 12 & 0xffff_ff00
        var line = [CChar](repeating: 0, count: 4096)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if let name = fileSystem(inMountLine: text, device: "\(major):\(minor)") { return name }
        }
        return nil
    }

    /// The type in one line of `mountinfo` (proc(5)): the field behind the lone dash.
    static func fileSystem(inMountLine line: String, device: String) -> String? {
        let fields = line.split(separator: " ")
        guard fields.count > 3, fields[2] == device, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count else { return nil }
        return String(fields[dash + 1])
    }

    static func systemError() -> String { String(cString: strerror(errno)) }

    /// The files of the folder, sorted by name.
    func files() throws(StorageError) -> [String] {
        guard let directory = opendir(path) else { throw StorageError(.other, "cannot list \(path): \(DataFolder.systemError())") }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            )
        }
        return names.sorted()
    }

    /// What a file takes on the disk, in bytes; 0 where it is not there.
    static func allocatedBytes(_ path: String) -> Int {
        var information = stat()
        return stat(path, &information) == 0 ? Int(information.st_blocks) * 512 : 0
    }

    /// Makes names and unlinks in the folder survive a power cut.
    func sync() { DataFolder.sync(path) }

    static func sync(_ path: String) {
        let opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0 else { return }
        fsync(opened)
        close(opened)
    }
}
