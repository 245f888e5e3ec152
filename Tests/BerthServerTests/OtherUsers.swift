// Clients that are other users of the machine, as the kernel tells the daemon.

import BerthCore
import BerthHTTP
import BerthLoop
import Glibc
import HTTPTypes

@testable import BerthServer

/// Whether this process may become others.
let mayBecomeOthers = geteuid() == 0

private typealias SystemCall = @convention(c) (Int, Int, Int, Int) -> Int

#if arch(x86_64)
private let (setUserCall, setGroupCall) = (117, 119)
#else
private let (setUserCall, setGroupCall) = (147, 149)
#endif

/// Runs `body` on a thread that is another user, and waits. The C library's own calls would make the whole process another one; the kernel's change a thread.
func asOther(_ user: UInt32, group: UInt32 = 100, _ body: @escaping @Sendable () -> Void) {
    JoinableThread(name: "other user") {
        let systemCall = unsafeBitCast(dlsym(nil, "syscall"), to: SystemCall.self)
        precondition(systemCall(setGroupCall, Int(group), Int(group), Int(group)) == 0 && systemCall(setUserCall, Int(user), Int(user), Int(user)) == 0)
        body()
    }.join()
}

extension TestClient {
    /// A client of another user. Who it is is decided when it connects.
    static func of(_ user: UInt32, group: UInt32 = 100, _ path: String, key: APIKey? = nil, tenant: String? = nil) -> TestClient {
        nonisolated(unsafe) var client: TestClient?  // the thread has ended when it is read
        asOther(user, group: group) { client = TestClient(path) }
        guard let client else { preconditionFailure("user \(user) cannot connect") }
        if let key { client.fields[.authorization] = "Bearer \(key.text)" }
        if let tenant { client.fields[.berthTenant] = tenant }
        return client
    }
}

/// A configuration as a file would say it.
func tenants(_ text: String) -> TenantConfiguration {
    do {
        let request = try Configuration.read(
            arguments: ["--config", "f"], environment: [:], readFile: { _ in text }, listFolder: { _ in [] }, mayWrite: { _ in false })
        if case .run(let configuration) = request { return configuration.tenants }
    } catch { preconditionFailure("\(error)") }
    preconditionFailure("not a run")
}
