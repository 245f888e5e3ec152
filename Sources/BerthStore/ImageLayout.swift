// The prepared image on disk: a packed checkpoint in the very form in which it is computed with.
//
//     0      magic "BERTHIMG"
//     8      version of this format, UInt32; 4 bytes zero
//     16     bytes of JSON, UInt64
//     24     XXH3-64 of the JSON, UInt64
//     32     JSON: {"key":…,"extents":[[name, format, shape, offset, bytes, checksum],…]}
//     …      zeros up to a page
//     page   extent, zeros up to a page, extent, …
//
// All numbers are little-endian. Extents start at pages and are padded to pages, so that each can be mapped, or read with
// direct I/O, by itself. Their places follow from names and sizes alone; only checksums are news to a reader, who
// therefore compares the header with the one expected and takes nothing else from it. The header is written last, so
// that an unfinished image has none.

import BerthCore
import CXXHash

/// One packed piece of a checkpoint: a matrix, a norm's weights, all matrices of one expert.
public struct ImageExtent: Sendable, Hashable {
    /// `model.layers.0.mlp.experts.3`
    public let name: String
    /// What the bytes are, in the words of whoever packs them: `int8`, `f32`.
    public let format: String
    public let shape: [Int]
    public let byteCount: Int
    /// Whether it is held in memory; otherwise it stays on disk and is read when needed.
    public let isResident: Bool

    public init(name: String, format: String, shape: [Int], byteCount: Int, isResident: Bool = true) {
        precondition(byteCount >= 0)
        self.name = name
        self.format = format
        self.shape = shape
        self.byteCount = byteCount
        self.isResident = isResident
    }
}

/// What an image is a packing of. Another key is another image.
public struct ImageKey: Sendable, Hashable {
    /// `Checkpoint.digest()`.
    public let checkpoint: Digest
    /// The directory, so that an image of an older version of the same checkpoint can be told and removed.
    public let directory: String
    public let format: WeightFormat
    /// Rises whenever the packed form changes.
    public let packingVersion: Int
    /// Whatever else the packed form depends on (kernels that want their own order).
    public let variant: String

    public init(checkpoint: Digest, directory: String, format: WeightFormat, packingVersion: Int, variant: String = "") {
        self.checkpoint = checkpoint
        self.directory = directory
        self.format = format
        self.packingVersion = packingVersion
        self.variant = variant
    }

    var text: String { "\(checkpoint) \(format.rawValue) \(packingVersion) \(variant)" }

    /// `{last component of the directory}-{format}-{directory}`: common to all versions of a checkpoint.
    var family: String {
        let label = fileName(directory).unicodeScalars.map { scalar in
            ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar) || "_-".unicodeScalars.contains(scalar) ? Character(scalar) : "_"
        }
        return "\(String(label.prefix(64)))-\(format.rawValue)-\(short(directory))"
    }

    var fileName: String { "\(family)-\(short(text)).image" }

    private func short(_ text: String) -> String { Digest.label(of: text) }

    private func fileName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "model" }
}

/// Where everything is in an image, and the header that says so.
struct ImageLayout: Sendable {
    static let magic = Array("BERTHIMG".utf8)
    static let version: UInt32 = 1
    static let prefixBytes = 32
    static let page = 4096

    let key: ImageKey
    let extents: [ImageExtent]
    /// Start of each extent in the file.
    let offsets: [Int]
    let fileBytes: Int
    /// Sum of the extents, without padding.
    let payloadBytes: Int
    /// Bytes before the first extent.
    let headerBytes: Int

    init(key: ImageKey, extents: [ImageExtent]) {
        precondition(extents.count <= Limits.imageExtents, "an image of \(extents.count) extents")
        self.key = key
        self.extents = extents
        // Offsets and checksums are written in a fixed width, so the header's length does not depend on them.
        let length = Self.json(key, extents, offsets: extents.map { _ in 0 }, checksums: extents.map { _ in 0 }).count
        var offset = Self.roundUp(Self.prefixBytes + length)
        headerBytes = offset
        var offsets: [Int] = []
        for extent in extents {
            offsets.append(offset)
            offset += Self.roundUp(extent.byteCount)
        }
        self.offsets = offsets
        fileBytes = offset
        payloadBytes = extents.reduce(0) { $0 + $1.byteCount }
    }

    static func roundUp(_ bytes: Int) -> Int { (bytes + page - 1) / page * page }

    private static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func json(_ key: ImageKey, _ extents: [ImageExtent], offsets: [Int], checksums: [UInt64]) -> [UInt8] {
        let list = extents.indices.map { index -> JSON in
            let extent = extents[index]
            return [
                .string(extent.name), .string(extent.format), .array(extent.shape.map { JSON($0) }), .string(hexadecimal(UInt64(offsets[index]))),
                JSON(extent.byteCount), .string(hexadecimal(checksums[index])),
            ]
        }
        return JSON.object(["key": .string(key.text), "extents": .array(list)]).utf8
    }

    /// The first `headerBytes` bytes of the file.
    func header(checksums: [UInt64]) -> [UInt8] {
        let json = Self.json(key, extents, offsets: offsets, checksums: checksums)
        var bytes = Self.magic
        bytes += withUnsafeBytes(of: Self.version.littleEndian, Array.init) + [0, 0, 0, 0]
        bytes += withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init)
        bytes += withUnsafeBytes(of: json.withUnsafeBytes { Checksum.of($0) }.littleEndian, Array.init)
        bytes += json
        return bytes + [UInt8](repeating: 0, count: headerBytes - bytes.count)
    }

    /// The extents' checksums out of a header of `headerBytes` bytes; throws where it is not the header of this layout.
    func checksums(header: [UInt8]) throws(StoreError) -> [UInt64] {
        precondition(header.count == headerBytes)
        func refuse(_ reason: String) -> StoreError { StoreError(.malformed, reason) }
        func number(at offset: Int) -> UInt64 { header[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        guard header.starts(with: Self.magic) else { throw refuse("it is not finished, or no image") }
        guard header[8..<12].elementsEqual(withUnsafeBytes(of: Self.version.littleEndian, Array.init)) else { throw refuse("it has another format version") }
        let length = number(at: 16)
        guard length <= UInt64(headerBytes - Self.prefixBytes) else { throw refuse("its header has another length than expected") }
        let json = Array(header[Self.prefixBytes..<Self.prefixBytes + Int(length)])
        guard json.withUnsafeBytes({ Checksum.of($0) }) == number(at: 24) else { throw refuse("its header is corrupt") }
        guard let list = (try? JSON(parsing: json))?["extents"]?.array, list.count == extents.count else { throw refuse("its header lists other extents") }
        var checksums: [UInt64] = []
        for entry in list {
            guard let text = entry.array?.last?.string, let value = UInt64(text, radix: 16) else { throw refuse("its header has no checksums") }
            checksums.append(value)
        }
        guard json == Self.json(key, extents, offsets: offsets, checksums: checksums) else { throw refuse("its header lists other extents") }
        return checksums
    }
}

/// XXH3-64 (Collet): against accidents, not against adversaries, who could write the checksum too.
struct Checksum: ~Copyable {
    private let state = berth_checksum_create()

    deinit { berth_checksum_free(state) }

    mutating func update(_ bytes: UnsafeRawBufferPointer) { berth_checksum_update(state, bytes.baseAddress, bytes.count) }
    func value() -> UInt64 { berth_checksum_value(state) }

    static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var checksum = Checksum()
        checksum.update(bytes)
        return checksum.value()
    }
}
