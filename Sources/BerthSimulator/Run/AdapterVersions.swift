// Which versions an adapter has had, and when: what a request may have run with.

import BerthCore

/// The registry's history as the simulation has written it.
struct AdapterVersions {
    private struct Version {
        var number: UInt64
        var from: UInt64
        var until = UInt64.max
        /// It has ended, and no other took its place at once.
        var wasRemoved = false
    }

    private var versions: [[Version]]
    private var last: UInt64 = 0

    init(adapters: Int) { versions = Array(repeating: [], count: adapters) }

    /// The number of a new version, which replaces the one before.
    mutating func replace(_ adapter: Int, at time: UInt64) -> UInt64 {
        end(adapter, at: time, isRemoval: false)
        last += 1
        versions[adapter].append(Version(number: last, from: time))
        return last
    }

    /// The last replacement was refused: the version before stays, if there was one.
    mutating func keepBefore(_ adapter: Int) {
        versions[adapter].removeLast()
        if let index = versions[adapter].indices.last { versions[adapter][index].until = .max }
    }

    mutating func remove(_ adapter: Int, at time: UInt64) { end(adapter, at: time, isRemoval: true) }

    private mutating func end(_ adapter: Int, at time: UInt64, isRemoval: Bool) {
        guard let index = versions[adapter].indices.last, versions[adapter][index].until == .max else { return }
        (versions[adapter][index].until, versions[adapter][index].wasRemoved) = (time, isRemoval)
    }

    func isPresent(_ adapter: Int) -> Bool { versions[adapter].last?.until == .max }

    /// Versions that were current at some time of the span.
    func current(_ adapter: Int, during span: ClosedRange<UInt64>) -> [UInt64] {
        versions[adapter].filter { $0.from <= span.upperBound && $0.until >= span.lowerBound }.map(\.number)
    }

    /// At some time of the span there was none. At the very moment at which the first comes there is one, and there is none; and so it is where one is removed and
    /// another comes at the same moment.
    func wasAbsent(_ adapter: Int, during span: ClosedRange<UInt64>) -> Bool {
        var covered: UInt64?
        for version in versions[adapter] where version.until >= span.lowerBound {
            if covered.map({ version.from > $0 }) ?? (version.from >= span.lowerBound) { return true }
            if version.wasRemoved, version.until <= span.upperBound { return true }
            covered = version.until
            if version.until > span.upperBound { return false }
        }
        return true
    }
}
