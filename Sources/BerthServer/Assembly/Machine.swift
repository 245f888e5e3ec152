// What the machine has: the defaults of settings that nobody gave.

import BerthCore
import Glibc

enum Machine {
    static var wallSeconds: Int { time(nil) }

    static var physicalMemory: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

    /// Three quarters of the memory that the machine has, or that the service's control group allows.
    static var defaultMemory: ByteSize { ByteSize(bytes: min(physicalMemory, ControlGroup().limit ?? .max) / 4 * 3) }

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
        KernelFile.lines(of: path).first { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    }
}
