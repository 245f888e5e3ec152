// The caches of the pool without an engine: requests pass by, and what was not there any more is counted.
//
// For replays (`berth-bench economy`). Pool, economy, prefix cache and adapters are the engine's own and are told what the engine tells them, one
// request after the other; only the model and the disk are missing. A read ends at once, and what tokens and reads cost is said at the start.

import BerthCore
import BerthMemory
import BerthModels

package final class ReplayedPool {
    /// What it takes to bring things back, in seconds.
    package struct Costs: Sendable {
        /// Of the first token of a prompt.
        package var token: Double
        /// What a token costs more for each one before it.
        package var tokenSlope: Double
        package var adapterPage: Double

        package init(token: Double, tokenSlope: Double = 0, adapterPage: Double) {
            (self.token, self.tokenSlope, self.adapterPage) = (token, tokenSlope, adapterPage)
        }

        package func token(after position: Int) -> Double { token + tokenSlope * Double(position) }
    }

    /// What a request found.
    package struct Found: Sendable, Equatable {
        package var tokens: Int
        /// True where it has no adapter.
        package var adapter: Bool
    }

    /// Arenas are mapped, but nothing of what they hold is looked at: pages are as small as they can be.
    private static let pageBytes = 4096

    /// A disk that has read before it is asked.
    private final class Reader: AdapterReader {
        let bytesPerSecond: Double?
        var reads: [AdapterRead] = []
        init(pageSeconds: Double) { bytesPerSecond = Double(pageBytes) / pageSeconds }
        func begin(_ read: AdapterRead) { reads.append(read) }
    }

    private let pool: Pool
    private let economy: Economy
    private let prefixes: PrefixCache
    private let registry: AdapterRegistry
    private let reader: Reader
    private var adapters: [Adapter] = []
    private var step = 0 {
        didSet { (prefixes.step, registry.step) = (step, step) }
    }

    /// `adapterPages`: the adapters that there are, by the pages that each takes.
    package init(pages: Int, blockTokens: Int, adapterPages: [Int], costs: Costs) throws {
        pool = try Pool(bytes: pages * Self.pageBytes, pageBytes: Self.pageBytes)
        economy = Economy(pool: pool)
        reader = Reader(pageSeconds: costs.adapterPage)
        registry = AdapterRegistry(pool: pool, economy: economy, reader: reader, readLimit: 1)
        prefixes = PrefixCache(pool: pool, blockTokens: blockTokens, pageBytes: Self.pageBytes, isEnabled: true)
        prefixes.secondsPerToken = costs.token(after:)
        economy.join(registry)
        economy.join(prefixes)
        for (index, pages) in adapterPages.enumerated() {
            let name = AdapterName("a\(index)")!
            let source = AdapterSource(bytes: pages * Self.pageBytes, digest: "\(index)") { .placeholder(at: $0, bytes: pages * Self.pageBytes) }
            try registry.register(name, source)
            guard case .adapter(let adapter) = registry.entries[name] else { preconditionFailure("an adapter was not registered") }
            adapters.append(adapter)
        }
    }

    deinit {
        registry.shutDown()
        prefixes.shutDown()
        economy.end()
    }

    /// Steps in which nothing is wanted.
    package func pass(steps: Int) { step += steps }

    /// A request with these tokens runs for so many steps. It fits into the pool by itself.
    package func run(_ tokens: [Int32], adapter index: Int?, tenant: TenantName, steps: Int) -> Found {
        let count = (tokens.count + prefixes.blockTokens - 1) / prefixes.blockTokens
        let adapter = index.map { adapters[$0] }
        var found = Found(tokens: 0, adapter: true)
        if let adapter {
            if adapter.weights == nil {
                found.adapter = false
                guard case .begun = registry.beginLoad(adapter, leaving: count) else { preconditionFailure("the pool is too small for an adapter and a prompt") }
                let read = reader.reads.removeLast()
                _ = registry.finishRead(read.ticket, read.perform())
            }
            registry.beginUse(adapter, now: 0)
            registry.bind(adapter, wasInMemory: found.adapter)
        }
        let scope = KVBlock.Scope(tenant: tenant, adapterSerial: adapter?.serial ?? 0, adapterDigest: adapter?.source.digest ?? "")
        let match = prefixes.match(tokens, limit: tokens.count, in: scope)
        found.tokens = match.tokens
        prefixes.claim(match)
        guard economy.makeRoom(count - match.blocks.count, for: .kv) else { preconditionFailure("the pool is too small for a prompt") }
        var blocks = prefixes.blocks(count, startingOn: match, countingAs: true, promptTokens: tokens.count)
        _ = prefixes.computed(tokens, match.tokens..<tokens.count, &blocks, in: scope)
        step += steps
        prefixes.release(blocks)
        if let adapter {
            registry.endUse(adapter, now: 0)
            registry.unbind(adapter)
        }
        return found
    }

    /// Proves the sums of all of them; no request runs.
    package func checkInvariants() {
        pool.checkInvariants()
        prefixes.checkInvariants(holders: [])
        let pages = registry.checkInvariants()
        precondition(pages == pool.pageCount(of: .adapter), "adapters hold \(pages) pages, and \(pool.pageCount(of: .adapter)) are leased for them")
    }
}
