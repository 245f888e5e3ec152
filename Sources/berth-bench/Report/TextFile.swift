// Small files that commands write and read.

import BerthCore
import Glibc

enum TextFile {
    static func write(_ text: String, to path: String) throws {
        guard let file = fopen(path, "wb") else { throw BenchError("\(path): \(String(cString: strerror(errno)))") }
        let bytes = Array(text.utf8)
        let isWhole = fwrite(bytes, 1, bytes.count, file) == bytes.count
        guard fclose(file) == 0, isWhole else { throw BenchError("\(path) cannot be written") }
    }

    /// A document of at most `Limits.configurationFileBytes`.
    static func json(_ path: String) throws -> JSON {
        guard let file = fopen(path, "rb") else { throw BenchError("\(path): \(String(cString: strerror(errno)))") }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: Limits.configurationFileBytes + 1)
        let count = fread(&bytes, 1, bytes.count, file)
        guard ferror(file) == 0, count <= Limits.configurationFileBytes else { throw BenchError("\(path) cannot be read, or is too large") }
        do throws(JSONError) { return try JSON(parsing: Array(bytes.prefix(count))) } catch { throw BenchError("\(path) is no JSON: \(error)") }
    }
}
