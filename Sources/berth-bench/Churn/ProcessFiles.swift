// What a process holds, as /proc tells it.

import Glibc

struct ProcessFiles: Sendable {
    let pid: Int

    /// Bytes of memory, shared pages by their part; nil where the process is gone or not ours to look at.
    var residentBytes: Int? {
        guard let file = fopen("/proc/\(pid)/smaps_rollup", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.hasPrefix("Pss:"), let kilobytes = Int(text.filter(\.isNumber)) { return kilobytes << 10 }
        }
        return nil
    }

    var descriptors: Int? {
        guard let folder = opendir("/proc/\(pid)/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) { if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 } }
        return count
    }
}
