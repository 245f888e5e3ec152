// What the machine has: the defaults of settings that nobody gave.

import BerthCore
import Glibc

enum Machine {
    static var wallSeconds: Int { time(nil) }

    /// Three quarters of the memory that the machine has, or that the service's control group allows.
    static var defaultMemory: ByteSize {
        var bytes = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        for path in ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"] {
            if let text = firstLine(of: path), let limit = Int(text), limit > 0 { bytes = min(bytes, limit) }
        }
        return ByteSize(bytes: bytes / 4 * 3)
    }

    /// Physical cores among the processors that this process may run on: a second thread of a core brings next to nothing to dense arithmetic.
    static var physicalCores: Int {
        var set = cpu_set_t()
        guard sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &set) == 0 else { return max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
        var allowed = 0
        var cores: Set<String> = []
        withUnsafeBytes(of: &set) { mask in
            for cpu in 0..<mask.count * 8 where mask[cpu / 8] & (1 << (cpu % 8)) != 0 {
                allowed += 1
                cores.insert(firstLine(of: "/sys/devices/system/cpu/cpu\(cpu)/topology/thread_siblings_list") ?? "cpu \(cpu)")
            }
        }
        return max(1, min(allowed, cores.count))
    }

    private static func firstLine(of path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var buffer = [CChar](repeating: 0, count: 256)
        guard fgets(&buffer, Int32(buffer.count), file) != nil else { return nil }
        let bytes = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
