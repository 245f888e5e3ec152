// The header of a safetensors file, checked in full before anyone sees an offset.
//
// The format (huggingface/safetensors, README "Format"): eight bytes little-endian N, N bytes of JSON that starts with
// `{`, then the data. The JSON maps each tensor's name to `dtype`, `shape` and `data_offsets` (begin, end, relative to the
// data); `__metadata__` maps strings to strings. The data is covered without holes and without overlaps, names are
// unique. A file from somewhere else is hostile until this has passed: every number is range-checked, every product
// is checked for overflow, and what does not hold is an error that names the tensor. A pure function of bytes.

import BerthCore

/// The tensors of a safetensors file: names, types, shapes and where their bytes are.
public struct SafetensorsHeader: Sendable {
    public struct Entry: Sendable {
        public let name: String
        /// The dtype as it is written: `BF16`.
        public let dtype: String
        /// Nil where the dtype is a valid one that no computation here takes (`I64`, `F8_E4M3`, …).
        public let type: ElementType?
        public let shape: [Int]
        /// The bytes, counted from the start of the file.
        public let range: Range<Int>
    }

    /// In the order of their bytes.
    public let entries: [Entry]
    public let metadata: [String: String]
    /// Of the JSON as it stands in the file.
    public let digest: Digest

    /// Bytes before the JSON.
    static let prefixBytes = 8
    /// Bits per element of every dtype in the format.
    static let dtypeBits: [String: Int] = [
        "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
        "C64": 64, "F64": 64, "I64": 64, "U64": 64,
    ]
    static let usable: [String: ElementType] = ["F32": .f32, "F16": .f16, "BF16": .bf16]

    /// The length of the JSON, out of the file's first eight bytes.
    static func length(prefix: [UInt8], fileBytes: Int) throws(StoreError) -> Int {
        guard prefix.count == prefixBytes else { throw StoreError(.truncated, "a safetensors file has at least 8 bytes, this one \(prefix.count)") }
        let length = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= UInt64(Limits.safetensorsHeaderBytes) else {
            throw StoreError(.limit, "the header length \(length) is more than \(ByteSize(bytes: Limits.safetensorsHeaderBytes)), or this is no safetensors file")
        }
        guard Int(length) <= fileBytes - prefixBytes else {
            throw StoreError(.truncated, "the header has \(length) bytes, but the file ends after \(fileBytes)")
        }
        return Int(length)
    }

    /// Reads the header of a file of `fileBytes` bytes out of its JSON.
    public init(parsing json: [UInt8], fileBytes: Int) throws(StoreError) {
        guard json.first == UInt8(ascii: "{") else { throw StoreError(.malformed, "the header does not start with '{'") }
        let document: JSON
        do {
            document = try JSON(parsing: json, duplicateKeys: .refused)
        } catch {
            throw StoreError(.malformed, "the header is not valid JSON: \(error)", cause: error)
        }
        guard let members = document.object else { throw StoreError(.malformed, "the header is not an object") }
        let dataStart = Self.prefixBytes + json.count
        guard dataStart <= fileBytes else { throw StoreError(.truncated, "the file ends inside the header") }

        var metadata: [String: String] = [:]
        var entries: [Entry] = []
        entries.reserveCapacity(members.count)
        for (name, value) in members {
            if name == "__metadata__" {
                for (key, text) in value.object ?? [:] { metadata[key] = text.string }
                guard metadata.count == value.object?.count else { throw StoreError(.malformed, "__metadata__ is not an object of strings") }
            } else {
                entries.append(try Self.entry(name: name, value, dataStart: dataStart, fileBytes: fileBytes))
            }
        }
        entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
        try Self.checkCover(entries, dataStart: dataStart, fileBytes: fileBytes)
        self.entries = entries
        self.metadata = metadata
        var builder = DigestBuilder()
        builder.update(json)
        digest = builder.finish()
    }

    private static func entry(name: String, _ value: JSON, dataStart: Int, fileBytes: Int) throws(StoreError) -> Entry {
        func refuse(_ reason: String) -> StoreError { StoreError(.malformed, "tensor '\(name)': \(reason)") }
        guard let members = value.object else { throw refuse("its header entry is \(value.kind), not an object") }
        for key in members.keys where !["dtype", "shape", "data_offsets"].contains(key) { throw refuse("unknown field '\(key)'") }
        guard let dtype = value["dtype"]?.string else { throw refuse("dtype is missing or not a string") }
        guard let bits = dtypeBits[dtype] else { throw refuse("unknown dtype '\(dtype)'") }
        guard let shapeList = value["shape"]?.array else { throw refuse("shape is missing or not an array") }
        guard shapeList.count <= Limits.tensorDimensions else { throw refuse("\(shapeList.count) dimensions are more than \(Limits.tensorDimensions)") }
        var shape: [Int] = []
        var count = 1
        for dimension in shapeList {
            guard case .integer(let wide) = dimension, wide >= 0, let size = Int(exactly: wide) else { throw refuse("shape has a dimension that is no size") }
            shape.append(size)
            let (product, overflow) = count.multipliedReportingOverflow(by: size)
            guard !overflow else { throw refuse("shape \(JSON.array(shapeList).text) has too many elements") }
            count = product
        }
        let (totalBits, overflow) = count.multipliedReportingOverflow(by: bits)
        guard !overflow, totalBits % 8 == 0 else { throw refuse("shape \(shape) is no whole number of bytes of \(dtype)") }

        guard let offsets = value["data_offsets"]?.array, offsets.count == 2,
            case .integer(let begin) = offsets[0], case .integer(let end) = offsets[1]
        else { throw refuse("data_offsets is missing or not two integers") }
        guard begin >= 0, begin <= end else { throw refuse("data_offsets [\(begin), \(end)] do not rise") }
        guard end <= Int64(fileBytes - dataStart) else { throw refuse("data_offsets end at \(end), but the file has \(fileBytes - dataStart) bytes of data") }
        guard Int(end - begin) == totalBits / 8 else {
            throw refuse("data_offsets span \(end - begin) bytes, but \(dtype) \(shape) needs \(totalBits / 8)")
        }
        return Entry(name: name, dtype: dtype, type: usable[dtype], shape: shape, range: dataStart + Int(begin)..<dataStart + Int(end))
    }

    /// `entries` in the order of their bytes must tile the data.
    private static func checkCover(_ entries: [Entry], dataStart: Int, fileBytes: Int) throws(StoreError) {
        var end = dataStart
        for (index, entry) in entries.enumerated() {
            if entry.range.lowerBound < end {
                throw StoreError(.malformed, "tensor '\(entry.name)' overlaps tensor '\(entries[index - 1].name)'")
            }
            if entry.range.lowerBound > end {
                throw StoreError(.malformed, "\(entry.range.lowerBound - end) bytes before tensor '\(entry.name)' belong to no tensor")
            }
            end = entry.range.upperBound
        }
        guard end == fileBytes else { throw StoreError(.malformed, "\(fileBytes - end) bytes after the last tensor belong to no tensor") }
    }
}

extension SafetensorsHeader {
    /// Reads and checks the header of an open file.
    init(of file: ReadableFile) throws(StoreError) {
        do throws(StoreError) {
            let prefix = try file.read(at: 0, count: min(Self.prefixBytes, file.bytes))
            let length = try Self.length(prefix: prefix, fileBytes: file.bytes)
            try self.init(parsing: try file.read(at: Self.prefixBytes, count: length), fileBytes: file.bytes)
        } catch {
            throw error.at(file.path)
        }
    }
}
