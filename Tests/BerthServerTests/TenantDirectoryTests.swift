// Who is who, with scripted credentials and headers: the rules, and what attackers try.

import BerthCore
import BerthHTTP
import HTTPTypes
import Testing

@testable import BerthLoop
@testable import BerthServer

@Suite struct TenantDirectoryTests {
    private static let (acmeKey, secondKey, betaKey) = (APIKey.random(), APIKey.random(), APIKey.random())

    /// acme: user 1001 or one of two keys; beta: group 50 or a key; gamma: user 1003; user 33 is a proxy.
    private static func configuration(keys: Bool = true, others: Bool = false) -> TenantConfiguration {
        var configuration = TenantConfiguration()
        var (acme, beta, gamma) = (TenantSettings(), TenantSettings(), TenantSettings())
        (acme.users, beta.groups, gamma.users) = ([1001], [50], [1003])
        if keys { (acme.keys, beta.keys) = ([acmeKey.digest, secondKey.digest], [betaKey.digest]) }
        gamma.hasAllOtherUsers = others
        configuration.tenants = [TenantName("acme")!: acme, TenantName("beta")!: beta, TenantName("gamma")!: gamma]
        configuration.proxyUsers = [33]
        return configuration
    }

    private func who(
        _ configuration: TenantConfiguration, user: UInt32?, group: UInt32 = 100, _ fields: [(HTTPField.Name, String)] = []
    ) -> String {
        let peer = user.map { PeerCredentials(processID: 1, userID: $0, groupID: group) }
        let fields = HTTPFields(fields.map { HTTPField(name: $0.0, value: $0.1) })
        do throws(APIError) { return try TenantDirectory(configuration).tenant(peer: peer, fields: fields).text } catch { return "\(error.status.code) \(error.code ?? "-")" }
    }

    private func bearer(_ key: APIKey) -> (HTTPField.Name, String) { (.authorization, "Bearer " + key.text) }

    @Test func withoutConfigurationEachUserIsATenant() {
        let none = TenantConfiguration()
        #expect(who(none, user: 0) == "uid:0" && who(none, user: 1001) == "uid:1001")
        #expect(who(none, user: 1001, [(.authorization, "Bearer none")]) == "uid:1001", "OpenAI's clients always send one")
        #expect(who(none, user: 1001, [(.authorization, "Basic eDp5")]) == "uid:1001")
        #expect(who(none, user: nil) == "403 unknown_tenant")
        #expect(who(none, user: 1001, [(.berthTenant, "uid:1002")]) == "403 forbidden")
    }

    @Test func theKernelsWord() {
        let some = Self.configuration(keys: false)
        #expect(who(some, user: 1001) == "acme" && who(some, user: 1003) == "gamma" && who(some, user: 7, group: 50) == "beta")
        #expect(who(some, user: 1001, group: 50) == "acme", "the user before the group")
        #expect(who(some, user: 1002) == "403 unknown_tenant" && who(some, user: 0) == "403 unknown_tenant", "root, too")
        #expect(who(some, user: 50) == "403 unknown_tenant" && who(some, user: 7, group: 1001) == "403 unknown_tenant", "a user is no group")
        #expect(who(some, user: 1002, [(.authorization, "Bearer x")]) == "403 unknown_tenant", "there are no keys")
        #expect(who(Self.configuration(others: true), user: 1002) == "gamma" && who(Self.configuration(others: true), user: 1001) == "acme")
    }

    @Test func keys() {
        let all = Self.configuration()
        #expect(who(all, user: 9, [bearer(Self.acmeKey)]) == "acme" && who(all, user: nil, [bearer(Self.secondKey)]) == "acme" && who(all, user: 9, [bearer(Self.betaKey)]) == "beta")
        #expect(who(all, user: 1001, [bearer(Self.betaKey)]) == "beta", "whoever has the key")
        #expect(who(all, user: 1001) == "acme", "no key is needed where the user is known")
        #expect(who(all, user: 9) == "401 missing_api_key" && who(all, user: nil) == "401 missing_api_key")
        for scheme in ["bearer", "BEARER", "Bearer  "] { #expect(who(all, user: 9, [(.authorization, scheme + " " + Self.acmeKey.text)]) == "acme") }
    }

    /// Also where the user alone would be let in.
    @Test(arguments: [9, 1001] as [UInt32])
    func wrongKeys(user: UInt32) {
        let all = Self.configuration()
        let key = Self.acmeKey.text
        let wrong = [
            "Bearer " + APIKey.random().text, "Bearer", "Bearer ", "", key, "Basic " + key, "Token " + key, "Bearer\t" + key, "Bearer " + key + " ", "Bearer " + key + "x",
            "Bearer " + key.dropLast(), "Bearer " + key.uppercased(), "Bearer " + key + " " + Self.betaKey.text, "Bearer " + key + "," + key, "Bearer \u{e9}",
            "Bearer " + Self.acmeKey.digest.description, "Bearer " + String(repeating: "k", count: 257), "Bearer " + String(repeating: "k", count: 16_000),
        ]
        for value in wrong {
            // Trailing space is the field's, not the key's: it never gets here over the wire.
            let answer = who(all, user: user, [(.authorization, value)])
            #expect(answer == "401 invalid_api_key" || (value == "Bearer " + key + " " && answer == "acme"), "\(value.prefix(80)) is \(answer)")
        }
        #expect(who(all, user: user, [bearer(Self.acmeKey), bearer(Self.acmeKey)]) == "401 invalid_api_key", "two are one too many")
        #expect(who(all, user: user, [bearer(Self.acmeKey), bearer(Self.betaKey)]) == "401 invalid_api_key")
    }

    @Test func proxies() {
        let all = Self.configuration()
        func asserting(_ name: String) -> (HTTPField.Name, String) { (.berthTenant, name) }
        #expect(who(all, user: 33, [asserting("acme")]) == "acme" && who(all, user: 33, [asserting("gamma")]) == "gamma")
        #expect(who(all, user: 33) == "401 missing_api_key", "a proxy is nobody by itself")
        #expect(who(all, user: 33, [bearer(Self.betaKey)]) == "beta", "keys decide there")
        #expect(who(all, user: 33, [bearer(Self.acmeKey), asserting("acme")]) == "acme")
        #expect(who(all, user: 33, [bearer(Self.betaKey), asserting("acme")]) == "403 forbidden")
        #expect(who(all, user: 33, [(.authorization, "Bearer wrong"), asserting("acme")]) == "401 invalid_api_key")
        for stranger in [9, 0, 1001, 34] as [UInt32] {
            #expect(who(all, user: stranger, [asserting("acme")]) == "403 forbidden", "\(stranger)")
            #expect(who(all, user: stranger, [bearer(Self.acmeKey), asserting("acme")]) == "403 forbidden")
        }
        #expect(who(all, user: nil, [asserting("acme")]) == "403 forbidden")
        #expect(who(all, user: 33, [asserting("acme"), asserting("acme")]) == "403 forbidden", "one of them may be the client's own")
        for name in ["", "nobody", "ACME", "acme,beta", "../acme", "uid:1001", "berth", "acm\u{e9}"] { #expect(who(all, user: 33, [asserting(name)]) == "403 unknown_tenant", "\(name)") }
        var none = TenantConfiguration()
        none.proxyUsers = [33]
        #expect(who(none, user: 33, [asserting("uid:1001")]) == "uid:1001" && who(none, user: 33) == "uid:33")
        for name in ["uid:01001", "uid:-1", "uid:4294967296", "acme", "uid:", "berth"] { #expect(who(none, user: 33, [asserting(name)]) == "403 unknown_tenant", "\(name)") }
    }

    @Test func keysAreKnownByTheirHashOnly() throws {
        // FIPS 180-2, appendix B.1.
        #expect(APIKey("abc")!.digest.description == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let digest = APIKey("abc")!.digest
        #expect(KeyDigest(hexadecimal: digest.description.uppercased()) == digest)
        for text in ["", "ba78", digest.description + "00", "g" + digest.description.dropFirst(), " " + digest.description.dropFirst(), "é" + digest.description.dropFirst(2)] {
            #expect(KeyDigest(hexadecimal: text) == nil, "\(text)")
        }
        // Whichever byte differs.
        for place in 0..<32 {
            var digits = Array(digest.description)
            digits[2 * place] = digits[2 * place] == "0" ? "1" : "0"
            #expect(try !#require(KeyDigest(hexadecimal: String(digits))).isSame(as: digest))
        }
        #expect(digest.isSame(as: digest))
        let keys = (0..<100).map { _ in APIKey.random().text }
        #expect(Set(keys).count == 100 && keys.allSatisfy { $0.utf8.count == 49 && APIKey($0) != nil && $0.hasPrefix("berth-") })
        for text in ["", " ", "a b", "a\n", "ü", String(repeating: "a", count: Limits.apiKeyBytes + 1)] { #expect(APIKey(text) == nil) }
    }
}
