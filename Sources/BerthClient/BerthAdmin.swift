// The administrator's side: adapters come and go while requests run.

import BerthCore

/// Talks to a Berth daemon over its admin socket. A value without state; safe to share.
public struct BerthAdmin: Sendable {
    /// Path of the admin socket.
    public let socketPath: String

    public init(socketPath: String = BerthAdmin.defaultSocketPath) { self.socketPath = socketPath }

    /// `$BERTH_ADMIN_SOCKET`, else in `$XDG_RUNTIME_DIR/berth` if that socket exists, else `/run/berth/admin.sock`.
    public static var defaultSocketPath: String { BerthClient.path(of: "admin.sock", variable: "BERTH_ADMIN_SOCKET") }

    /// Registers the adapter in the directory `path` (as the daemon sees it) under `name`, replacing one of that name. Requests that run on the
    /// old one finish on it. Returns the receipt: modules matched, ranks, bytes, digest, and warnings
    /// of what is not used of it.
    /// - Parameter tenants: who may use it, or "*" for all; nil leaves that as it is, which at first is what the configuration says of names.
    @discardableResult
    public func loadAdapter(_ name: String, path: String, pinned: Bool = false, tenants: [String]? = nil) async throws(BerthClientError) -> JSON {
        let fields: [(String, JSON?)] = [
            ("lora_name", .string(name)), ("lora_path", .string(path)), ("pinned", .bool(pinned)), ("tenants", tenants.map { .array($0.map(JSON.string)) }),
        ]
        return try await post("/v1/load_lora_adapter", JSON(fields: fields))
    }

    /// Takes the adapter away; its memory is free when the last request on it ends.
    public func unloadAdapter(_ name: String) async throws(BerthClientError) {
        _ = try await post("/v1/unload_lora_adapter", ["lora_name": .string(name)])
    }

    /// Keeps the adapter in memory, or lets it go again.
    public func pinAdapter(_ name: String, pinned: Bool = true) async throws(BerthClientError) {
        _ = try await post("/adapters/\(Self.escaped(name))/pin", ["pinned": .bool(pinned)])
    }

    /// Every registered adapter: state, bytes, digest, modules, uses.
    public func adapters() async throws(BerthClientError) -> JSON { try await get("/adapters") }

    /// The pool as a picture: pages by class and state, who holds most, hits, evictions.
    public func pool() async throws(BerthClientError) -> JSON { try await get("/pool") }

    /// The bound of the daemon's memory, the plan of it, and how much of the pool gives way to the machine's need.
    public func memory() async throws(BerthClientError) -> JSON { try await get("/memory") }

    /// Bounds the daemon's memory, until its configuration says otherwise or it ends. Returns what `memory` does: less may be in force than was
    /// asked for, and `warnings` says why.
    @discardableResult
    public func setMemory(bytes: Int) async throws(BerthClientError) -> JSON { try await post("/memory", ["size": JSON(bytes)]) }

    /// What paging experts costs and brings; `"paged": false` where all are in memory.
    public func experts() async throws(BerthClientError) -> JSON { try await get("/experts") }

    /// Bulk work: what runs and waits, and the plan of its waves beside what they take.
    public func waves() async throws(BerthClientError) -> JSON { try await get("/waves") }

    /// The requests that wait or run.
    public func requests() async throws(BerthClientError) -> JSON { try await get("/requests") }

    /// A name as one segment of a path.
    static func escaped(_ name: String) -> String {
        name.utf8.reduce(into: "") { text, byte in
            let isPlain = byte < 0x80 && (Character(UnicodeScalar(byte)).isLetter || Character(UnicodeScalar(byte)).isNumber || "-._~".utf8.contains(byte))
            text += isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
    }

    func get(_ path: String) async throws(BerthClientError) -> JSON { try await Exchange.json(socketPath, .get, path) }

    private func post(_ path: String, _ body: JSON) async throws(BerthClientError) -> JSON {
        try await Exchange.json(socketPath, .post, path, body: body)
    }
}
