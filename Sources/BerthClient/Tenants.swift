// Tenants, as an administrator sees them; and the keys by which they are known.

import BerthCore
import BerthHTTP

/// A bearer key. `APIKey.random()` makes one; the daemon's configuration has only its `digest`.
public typealias APIKey = BerthHTTP.APIKey

/// What has been used: sums since the daemon knows the tenant.
public struct TenantUse: Sendable, Equatable {
    /// Sequences that have ended, however they did.
    public var requests: Int
    public var promptTokens: Int
    /// Of these, those that were in the prefix cache.
    public var cachedTokens: Int
    public var generatedTokens: Int
    /// Of the steps' time.
    public var computeSeconds: Double
    /// Read for its requests: adapters and experts.
    public var diskBytes: Int

    init(json: JSON?) {
        requests = json?["requests"]?.int ?? 0
        promptTokens = json?["prompt_tokens"]?.int ?? 0
        cachedTokens = json?["cached_tokens"]?.int ?? 0
        generatedTokens = json?["generated_tokens"]?.int ?? 0
        computeSeconds = json?["compute_seconds"]?.double ?? 0
        diskBytes = json?["disk_bytes"]?.int ?? 0
    }
}

/// A tenant and where it stands.
public struct TenantInfo: Sendable, Equatable {
    public var name: String
    /// The configuration names it; otherwise it is a user of the machine.
    public var isConfigured: Bool
    /// Sequences now.
    public var running: Int
    public var waiting: Int
    public var use: TenantUse
    /// By adapter; nil is the base model.
    public var adapters: [(name: String?, use: TenantUse)]
    /// Requests that were refused, by the name of the limit.
    public var refused: [String: Int]

    init(json: JSON) throws(BerthClientError) {
        name = try json.require("name", \.string)
        isConfigured = json["configured"]?.bool ?? false
        running = json["running"]?.int ?? 0
        waiting = json["waiting"]?.int ?? 0
        use = TenantUse(json: json["use"])
        adapters = (json["adapters"]?.array ?? []).map { ($0["adapter"]?.string, TenantUse(json: $0["use"])) }
        refused = (json["refused"]?.object ?? [:]).reduce(into: [:]) { $0[$1.key] = $1.value.int }
    }

    public static func == (one: TenantInfo, other: TenantInfo) -> Bool {
        one.name == other.name && one.isConfigured == other.isConfigured && one.running == other.running && one.waiting == other.waiting && one.use == other.use
            && one.refused == other.refused && one.adapters.elementsEqual(other.adapters) { $0.name == $1.name && $0.use == $1.use }
    }
}

/// All tenants that the daemon knows.
public struct TenantList: Sendable, Equatable {
    public var tenants: [TenantInfo]
    /// Why the last reload changed none of the settings.
    public var reloadProblem: String?
    /// The daemon's answer as it is, with each tenant's settings.
    public var json: JSON

    init(json: JSON) throws(BerthClientError) {
        self.json = json
        reloadProblem = json["reload_problem"]?.string
        tenants = []
        for entry in try json.require("tenants", \.array) { tenants.append(try TenantInfo(json: entry)) }
    }
}

extension BerthAdmin {
    /// Everybody who has a section of the configuration or has asked for something, by name.
    public func tenants() async throws(BerthClientError) -> TenantList { try TenantList(json: try await get("/tenants")) }
}
