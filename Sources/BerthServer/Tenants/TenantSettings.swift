// What the configuration says of one tenant: who it is, what it may use, and how much of it.

import BerthBatches
import BerthCore
import BerthEngine
import BerthHTTP
import BerthMemory
import Glibc

/// A section `[tenant NAME]`. What is nil has no bound of its own.
public struct TenantSettings: Sendable, Equatable {
    // MARK: who

    /// By the kernel's word: user ids, and the primary group of the process.
    public var users: Set<UInt32> = []
    public var groups: Set<UInt32> = []
    /// Everybody whom no other section names.
    public var hasAllOtherUsers = false
    public var keys: [KeyDigest] = []

    // MARK: what

    /// The adapters it may use, beside those that were loaded for it by name.
    public var adapters: [AdapterPattern] = []
    /// Tokens of prompt and output together.
    public var contextLength: Int?

    // MARK: how much

    /// Beside the others' while all have work.
    public var weight = 1.0
    /// Sequences in the running set.
    public var maxRunning: Int?
    /// Sequences that wait for their first token.
    public var maxQueued: Int?
    public var tokensPerMinute: Int?
    /// Of the pool, for keys and values.
    public var kvFloor: PoolAmount?
    public var kvCeiling: PoolAmount?
    /// Adapters that are loaded for it, and the bytes that they take in memory.
    public var maxAdapters: Int?
    public var adapterBytes: ByteSize?
    /// Its stored files, and the lines of its batches that have not ended.
    public var batchBytes: ByteSize?
    public var batchLines: Int?
    /// Milliseconds between two tokens of a stream while prompts come in, and to the first token.
    public var tokenInterval: Int?
    public var firstToken: Int?

    public init() {}

    /// Of a user where nothing is configured: all adapters, no bounds.
    static let unrestricted: TenantSettings = {
        var settings = TenantSettings()
        settings.adapters = [AdapterPattern("*")!]
        return settings
    }()

    var adapterQuota: AdapterQuota { AdapterQuota(count: maxAdapters, bytes: adapterBytes?.bytes) }

    var batchQuota: BatchQuota { BatchQuota(bytes: batchBytes?.bytes, lines: batchLines) }

    /// What the engine is told depends on how large the pool is.
    var hasSharesOfThePool: Bool {
        [kvFloor, kvCeiling].contains { if case .percent = $0 { true } else { false } }
    }

    /// What the engine has to know of it.
    /// - Parameters:
    ///   - pages: of the pool.
    func policy(pages: Int, pageBytes: Int) -> TenantPolicy {
        var policy = TenantPolicy()
        policy.weight = weight
        policy.maxRunning = maxRunning
        policy.tokenInterval = tokenInterval.map { UInt64($0) * 1_000_000 }
        policy.firstTokenObjective = firstToken.map { UInt64($0) * 1_000_000 }
        func count(_ amount: PoolAmount) -> Int { min(pages, amount.bytes(of: pages * pageBytes) / max(1, pageBytes)) }
        if let kvFloor { policy.kv.floorPages = count(kvFloor) }
        // A ceiling below a page would let nothing in.
        if let kvCeiling { policy.kv.ceilingPages = max(1, policy.kv.floorPages, count(kvCeiling)) }
        return policy
    }
}

/// Names of adapters: "acme-*" stands for all that begin so; "*" for any text, slashes too, "?" for one character.
public struct AdapterPattern: Sendable, Hashable, CustomStringConvertible {
    public let description: String

    /// Nil where no adapter's name could be so.
    public init?(_ text: String) {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            default: "._-:/*?".utf8.contains(byte)
            }
        }
        guard isPlain, (1...Limits.adapterNameBytes).contains(text.utf8.count) else { return nil }
        description = text
    }

    public func matches(_ name: AdapterName) -> Bool { fnmatch(description, name.text, FNM_NOESCAPE) == 0 }
}
