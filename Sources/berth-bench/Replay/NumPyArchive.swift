// The arrays of an .npz file: a zip archive of .npy members, stored or deflated. Only what traces need: unsigned and signed integers.

import BerthCore
import CZlib
import Glibc

struct NumPyArchive {
    struct IntegerArray {
        var shape: [Int]
        var values: [Int]
    }

    private var members: [String: [UInt8]] = [:]
    private let path: String
    /// Of all members unpacked.
    private static let mostBytes = 1 << 30

    init(_ bytes: [UInt8], path: String) throws {
        self.path = path
        // The directory at the end says where members are and how long: local headers may leave that open.
        let tail = max(0, bytes.count - 65_557)
        guard bytes.count >= 22, let end = (tail...bytes.count - 22).last(where: { bytes[$0..<$0 + 4].elementsEqual([0x50, 0x4b, 5, 6]) }) else {
            throw BenchError("\(path) is not a whole zip archive")
        }
        func number(_ offset: Int, _ width: Int) throws -> Int {
            guard offset >= 0, offset + width <= bytes.count else { throw BenchError("\(path): the archive's directory is damaged") }
            return bytes[offset..<offset + width].reversed().reduce(0) { $0 << 8 | Int($1) }
        }
        var entry = try number(end + 16, 4)
        var total = 0
        for _ in 0..<(try number(end + 10, 2)) {
            guard try number(entry, 4) == 0x0201_4b50 else { throw BenchError("\(path): the archive's directory is damaged") }
            let (method, packed, unpacked) = (try number(entry + 10, 2), try number(entry + 20, 4), try number(entry + 24, 4))
            let (nameBytes, extra, comment, local) = (try number(entry + 28, 2), try number(entry + 30, 2), try number(entry + 32, 2), try number(entry + 42, 4))
            guard entry + 46 + nameBytes <= bytes.count else { throw BenchError("\(path): the archive's directory is damaged") }
            let name = String(decoding: bytes[(entry + 46)..<(entry + 46 + nameBytes)], as: UTF8.self)
            let start = local + 30 + (try number(local + 26, 2)) + (try number(local + 28, 2))
            total += unpacked
            guard start + packed <= bytes.count, total <= Self.mostBytes else { throw BenchError("\(path): \(name) is longer than the archive or than 1 GiB unpacked") }
            members[name] = try Self.unpack(bytes[start..<start + packed], method, unpacked, "\(path): \(name)")
            entry += 46 + nameBytes + extra + comment
        }
    }

    private static func unpack(_ packed: ArraySlice<UInt8>, _ method: Int, _ count: Int, _ name: String) throws -> [UInt8] {
        switch method {
        case 0 where packed.count == count: return Array(packed)
        case 8:
            var isWhole = false
            let bytes = [UInt8](unsafeUninitializedCapacity: max(count, 1)) { output, filled in
                isWhole = packed.withUnsafeBufferPointer { berth_inflate_raw($0.baseAddress, $0.count, output.baseAddress, count) == 1 }
                filled = isWhole ? count : 0
            }
            guard isWhole else { throw BenchError("\(name) is damaged") }
            return bytes
        default: throw BenchError("\(name) is packed with method \(method), which is neither stored nor deflated")
        }
    }

    /// A member `name`.npy, in C order.
    func array(_ name: String) throws -> IntegerArray {
        guard let bytes = members[name + ".npy"] else { throw BenchError("\(path) has no array \(name)") }
        let bad = BenchError("\(path): \(name) is no array of integers in C order")
        guard bytes.count >= 12, bytes.starts(with: [0x93] + Array("NUMPY".utf8)) else { throw bad }
        let wide = bytes[6] > 1
        let start = wide ? 12 : 10
        let length = bytes[8..<start].reversed().reduce(0) { $0 << 8 | Int($1) }
        guard start + length <= bytes.count else { throw bad }
        let head = String(decoding: bytes[start..<start + length], as: UTF8.self)
        guard let kind = Self.field("descr", head)?.split(separator: "'").first, head.contains("'fortran_order': False"),
            let list = Self.field("shape", head)?.split(separator: ")", omittingEmptySubsequences: false).first, list.first == "(",
            let width = kind.last?.wholeNumberValue, [1, 2, 4, 8].contains(width), ["<", "|"].contains(kind.prefix(1)), ["u", "i"].contains(kind.dropFirst().prefix(1))
        else { throw bad }
        let shape = list.dropFirst().split(separator: ",").compactMap { Int($0.filter { $0 != " " }) }
        let data = bytes[(start + length)...]
        let count = shape.reduce(into: Int?(1)) { product, size in
            guard let so = product, size >= 0 else { return product = nil }
            let (next, overflow) = so.multipliedReportingOverflow(by: size)
            product = overflow ? nil : next
        }
        guard let count, count == data.count / width, data.count % width == 0 else { throw bad }
        let isSigned = kind.dropFirst().prefix(1) == "i"
        let values = (0..<count).map { place in
            let raw = data[(data.startIndex + place * width)..<(data.startIndex + (place + 1) * width)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let unused = UInt64(64 - width * 8)
            return isSigned ? Int(Int64(bitPattern: raw << unused) >> Int64(unused)) : Int(truncatingIfNeeded: raw)
        }
        return IntegerArray(shape: shape, values: values)
    }

    private static func field(_ name: String, _ head: String) -> Substring? {
        guard let at = head.range("'\(name)': ") else { return nil }
        return head[at...]
    }
}

extension String {
    /// Where the text behind the first occurrence begins.
    fileprivate func range(_ text: String) -> Index? {
        indices.first { self[$0...].hasPrefix(text) }.map { index($0, offsetBy: text.count) }
    }
}

extension RoutingTrace {
    static func contents(of path: String) throws -> [UInt8] {
        guard let file = fopen(path, "rb") else { throw BenchError("\(path): \(String(cString: strerror(errno)))") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            guard count > 0 else { break }
            bytes += buffer[..<count]
            guard bytes.count <= 1 << 30 else { throw BenchError("\(path) is longer than 1 GiB") }
        }
        guard ferror(file) == 0 else { throw BenchError("\(path) cannot be read") }
        return bytes
    }
}
