// Whom a request belongs to, and what holds for it.

import BerthCore

/// Looked up once, when a request comes: a reload changes what holds for the next.
struct Tenant: Sendable, Equatable {
    let name: TenantName
    let settings: TenantSettings

    /// Whether it may see and use an adapter. The work is the same for one that is another's and for one that does not exist.
    /// - Parameter audience: whom the adapter was loaded for; nil where there is no such adapter.
    func mayUse(_ adapter: AdapterName, _ audience: AdapterAudience?) -> Bool {
        let isMatched = settings.adapters.contains { $0.matches(adapter) }
        return switch audience {
        case nil: false
        case .everybody: true
        case .only(let tenants): tenants.contains(name)
        case .unsaid: isMatched
        }
    }
}

/// Whom an adapter was loaded for. What an administrator has said of one adapter holds before what the configuration says of names.
public enum AdapterAudience: Sendable, Equatable {
    /// Nothing was said: tenants whose `adapters` match its name.
    case unsaid
    case everybody
    case only(Set<TenantName>)

    /// As `tenants` of `POST /v1/load_lora_adapter` says it: names, or "*" among them. Nil where one cannot be a tenant's name.
    init?(_ texts: [String]) {
        if texts.contains("*") {
            self = .everybody
        } else {
            let names = texts.compactMap { TenantName($0) }
            guard names.count == texts.count else { return nil }
            self = .only(Set(names))
        }
    }

    /// The same again; nil where nothing was said.
    var texts: [String]? {
        switch self {
        case .unsaid: nil
        case .everybody: ["*"]
        case .only(let tenants): tenants.sorted().map(\.text)
        }
    }
}

/// What a tenant may have loaded for it; nil is no bound.
public struct AdapterQuota: Sendable, Equatable {
    public var count: Int?
    /// In memory.
    public var bytes: Int?
}
