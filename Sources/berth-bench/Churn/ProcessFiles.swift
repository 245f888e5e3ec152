// What a process holds, as /proc tells it.

import BerthCore
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

    /// Open descriptors by what they are; nil where the process is gone or not ours to look at.
    var descriptors: Descriptors? {
        guard let folder = opendir("/proc/\(pid)/fd") else { return nil }
        defer { closedir(folder) }
        var descriptors = Descriptors()
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)) { String(cString: $0) }
            }
            var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
            let length = target.withUnsafeMutableBytes { readlink("/proc/\(pid)/fd/\(name)", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count) }
            // The folder's own two entries are no links, and one that was closed since is none, either.
            if length > 0 { descriptors.count(String(decoding: target[..<length], as: UTF8.self)) }
        }
        return descriptors
    }

    /// The descriptors once their number by kind has not changed for half a second: connections that were closed by us are open on the other side for a moment.
    /// What there is after ten seconds otherwise.
    func quietDescriptors() async throws -> Descriptors? {
        guard var last = descriptors else { return nil }
        var same = 0
        for _ in 0..<200 where same < 10 {
            try await Task.sleep(nanoseconds: 50_000_000)
            guard let now = descriptors else { return nil }
            same = now == last ? same + 1 : 0
            last = now
        }
        return last
    }
}

/// A process's open descriptors, by kind.
struct Descriptors: Sendable, Equatable {
    /// "socket", "pipe", "eventpoll" and what else the kernel makes; "file" is whatever has a path.
    private(set) var byKind: [String: Int] = [:]

    var total: Int { byKind.values.reduce(0, +) }

    /// One more, which the kernel says leads there: "/var/lib/x", "socket:[4711]", "anon_inode:[eventpoll]".
    mutating func count(_ target: String) {
        let kind = target.hasPrefix("/") ? "file" : target.hasPrefix("anon_inode:") ? String(target.dropFirst("anon_inode:".count)) : String(target.prefix { $0 != ":" })
        byKind[kind.filter { $0 != "[" && $0 != "]" }, default: 0] += 1
    }

    /// What there is more of than there was, as sentences.
    func more(than before: Descriptors) -> [String] {
        byKind.sorted { $0.key < $1.key }.compactMap { kind, count in
            let other = before.byKind[kind] ?? 0
            return count > other ? "descriptors: \(count) of kind \(kind) and not \(other)" : nil
        }
    }

    var text: String { byKind.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ") }
    var json: JSON { JSON(fields: byKind.sorted { $0.key < $1.key }.map { ($0.key, JSON($0.value)) }) }
}
