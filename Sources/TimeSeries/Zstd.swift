import CZstd

/// libzstd could not work: it has no memory.
package struct CompressionFailure: Error, CustomStringConvertible {
    package let description: String
}

/// Owns a compression context of libzstd, so that many small frames do not allocate one each.
package struct ZstdCompressor: ~Copyable {
    private let context: OpaquePointer
    private let level: Int32

    package init(level: Int32) throws(CompressionFailure) {
        guard let context = ZSTD_createCCtx() else { throw CompressionFailure(description: "no memory for a zstd compressor") }
        self.context = context
        self.level = level
    }

    deinit { ZSTD_freeCCtx(context) }

    /// One frame that holds the bytes.
    package func compress(_ bytes: [UInt8]) throws(CompressionFailure) -> [UInt8] {
        let bound = ZSTD_compressBound(bytes.count)
        var code = 0
        let frame = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            let size = bytes.withUnsafeBytes { ZSTD_compressCCtx(context, buffer.baseAddress, bound, $0.baseAddress, $0.count, level) }
            code = size
            count = ZSTD_isError(size) == 0 ? size : 0
        }
        guard ZSTD_isError(code) == 0 else { throw CompressionFailure(description: "zstd: \(String(cString: ZSTD_getErrorName(code)))") }
        return frame
    }
}

/// Owns a decompression context of libzstd.
package struct ZstdDecompressor: ~Copyable {
    private let context: OpaquePointer

    package init() throws(CompressionFailure) {
        guard let context = ZSTD_createDCtx() else { throw CompressionFailure(description: "no memory for a zstd decompressor") }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Fills `target` exactly with what the frame holds.
    package func decompress(_ frame: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws(DamagedData) {
        let size = ZSTD_decompressDCtx(context, target.baseAddress, target.count, frame.baseAddress, frame.count)
        guard ZSTD_isError(size) == 0 else { throw DamagedData("zstd: \(String(cString: ZSTD_getErrorName(size)))") }
        guard size == target.count else { throw DamagedData("a frame of \(size) bytes where \(target.count) were announced") }
    }
}
