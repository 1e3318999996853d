import Glibc
import Synchronization

extension SampleStore {
    /// Copies everything to a new folder, which is a data folder of its own; returns its bytes.
    ///
    /// The folder gets its name only when all of it is on the disk. Ingest goes on meanwhile, and what it brings may be in the copy or
    /// not; sealing and retention wait. `head.db` is copied first: what is sealed between the two copies is then in both, and the copy's
    /// first opening drops the second one. `progress` is told how many of about how many bytes are done, and returns false to stop.
    @discardableResult
    public func backup(
        to target: String, progress: (_ done: Int, _ of: Int) -> Bool = { _, _ in true }
    ) throws(StorageError) -> Int {
        guard access(target, F_OK) != 0 else {
            throw StorageError(.other, "\(target) is there already; give the copy a name of its own")
        }
        let unfinished = target + ".unfinished"
        SampleStore.clear(unfinished)
        guard mkdir(unfinished, 0o700) == 0 else {
            throw StorageError(.readOnly, "cannot make \(unfinished): \(DataFolder.systemError())")
        }
        do throws(StorageError) {
            guard try copyFiles(to: unfinished, progress) else { throw StorageError(.other, "the copy was stopped; nothing of it is kept") }
            DataFolder.sync(unfinished)
            guard rename(unfinished, target) == 0 else {
                throw StorageError(.readOnly, "cannot name the copy \(target): \(DataFolder.systemError())")
            }
        } catch {
            SampleStore.clear(unfinished)
            throw error
        }
        let parent = target.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        DataFolder.sync(parent.isEmpty ? (target.hasPrefix("/") ? "/" : ".") : parent)
        return stats().fileBytes
    }

    private func copyFiles(to folder: String, _ progress: (Int, Int) -> Bool) throws(StorageError) -> Bool {
        try maintenance.withLock { _ throws(StorageError) in
            let total = stats().fileBytes
            var done = 0
            try writer.perform { database throws(StorageError) in
                _ = try database.connection.copy(to: folder + "/head.db") { _, _ in true }
            }
            done += DataFolder.allocatedBytes(folder + "/head.db")
            for view in core.withLock({ $0.partitions }) {
                let name = folder + "/" + Partition.fileName(view.partition.number)
                let isWhole = try view.partition.copy(to: name) { pages, _ in progress(done + pages * Partition.pageBytes, total) }
                guard isWhole else { return false }
                done += DataFolder.allocatedBytes(name)
            }
            for file in core.withLock({ $0.rollups }) {
                let name = folder + "/" + RollupFile.fileName(file.resolution, file.partition.number)
                let isWhole = try file.partition.copy(to: name) { pages, _ in progress(done + pages * Partition.pageBytes, total) }
                guard isWhole else { return false }
                done += DataFolder.allocatedBytes(name)
            }
            return progress(max(done, total), max(done, total))
        }
    }

    /// Takes a flat folder of ours away; that it is not there is no failure.
    private static func clear(_ path: String) {
        guard let directory = opendir(path) else { return }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            )
        }
        closedir(directory)
        for name in names where name != "." && name != ".." { unlink(path + "/" + name) }
        rmdir(path)
    }
}
