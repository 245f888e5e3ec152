// The door's desk: says who comes, lets in or refuses, and keeps each tenant's account.
//
// A request is identified before anything else is done with it (`identify`); what holds for its tenant goes with it. Accounts of users whom no section names
// are made when they come, and forgotten when there are too many and they ask for nothing. Loop thread only.

import BerthCore
import BerthHTTP
import BerthLoop

final class TenantDesk {
    private(set) var configuration: TenantConfiguration
    private var directory: TenantDirectory
    private var accounts: [TenantName: TenantAccount] = [:]
    /// Of all tenants, in the engine.
    private var sequences = 0
    /// Bodies of all tenants on worker threads.
    private var preparing = 0
    /// Bodies of all tenants that are being received or read, in bytes.
    private var bodyBytes = 0
    /// Files of all tenants on their way in.
    private var uploads = 0
    private let now: () -> UInt64
    /// The pool's when the engine was last told what tenants may have; nil where it never was.
    var pagesOfPolicies: Int?

    init(_ configuration: TenantConfiguration, now: @escaping () -> UInt64 = { Loop.monotonicNanoseconds }) {
        self.configuration = configuration
        self.now = now
        directory = TenantDirectory(configuration)
    }

    /// Takes over another configuration. Requests that are here end under the rules that they came under.
    func replace(_ configuration: TenantConfiguration) {
        self.configuration = configuration
        directory = TenantDirectory(configuration)
        for name in accounts.keys { accounts[name]!.setRate(settings(of: name)?.tokensPerMinute, now: now()) }
    }

    // MARK: who

    /// - Throws: 401 or 403.
    func identify(_ head: RequestHead, _ peer: PeerCredentials?) throws(APIError) -> Tenant {
        let name = try directory.tenant(peer: peer, fields: head.fields)
        guard let tenant = tenant(name) else { preconditionFailure("the directory knows a tenant that the configuration does not") }
        return tenant
    }

    /// Nil where the configuration has no such tenant (any more).
    func tenant(_ name: TenantName) -> Tenant? { settings(of: name).map { Tenant(name: name, settings: $0) } }

    private func settings(of name: TenantName) -> TenantSettings? { configuration.isEmpty ? .unrestricted : configuration.tenants[name] }

    // MARK: how much

    /// A body is going to be read.
    /// - Parameter generates: the request goes on to the engine.
    /// - Throws: 429 where its request could not be let in anyway, or where the tenant has as many bodies being read as there is room for others'.
    func beginPreparation(_ tenant: Tenant, generates: Bool) throws(APIError) {
        if generates { try admit(tenant, sequences: 1, promptTokens: 0) }
        let mine = standing(of: tenant.name).preparing
        guard mine == 0 || mine < Limits.preparingRequests - preparing else {
            count(refusal: .queueShare, of: tenant.name)
            throw .limited(.queueShare, "\(mine) requests of this tenant are being read already.", retryAfterSeconds: 1)
        }
        preparing += 1
        account(tenant.name) { $0.preparing += 1 }
    }

    func endPreparation(_ name: TenantName) {
        preparing -= 1
        account(name) { $0.preparing -= 1 }
    }

    /// Room for a body on its way in.
    /// - Throws: 503 where there is none, 429 where that is the tenant's own doing.
    func leaseBody(of name: TenantName, bytes: Int) throws(APIError) -> BodyLease {
        guard resizeBodies(of: name, by: bytes) else {
            guard standing(of: name).bodyBytes > 0 else { throw .unavailable("There is no room for the body.", code: "overloaded") }
            count(refusal: .queueShare, of: name)
            throw .limited(.queueShare, "Bodies of this tenant take as much room as they leave to others.", retryAfterSeconds: 1)
        }
        return BodyLease(bytes: bytes) { [self] change in resizeBodies(of: name, by: change) }
    }

    private func resizeBodies(of name: TenantName, by change: Int) -> Bool {
        let mine = standing(of: name).bodyBytes
        if change > 0 {
            let left = Limits.bodiesBytes - bodyBytes - change
            guard left >= 0, mine <= left else { return false }
        }
        bodyBytes += change
        account(name) { $0.bodyBytes += change }
        return true
    }

    /// - Throws: 503 where no further file can be taken, 429 where that is the tenant's own doing.
    func checkUpload(_ tenant: Tenant) throws(APIError) {
        guard uploads < Limits.uploads else { throw .unavailable("\(Limits.uploads) files are being uploaded already.", code: "overloaded") }
        let mine = standing(of: tenant.name).uploading
        guard mine == 0 || mine < Limits.uploads - uploads else {
            count(refusal: .queueShare, of: tenant.name)
            throw .limited(.queueShare, "\(mine) files of this tenant are being uploaded already.", retryAfterSeconds: 1)
        }
    }

    func beginUpload(_ name: TenantName) {
        uploads += 1
        account(name) { $0.uploading += 1 }
    }

    func endUpload(_ name: TenantName) {
        uploads -= 1
        account(name) { $0.uploading -= 1 }
    }

    /// - Throws: 429 where the request may not come in now, 400 where it never may.
    func admit(_ tenant: Tenant, sequences: Int, promptTokens: Int) throws(APIError) {
        let (all, now) = (self.sequences, now())
        let result = account(tenant.name) { account in
            let others = all - account.sequences
            return Result { () throws(APIError) in
                try account.admit(sequences: sequences, promptTokens: promptTokens, tenant.settings, others: others, now: now)
            }
        }
        try result.get()
    }

    /// Whether a batch's line with such prompts may run now.
    func mayRun(_ name: TenantName, promptTokens: Int) -> Bool {
        let now = now()
        return account(name) { $0.mayRun(promptTokens: promptTokens, now: now) }
    }

    func count(refusal limit: TenantLimit, of name: TenantName) { account(name) { $0.count(refusal: limit) } }

    func take(tokens: Int, of name: TenantName) {
        let now = now()
        account(name) { $0.take(tokens: tokens, now: now) }
    }

    // MARK: a sequence

    func enter(_ name: TenantName, bulk: Bool) {
        sequences += 1
        account(name) { $0.enter(bulk: bulk) }
    }

    func begin(_ name: TenantName) { account(name) { $0.begin() } }

    func leave(_ name: TenantName, bulk: Bool, hasBegun: Bool) {
        sequences -= 1
        account(name) { $0.leave(bulk: bulk, hasBegun: hasBegun) }
    }

    // MARK: for people

    /// Who has an account or a section, by name.
    var names: [TenantName] { Set(accounts.keys).union(configuration.tenants.keys).sorted() }

    func standing(of name: TenantName) -> TenantAccount { accounts[name] ?? TenantAccount() }

    @discardableResult
    private func account<Value>(_ name: TenantName, _ change: (inout TenantAccount) -> Value) -> Value {
        if accounts[name] == nil {
            if accounts.count >= Limits.tenantAccounts { forgetIdle() }
            var account = TenantAccount()
            account.setRate(settings(of: name)?.tokensPerMinute, now: now())
            accounts[name] = account
        }
        return change(&accounts[name]!)
    }

    private func forgetIdle() {
        accounts = accounts.filter { name, account in !account.isIdle || configuration.tenants[name] != nil }
    }
}
