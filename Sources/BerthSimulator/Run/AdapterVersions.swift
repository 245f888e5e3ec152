// Which versions an adapter has had, and when: what a request may have run with.

import BerthCore

/// The registry's history as the simulation has written it.
struct AdapterVersions {
    private struct Version {
        var number: UInt64
        var pages: Int
        var from: UInt64
        var until = UInt64.max
        /// It has ended, and no other took its place at once.
        var wasRemoved = false
    }

    private var versions: [[Version]]
    private var last: UInt64 = 0

    init(adapters: Int) { versions = Array(repeating: [], count: adapters) }

    /// The number and the pages of a new version, which replaces the one before. Another version may have another size.
    mutating func replace(_ adapter: Int, at time: UInt64, pages: (UInt64) -> Int) -> (number: UInt64, pages: Int) {
        end(adapter, at: time, isRemoval: false)
        last += 1
        let version = Version(number: last, pages: pages(last), from: time)
        versions[adapter].append(version)
        return (version.number, version.pages)
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

    /// The version that there is.
    func present(_ adapter: Int) -> (number: UInt64, pages: Int)? { isPresent(adapter) ? versions[adapter].last.map { ($0.number, $0.pages) } : nil }

    /// Versions that were current at some time of the span.
    func current(_ adapter: Int, during span: ClosedRange<UInt64>) -> [UInt64] { all(adapter, during: span).map(\.number) }

    /// What these have.
    func pages(_ adapter: Int, during span: ClosedRange<UInt64>) -> [Int] { all(adapter, during: span).map(\.pages) }

    private func all(_ adapter: Int, during span: ClosedRange<UInt64>) -> [Version] {
        versions[adapter].filter { $0.from <= span.upperBound && $0.until >= span.lowerBound }
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
