// What the machine has: the defaults of settings that nobody gave.

import BerthCore
import Glibc

enum Machine {
    static var wallSeconds: Int { time(nil) }

    /// Three quarters of the memory that the machine has, or that the service's control group allows.
    static var defaultMemory: ByteSize {
        var bytes = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        if let groupLimit { bytes = min(bytes, groupLimit) }
        return ByteSize(bytes: bytes / 4 * 3)
    }

    /// What the control group allows: the least on the way from this process's group to the root, in both versions of the interface.
    static var groupLimit: Int? {
        let own = ["0::", "memory:"].compactMap { mark in
            lines(of: "/proc/self/cgroup").first { $0.contains(mark) }.flatMap { $0.split(separator: ":").last }.map(String.init)
        }
        var limits: [Int] = []
        for (root, file) in [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")] {
            for path in [""] + own.flatMap(Self.prefixes) {
                if let text = firstLine(of: "\(root)\(path)/\(file)"), let limit = Int(text), limit > 0 { limits.append(limit) }
            }
        }
        return limits.min()
    }

    /// "/a", "/a/b" of "/a/b".
    private static func prefixes(_ path: String) -> [String] {
        let parts = path.split(separator: "/")
        return parts.indices.map { "/" + parts[...$0].joined(separator: "/") }
    }

    /// Physical cores among the processors that this process may run on: a second thread of a core brings next to nothing to dense arithmetic.
    static var physicalCores: Int {
        guard let allowed = allowedProcessors, !allowed.isEmpty else { return max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
        let cores = Set(allowed.map { cpu in
            firstLine(of: "/sys/devices/system/cpu/cpu\(cpu)/topology/thread_siblings_list") ?? "cpu \(cpu)"
        })
        return cores.count
    }

    /// The kernel's list, such as "0-3,8"; nil where it cannot be read.
    private static var allowedProcessors: [Int]? {
        guard let list = firstLine(of: "/proc/self/status", startingWith: "Cpus_allowed_list:") else { return nil }
        var processors: [Int] = []
        for range in list.split(separator: ",") {
            let bounds = range.split(separator: "-").compactMap { Int($0.filter(\.isNumber)) }
            guard let first = bounds.first, let last = bounds.last, first <= last, last < 1 << 16 else { return nil }
            processors += first...last
        }
        return processors
    }

    /// The first line of a file that starts with `prefix`, without it.
    static func firstLine(of path: String, startingWith prefix: String = "") -> String? {
        lines(of: path).first { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    }

    /// The lines of a file of the kernel's, which are short and few; none where it cannot be read.
    private static func lines(of path: String) -> [String] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var lines: [String] = []
        var buffer = [CChar](repeating: 0, count: 4096)
        while lines.count < 4096, fgets(&buffer, Int32(buffer.count), file) != nil {
            lines.append(String(decoding: buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        return lines
    }
}
