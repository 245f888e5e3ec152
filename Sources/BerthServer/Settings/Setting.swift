// The table of settings: one line each gives the flag, the environment variable, the key in the file, the bounds and the help.

import BerthCore
import BerthKernels

/// One setting. Its name is "socket-mode"; the flag is "--socket-mode", the variable BERTH_SOCKET_MODE, the key in the file "socket-mode".
public struct Setting: Sendable {
    public let name: String
    /// What stands for the value in the help.
    let placeholder: String
    public let help: String
    /// What the flag means without a value; nil where it needs one.
    var implied: String?
    /// Puts a value in place; returns what is wrong with it, as the end of "NAME must be …".
    let apply: @Sendable (inout Configuration, String) -> String?

    init(name: String, placeholder: String, help: String, implied: String? = nil, apply: @escaping @Sendable (inout Configuration, String) -> String?) {
        (self.name, self.placeholder, self.help, self.implied, self.apply) = (name, placeholder, help, implied, apply)
    }

    public var flag: String { "--" + name }
    public var variable: String { "BERTH_" + name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined() }

    static let all: [Setting] = [
        text("model", "DIR", "the checkpoint: config.json, safetensors, tokenizer.json", \.model),
        text("model-name", "NAME", "what clients call the base model (default: the directory's name)", \.modelName),
        text("adapters", "DIR", "a directory of PEFT adapters, one folder each", \.adapters),
        toggle("watch-adapters", "serve what comes, goes and changes in that directory without a reload (default off)", \.watchAdapters),
        text("socket", "PATH", "the inference socket", \.socket),
        text("admin-socket", "PATH", "the administration socket", \.adminSocket),
        Setting(name: "socket-mode", placeholder: "OCTAL", help: "permissions of the inference socket (default 0660)") { configuration, value in
            guard let mode = UInt32(value, radix: 8), mode <= 0o777 else { return "octal permissions such as 0660" }
            configuration.socketMode = mode
            return nil
        },
        Setting(name: "memory", placeholder: "SIZE", help: "bounds the whole process, such as 8G (default: three quarters of the machine's)") { configuration, value in
            guard let size = ByteSize(value), size.bytes >= minimumMemory else { return "a size of at least 64M, such as 8G" }
            configuration.memory = size
            return nil
        },
        choice("weights", "weights in memory (default bf16)", WeightFormat.allCases, \.weights),
        choice("kv", "keys and values in memory (default f16; f32 with f32 weights)", [KVElement.f16, .int8], \.kv),
        amount("expert-memory", "most memory of experts: a size, or per cent of all experts (default: what the pool can spare)", \.expertMemory),
        amount("kv-memory", "most memory of keys and values: a size, or per cent of the pool", \.kvMemory),
        amount("adapter-memory", "most memory of adapters: a size, or per cent of the pool", \.adapterMemory),
        choice(
            "prefix-cache", "keep what was computed for whoever begins alike: off, on, or shared by all tenants (default on)", PrefixCacheChoice.allCases,
            \.prefixCache),
        choice("expert-policy", "who leaves when experts are paged (default routing)", ExpertPolicyChoice.allCases, \.expertPolicy),
        choice("expert-prefetch", "read the next layer's experts ahead (default on)", Toggle.allCases, \.expertPrefetch),
        choice("expert-read", "past the page cache, or through it (default auto: by the memory that is free)", ExpertReadChoice.allCases, \.expertRead),
        text("record-routing", "FILE", "write the routing of paged experts for berth-bench replay", \.recordRouting),
        number("threads", "compute threads (default: one per physical core)", 1...1024, \.threads),
        number("context-length", "tokens of prompt and output together (default: the checkpoint's)", 16...(1 << 24), \.contextLength),
        number("max-batch-tokens", "tokens of one step", 1...(1 << 16), \.maxBatchTokens),
        Setting(name: "token-interval", placeholder: "MS", help: "milliseconds between a stream's tokens while others' prompts come in (default 250)") { configuration, value in
            guard let milliseconds = Int(value), (1...60_000).contains(milliseconds) else { return "a whole number of milliseconds from 1 to 60000" }
            configuration.tokenInterval = milliseconds
            return nil
        },
        number("max-running", "requests in one batch", 1...4096, \.maxRunning),
        text("cache-dir", "DIR", "where prepared weights are kept; may be emptied (default: $CACHE_DIRECTORY or ~/.cache/berth)", \.cacheDirectory),
        text(
            "state-dir", "DIR",
            "where is remembered which adapters were loaded (default: $STATE_DIRECTORY, else /var/lib/berth where it may be written, else ~/.local/state/berth)",
            \.stateDirectory),
        Setting(name: "proxy-uid", placeholder: "UID,…", help: "users that may say whose a request is, with X-Berth-Tenant") { configuration, value in
            guard let users = TenantSetting.numbers(value) else { return "user ids such as 33, 1000" }
            configuration.tenants.proxyUsers = Set(users)
            return nil
        },
        Setting(name: "drain-seconds", placeholder: "N", help: "how long running streams may go on after SIGTERM (default 30)") { configuration, value in
            guard let seconds = Int(value), (0...86_400).contains(seconds) else { return "a whole number from 0 to 86400" }
            configuration.drainSeconds = seconds
            return nil
        },
        choice("log-format", "lines on standard error (default text)", LogFormat.allCases, \.logFormat),
        Setting(name: "log-level", placeholder: "LEVEL", help: "trace, debug, info, notice, warning or error (default info)") { configuration, value in
            guard ["trace", "debug", "info", "notice", "warning", "error"].contains(value) else { return "trace, debug, info, notice, warning or error" }
            configuration.logLevel = value
            return nil
        },
    ]

    private static let minimumMemory = 64 << 20

    // Key paths are not Sendable values by themselves; those of a Sendable struct's stored properties are safe to share.
    private typealias Path<Value> = WritableKeyPath<Configuration, Value> & Sendable

    private static func text(_ name: String, _ placeholder: String, _ help: String, _ path: Path<String?>) -> Setting {
        Setting(name: name, placeholder: placeholder, help: help) { configuration, value in
            if value.isEmpty { return "given" }
            configuration[keyPath: path] = value
            return nil
        }
    }

    private static func text(_ name: String, _ placeholder: String, _ help: String, _ path: Path<String>) -> Setting {
        Setting(name: name, placeholder: placeholder, help: help) { configuration, value in
            if value.isEmpty { return "given" }
            configuration[keyPath: path] = value
            return nil
        }
    }

    private static func toggle(_ name: String, _ help: String, _ path: Path<Toggle>) -> Setting {
        var setting = choice(name, help, Toggle.allCases, path)
        setting.implied = Toggle.on.rawValue
        return setting
    }

    private static func amount(_ name: String, _ help: String, _ path: Path<PoolAmount?>) -> Setting {
        Setting(name: name, placeholder: "SIZE|PERCENT", help: help) { configuration, value in
            guard let amount = PoolAmount(value) else { return "a size such as 2G, or per cent such as 25%" }
            configuration[keyPath: path] = amount
            return nil
        }
    }

    private static func number(_ name: String, _ help: String, _ range: ClosedRange<Int>, _ path: Path<Int?>) -> Setting {
        Setting(name: name, placeholder: "N", help: help) { configuration, value in
            guard let number = Int(value), range.contains(number) else { return "a whole number from \(range.lowerBound) to \(range.upperBound)" }
            configuration[keyPath: path] = number
            return nil
        }
    }

    private static func choice<Value: RawRepresentable & Sendable>(_ name: String, _ help: String, _ values: [Value], _ path: Path<Value>) -> Setting
    where Value.RawValue == String {
        Setting(name: name, placeholder: values.map(\.rawValue).joined(separator: "|"), help: help) { configuration, value in
            guard let chosen = values.first(where: { $0.rawValue == value }) else { return "one of " + values.map(\.rawValue).joined(separator: ", ") }
            configuration[keyPath: path] = chosen
            return nil
        }
    }

    private static func choice<Value: RawRepresentable & Sendable>(_ name: String, _ help: String, _ values: [Value], _ path: Path<Value?>) -> Setting
    where Value.RawValue == String {
        Setting(name: name, placeholder: values.map(\.rawValue).joined(separator: "|"), help: help) { configuration, value in
            guard let chosen = values.first(where: { $0.rawValue == value }) else { return "one of " + values.map(\.rawValue).joined(separator: ", ") }
            configuration[keyPath: path] = chosen
            return nil
        }
    }
}
