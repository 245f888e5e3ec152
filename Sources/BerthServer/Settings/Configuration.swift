// What the daemon is told at start, with every default resolved.

import BerthCore
import BerthKernels
import Glibc

/// All settings of the daemon. `Setting.all` says where each comes from.
public struct Configuration: Sendable, Equatable {
    /// The checkpoint's directory. The one setting without a default.
    public var model: String?
    /// What clients call the base model; nil is the name of the checkpoint's directory.
    public var modelName: String?
    /// A directory whose subdirectories are adapters.
    public var adapters: String?
    /// Changes in that directory take effect by themselves.
    public var watchAdapters = Toggle.off
    public var socket: String
    public var adminSocket: String
    /// Permissions of the inference socket. The admin socket's are always 0600.
    public var socketMode: UInt32 = 0o660
    /// A bound for the whole process; nil is three quarters of the machine's memory.
    public var memory: ByteSize?
    public var weights = WeightFormat.bf16
    /// Of keys and values in the pool; nil is f32 with weights of f32, else f16.
    public var kv: KVElement?
    /// Nil is one per physical core.
    public var threads: Int?
    public var logFormat = LogFormat.text
    public var logLevel = "info"
    /// Tokens of one step; nil is the engine's choice.
    public var maxBatchTokens: Int?
    /// Milliseconds between two tokens of a stream, about, while prompts come in.
    public var tokenInterval = 250
    /// Requests in one batch; nil is the engine's choice.
    public var maxRunning: Int?
    /// Shorter than the checkpoint's, to save KV; nil is the checkpoint's.
    public var contextLength: Int?
    /// Where prepared images are kept, and hints: what can be made again.
    public var cacheDirectory: String?
    /// Where is kept what administrators did: the registry of adapters. Nil, also in a configuration that was not read: nothing is.
    public var stateDirectory: String?
    /// What experts, keys and values, and adapters may take of the pool; nil is as much as is worth it.
    public var expertMemory: PoolAmount?
    public var kvMemory: PoolAmount?
    public var adapterMemory: PoolAmount?
    public var prefixCache = PrefixCacheChoice.on
    public var expertPolicy = ExpertPolicyChoice.routing
    public var expertPrefetch = Toggle.on
    public var expertRead = ExpertReadChoice.auto
    /// A file that takes the routing of paged experts, for `berth-bench replay`.
    public var recordRouting: String?
    /// Where the kernel's files are, before "/proc" and "/sys"; tests have some of their own.
    var kernelRoot = ""
    /// Who may use the daemon and how much of it; empty is everybody, each user as a tenant.
    public var tenants = TenantConfiguration()
    /// How long running streams may go on after SIGTERM.
    public var drainSeconds = 30

    /// The defaults that depend on the environment.
    public init(environment: [String: String] = [:]) {
        let directory = Self.runtimeDirectory(environment)
        socket = directory + "/berth.sock"
        adminSocket = directory + "/admin.sock"
        // systemd gives a colon-separated list where a unit asks for several; the first is ours.
        cacheDirectory = environment["CACHE_DIRECTORY"].flatMap { $0.split(separator: ":").first.map(String.init) }
            ?? environment["XDG_CACHE_HOME"].map { $0 + "/berth" } ?? environment["HOME"].map { $0 + "/.cache/berth" }
    }

    /// `$RUNTIME_DIRECTORY`, else `$XDG_RUNTIME_DIR/berth`, else `/run/berth`.
    static func runtimeDirectory(_ environment: [String: String]) -> String {
        if let given = environment["RUNTIME_DIRECTORY"]?.split(separator: ":").first { return String(given) }
        if let session = environment["XDG_RUNTIME_DIR"], !session.isEmpty { return session + "/berth" }
        return "/run/berth"
    }

    /// `$STATE_DIRECTORY`, else /var/lib/berth where this process may write it, else `$XDG_STATE_HOME/berth`, else `~/.local/state/berth`.
    static func stateDirectory(_ environment: [String: String], mayWrite: (String) -> Bool) -> String? {
        if let given = environment["STATE_DIRECTORY"]?.split(separator: ":").first { return String(given) }
        if mayWrite(systemStateDirectory) { return systemStateDirectory }
        for (variable, rest) in [("XDG_STATE_HOME", "/berth"), ("HOME", "/.local/state/berth")] {
            if let base = environment[variable], !base.isEmpty { return base + rest }
        }
        return nil
    }

    private static let systemStateDirectory = "/var/lib/berth"

    /// The directory can be written, or can be made.
    public static func mayWrite(_ path: String) -> Bool {
        if access(path, W_OK) == 0 { return true }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/") else { return false }
        return access(String(path[..<slash]), W_OK) == 0
    }

    /// What clients call the base model.
    public var baseName: String {
        if let modelName { return modelName }
        let parts = (model ?? "").split(separator: "/").map(String.init)
        return Self.hubName(parts) ?? parts.last ?? "base"
    }

    /// `org/name`, where the path is one of the hub's cache (`…/models--org--name/snapshots/<commit>`), whose last part names nothing.
    private static func hubName(_ parts: [String]) -> String? {
        guard parts.count >= 3, parts[parts.count - 2] == "snapshots", parts[parts.count - 3].hasPrefix("models--") else { return nil }
        let names = parts[parts.count - 3].dropFirst("models--".count).split(separator: "--", maxSplits: 1)
        return names.isEmpty ? nil : names.joined(separator: "/")
    }
}

/// A setting that cannot be used: which, where it stood, and why.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }

    /// A setting without a default was not given.
    public init(missing name: String) { self.init("--\(name) is required; see --help") }
}
