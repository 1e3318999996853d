import Crypto
import Foundation
public import Metering

/// The secret that chains the ledger's rows: without it nobody can rewrite a row and make the chain fit again.
///
/// It lies in a file of its own, readable by its owner alone. Keep a copy apart from the database: a lost key leaves the facts readable but
/// their chain unprovable.
public struct LedgerKey: Sendable {
    /// The key's length in bytes: that of the hash.
    public static let length = 32

    private let bytes: [UInt8]

    /// A key from its bytes.
    init(bytes: [UInt8]) { self.bytes = bytes }

    /// The HMAC-SHA256 under this key.
    public var chainHash: ChainHash {
        let key = bytes
        return ChainHash { message in
            Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
        }
    }

    /// The SHA-256 of bytes in hexadecimal, for the digests that a closing records.
    public static func digest(_ bytes: [UInt8]) -> String {
        SHA256.hash(data: bytes).map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0" + text : text
        }.joined()
    }

    /// Reads the key file, or makes one with mode 0600 where there is none and `mayCreate` holds.
    ///
    /// - Throws: ``FactLogError/medium(_:)`` where it cannot be read or made, has another length, or others may read it.
    public static func load(path: String, mayCreate: Bool) throws(FactLogError) -> LedgerKey {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0 {
            guard errno == ENOENT else { throw .medium("the ledger's key \(path) cannot be opened: \(systemError())") }
            guard mayCreate else {
                throw .medium(
                    "the ledger's key \(path) is missing but the ledger is not empty: put the key back from its copy; a new one would not fit"
                )
            }
            return try create(path: path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .medium("the ledger's key \(path): \(systemError())") }
        guard status.st_mode & 0o077 == 0 else {
            throw .medium("others may read the ledger's key \(path): run chmod 600 on it, and think about who did")
        }
        var bytes = [UInt8](repeating: 0, count: length + 1)
        let count = read(descriptor, &bytes, bytes.count)
        guard count == length else { throw .medium("the ledger's key \(path) has \(count) bytes instead of \(length)") }
        return LedgerKey(bytes: Array(bytes.prefix(length)))
    }

    private static func create(path: String) throws(FactLogError) -> LedgerKey {
        let bytes = SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
        // Written under another name and renamed, so that a crash leaves a whole key or none.
        let draft = path + ".new"
        unlink(draft)
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .medium("the ledger's key \(path) cannot be made: \(systemError())") }
        let isWritten = write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        close(descriptor)
        guard isWritten, rename(draft, path) == 0 else { throw .medium("the ledger's key \(path) cannot be written: \(systemError())") }
        syncFolder(of: path)
        return LedgerKey(bytes: bytes)
    }
}

/// Makes a rename in a file's folder last.
func syncFolder(of path: String) {
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
}

func systemError() -> String { String(cString: strerror(errno)) }
