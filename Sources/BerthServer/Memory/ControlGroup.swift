// What the kernel says of this process's memory: the bounds of its control groups, what they hold, and how long anybody has waited for memory.
//
// Both versions of the interface are looked at, on the way from the process's own group to the root: the tightest bound counts. Every file is the kernel's
// own, short, and may be missing.

import BerthCore
import Glibc

struct ControlGroup: Sendable {
    /// Before "/proc" and "/sys"; empty but in tests.
    private let root: String
    /// Directories from the root's to the process's own, by version: the second first, which is where pressure is told.
    private let unified: [String]
    private let legacy: [String]

    init(root: String = "") {
        self.root = root
        let lines = KernelFile.lines(of: root + "/proc/self/cgroup")
        func directories(_ mark: String, _ mount: String) -> [String] {
            let path = lines.first { $0.contains(mark) }.flatMap { $0.split(separator: ":", omittingEmptySubsequences: false).last } ?? ""
            let parts = path.split(separator: "/")
            return (0...parts.count).map { root + mount + parts[..<$0].map { "/" + $0 }.joined() }
        }
        unified = directories("0::", "/sys/fs/cgroup")
        legacy = directories("memory:", "/sys/fs/cgroup/memory")
    }

    /// What the groups allow, in bytes: a hard bound, or the one above which the kernel slows everything down. Nil where there is none.
    var limit: Int? {
        let bounds = unified.flatMap { [$0 + "/memory.max", $0 + "/memory.high"] } + legacy.map { $0 + "/memory.limit_in_bytes" }
        return bounds.compactMap(number).filter { $0 > 0 && $0 < Self.unlimited }.min()
    }

    /// The first version writes the greatest multiple of a page instead of "max".
    private static let unlimited = 1 << 60

    /// The fullest of the bounded groups: bytes that the kernel cannot simply drop, as a share of its bound. Nil where nothing is bounded.
    private var fill: Double? {
        let unifiedFill = unified.compactMap { group -> Double? in
            share(of: group, bound: ["memory.max", "memory.high"].compactMap { number("\(group)/\($0)") }.min(), names: ["anon ", "shmem "])
        }
        let legacyFill = legacy.compactMap { group in share(of: group, bound: number(group + "/memory.limit_in_bytes"), names: ["total_rss ", "total_shmem "]) }
        return (unifiedFill + legacyFill).max()
    }

    private func share(of group: String, bound: Int?, names: [String]) -> Double? {
        guard let bound, bound > 0, bound < Self.unlimited else { return nil }
        let lines = KernelFile.lines(of: group + "/memory.stat")
        let held = names.compactMap { name in lines.first { $0.hasPrefix(name) }.flatMap { Int($0.dropFirst(name.count)) } }
        return held.isEmpty ? nil : Double(held.reduce(0, +)) / Double(bound)
    }

    /// How the memory of the machine and of the group is doing now.
    var reading: PressurePolicy.Reading {
        PressurePolicy.Reading(
            machineStalled: stalled(root + "/proc/pressure/memory"), groupStalled: unified.last.flatMap { stalled($0 + "/memory.pressure") }, fill: fill)
    }

    /// The sum of the line "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
    private func stalled(_ path: String) -> UInt64? {
        guard let line = KernelFile.lines(of: path).first(where: { $0.hasPrefix("some ") }), let total = line.split(separator: " ").last(where: { $0.hasPrefix("total=") })
        else { return nil }
        return UInt64(total.dropFirst("total=".count))
    }

    private func number(_ path: String) -> Int? { KernelFile.lines(of: path).first.flatMap { Int($0) } }
}

/// Reads the kernel's small text files.
enum KernelFile {
    /// None where the file cannot be read.
    static func lines(of path: String) -> [String] {
        guard let file = fopen(path, "re") else { return [] }
        defer { fclose(file) }
        var lines: [String] = []
        var buffer = [CChar](repeating: 0, count: 4096)
        while lines.count < 4096, fgets(&buffer, Int32(buffer.count), file) != nil {
            lines.append(String(decoding: buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        return lines
    }
}
