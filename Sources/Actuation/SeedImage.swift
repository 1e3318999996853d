/// Why no seed can be made.
public struct SeedImageError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, and what would be right.
    public let description: String
}

/// An ISO 9660 image with the volume label `cidata`, as cloud-init's NoCloud data source wants it.
///
/// Level 1 structures with Joliet names beside them (ECMA-119; the Joliet specification, 1995): Linux reads either, Windows needs Joliet.
/// Equal files make equal bytes: no date and no random number is in it, so that an image can be compared.
public enum SeedImage {
    /// The most files: one directory sector holds more than twenty.
    public static let filesMaximum = 8
    /// The largest file: cloud-init's own user data is bounded far below.
    public static let fileMaximum = 1 << 20

    static let sector = 2048

    /// The image's bytes.
    public static func bytes(of files: [SeedFile]) throws(SeedImageError) -> [UInt8] {
        guard !files.isEmpty, files.count <= filesMaximum else {
            throw SeedImageError(description: "a seed holds 1 to \(filesMaximum) files, not \(files.count)")
        }
        for file in files {
            let isPlain = file.name.utf8.allSatisfy {
                (97...122).contains($0) || (48...57).contains($0) || $0 == 45 || $0 == 46 || $0 == 95
            }
            guard isPlain, !file.name.isEmpty, file.name.utf8.count <= 30 else {
                throw SeedImageError(description: "'\(file.name)' cannot be a file of a seed: a-z, 0-9, '-', '_', '.', at most 30")
            }
            guard file.text.utf8.count <= fileMaximum else {
                throw SeedImageError(description: "\(file.name) has \(file.text.utf8.count) bytes, more than \(fileMaximum)")
            }
        }
        guard Set(files.map(\.name)).count == files.count else { throw SeedImageError(description: "a seed names a file twice") }
        return layout(files.sorted { $0.name < $1.name })
    }

    /// Sectors: 0–15 empty, 16 primary descriptor, 17 Joliet descriptor, 18 terminator, 19–22 path tables, 23 and 24 directories, then files.
    private static func layout(_ files: [SeedFile]) -> [UInt8] {
        var next = 25
        var places: [(file: SeedFile, sector: Int)] = []
        for file in files {
            places.append((file, next))
            next += max(1, (file.text.utf8.count + sector - 1) / sector)
        }
        // Padding as genisoimage adds it: readers that look at the end of a disk first (busybox) give up on one under 64 KiB.
        var image = [UInt8](repeating: 0, count: (next + 150) * sector)
        func put(_ bytes: [UInt8], at place: Int) { image.replaceSubrange(place * sector..<place * sector + bytes.count, with: bytes) }
        put(descriptor(isJoliet: false, sectors: next), at: 16)
        put(descriptor(isJoliet: true, sectors: next), at: 17)
        put([255] + Array("CD001".utf8) + [1], at: 18)
        for (place, directory, isBigEndian) in [(19, 23, false), (20, 23, true), (21, 24, false), (22, 24, true)] {
            let extent = isBigEndian ? big32(directory) : little32(directory)
            put([1, 0] + extent + (isBigEndian ? [0, 1] : [1, 0]) + [0, 0], at: place)
        }
        put(directory(at: 23, places, isJoliet: false), at: 23)
        put(directory(at: 24, places, isJoliet: true), at: 24)
        for (file, place) in places { put(Array(file.text.utf8), at: place) }
        return image
    }

    private static func descriptor(isJoliet: Bool, sectors: Int) -> [UInt8] {
        var bytes: [UInt8] = [isJoliet ? 2 : 1] + Array("CD001".utf8) + [1, 0]
        func text(_ value: String, _ length: Int) -> [UInt8] {
            let units = isJoliet ? value.utf8.flatMap { [0, $0] } : Array(value.utf8)
            let space: [UInt8] = isJoliet ? [0, 32] : [32]
            var padded = units
            while padded.count + space.count <= length { padded += space }
            return padded + [UInt8](repeating: 0, count: length - padded.count)
        }
        // "cidata" in UCS-2. Joliet's label ends in zeros, as genisoimage writes it: busybox takes spaces for a part of the name.
        let unicodeLabel: [UInt8] = [0, 99, 0, 105, 0, 100, 0, 97, 0, 116, 0, 97]
        let label: [UInt8] = isJoliet ? unicodeLabel + [UInt8](repeating: 0, count: 32 - unicodeLabel.count) : text("cidata", 32)
        bytes += text("", 32) + label + [UInt8](repeating: 0, count: 8)
        bytes += both32(sectors)
        // The escape sequence for UCS-2 level 3 marks a Joliet descriptor.
        bytes += (isJoliet ? [0x25, 0x2F, 0x45] : [0, 0, 0]) + [UInt8](repeating: 0, count: 29)
        bytes += both16(1) + both16(1) + both16(sector) + both32(10)
        bytes += little32(isJoliet ? 21 : 19) + little32(0) + big32(isJoliet ? 22 : 20) + big32(0)
        bytes += record(name: [0], extent: isJoliet ? 24 : 23, length: sector, isDirectory: true)
        bytes += text("", 128) + text("", 128) + text("", 128) + text("STEWARD", 128) + text("", 37) + text("", 37) + text("", 37)
        let noDate = [UInt8](repeating: 48, count: 16) + [0]
        bytes += noDate + noDate + noDate + noDate + [1, 0]
        return bytes + [UInt8](repeating: 0, count: sector - bytes.count)
    }

    private static func directory(at own: Int, _ places: [(file: SeedFile, sector: Int)], isJoliet: Bool) -> [UInt8] {
        var bytes = record(name: [0], extent: own, length: sector, isDirectory: true)
        bytes += record(name: [1], extent: own, length: sector, isDirectory: true)
        for (file, place) in places {
            // Without Joliet, Linux shows the name in lower case and without the version.
            let name = isJoliet ? file.name.utf8.flatMap { [0, $0] } : Array("\(file.name.uppercased());1".utf8)
            bytes += record(name: name, extent: place, length: file.text.utf8.count, isDirectory: false)
        }
        return bytes
    }

    private static func record(name: [UInt8], extent: Int, length: Int, isDirectory: Bool) -> [UInt8] {
        let padding: [UInt8] = name.count % 2 == 0 ? [0] : []
        // 1980-01-01 00:00 UTC: a fixed date that every reader accepts.
        let date: [UInt8] = [80, 1, 1, 0, 0, 0, 0]
        let rest: [UInt8] = [isDirectory ? 2 : 0, 0, 0] + both16(1) + [UInt8(name.count)] + name + padding
        let body: [UInt8] = [0] + both32(extent) + both32(length) + date + rest
        return [UInt8(body.count + 1)] + body
    }

    private static func little32(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
    private static func big32(_ value: Int) -> [UInt8] { little32(value).reversed() }
    private static func both32(_ value: Int) -> [UInt8] { little32(value) + big32(value) }
    private static func both16(_ value: Int) -> [UInt8] {
        let low = UInt8(truncatingIfNeeded: value)
        let high = UInt8(truncatingIfNeeded: value >> 8)
        return [low, high, high, low]
    }
}
