// Who a caller is. A value: what a request says and what the kernel says in, a tenant's name or a refusal out.
//
//     a key       the tenant that it belongs to, whatever user sends it; a wrong one is refused, whoever sends it
//     a proxy     may name the tenant in X-Berth-Tenant; anybody else who does is refused
//     the kernel  user id, else primary group, of the process that connected (SO_PEERCRED)
//
// Without sections each user is a tenant of its own, and since there are no keys, what clients send as one says nothing (OpenAI's always
// send one). With sections, who is in none of them is refused: 401 where a key would help, else 403.

import BerthCore
import BerthHTTP
import BerthLoop
import HTTPTypes

struct TenantDirectory: Sendable {
    private struct Key {
        let digest: KeyDigest
        let tenant: TenantName
    }

    private let configuration: TenantConfiguration
    private let keys: [Key]
    private let users: [UInt32: TenantName]
    private let groups: [UInt32: TenantName]
    private let allOtherUsers: TenantName?

    init(_ configuration: TenantConfiguration) {
        self.configuration = configuration
        var (keys, users, groups): ([Key], [UInt32: TenantName], [UInt32: TenantName]) = ([], [:], [:])
        for (name, settings) in configuration.tenants {
            keys += settings.keys.map { Key(digest: $0, tenant: name) }
            for user in settings.users { users[user] = name }
            for group in settings.groups { groups[group] = name }
        }
        (self.keys, self.users, self.groups) = (keys, users, groups)
        allOtherUsers = configuration.tenants.first { $0.value.hasAllOtherUsers }?.key
    }

    /// - Parameter peer: nil where the kernel does not know.
    /// - Throws: 401 or 403.
    func tenant(peer: PeerCredentials?, fields: HTTPFields) throws(APIError) -> TenantName {
        let key = keys.isEmpty ? nil : try Authorization.key(fields).map { key throws(APIError) in try tenant(of: key) }
        let asserted = try assertion(peer, fields)
        if let key, let asserted, key != asserted { throw .forbidden("The key is another tenant's than the one that is named in X-Berth-Tenant.") }
        if let known = key ?? asserted ?? tenant(of: peer) { return known }
        throw keys.isEmpty ? .forbidden("This user is no tenant of this daemon.", code: "unknown_tenant") : .missingKey
    }

    /// Compares with every key, and each to its end, so that the time says nothing about any of them.
    private func tenant(of key: APIKey) throws(APIError) -> TenantName {
        let digest = key.digest
        var found: Int?
        for (index, candidate) in keys.enumerated() {
            let isSame = candidate.digest.isSame(as: digest)
            found = isSame ? index : found
        }
        guard let found else { throw .wrongKey() }
        return keys[found].tenant
    }

    private func assertion(_ peer: PeerCredentials?, _ fields: HTTPFields) throws(APIError) -> TenantName? {
        let values = fields[values: .berthTenant]
        guard !values.isEmpty else { return nil }
        guard let peer, configuration.proxyUsers.contains(peer.userID) else { throw .forbidden("Only a proxy may say whose a request is (X-Berth-Tenant).") }
        // A proxy that appends its field to a client's is no proxy that can be believed.
        guard values.count == 1 else { throw .forbidden("The request has more than one field 'X-Berth-Tenant'.") }
        guard let name = TenantName(values[0]), configuration.isEmpty ? Self.isUser(name) : configuration.tenants[name] != nil else {
            throw .forbidden("X-Berth-Tenant names no tenant of this daemon.", code: "unknown_tenant")
        }
        return name
    }

    /// Whether it is the name that a user has where nothing is configured.
    private static func isUser(_ name: TenantName) -> Bool {
        guard name.text.hasPrefix("uid:"), let user = UInt32(name.text.dropFirst(4)) else { return false }
        return TenantName(uid: user) == name
    }

    private func tenant(of peer: PeerCredentials?) -> TenantName? {
        guard let peer else { return nil }
        if configuration.isEmpty { return TenantName(uid: peer.userID) }
        return users[peer.userID] ?? groups[peer.groupID] ?? allOtherUsers
    }
}
