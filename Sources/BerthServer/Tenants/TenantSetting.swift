// The table of a tenant's settings: one line each gives the key of the section, the bounds, and what the value must be.

import BerthCore
import BerthHTTP

struct TenantSetting: Sendable {
    let name: String
    /// Puts a value in place; returns what is wrong with it, as the end of "NAME must be …".
    let apply: @Sendable (inout TenantSettings, String) -> String?

    static let all: [TenantSetting] = [
        TenantSetting(name: "uid") { settings, value in
            let entries = list(value)
            settings.hasAllOtherUsers = entries.contains("*")
            guard !entries.isEmpty, let users = numbers(entries.filter { $0 != "*" }) else { return "user ids such as 1001, 1002, or *" }
            settings.users = Set(users)
            return nil
        },
        TenantSetting(name: "gid") { settings, value in
            guard let groups = numbers(value) else { return "group ids such as 1001, 1002" }
            settings.groups = Set(groups)
            return nil
        },
        TenantSetting(name: "key-sha256") { settings, value in
            let digests = list(value).map { KeyDigest(hexadecimal: $0) }
            guard !digests.isEmpty, !digests.contains(nil) else { return "64 hexadecimal digits, as 'berth tenant key' prints them" }
            settings.keys = digests.compactMap { $0 }
            return Set(settings.keys).count == settings.keys.count ? nil : "different keys"
        },
        TenantSetting(name: "adapters") { settings, value in
            let patterns = list(value).map { AdapterPattern($0) }
            guard !patterns.isEmpty, patterns.count <= Limits.tenantListEntries, !patterns.contains(nil) else { return "names of adapters such as acme-*, shared-*" }
            settings.adapters = patterns.compactMap { $0 }
            return nil
        },
        number("context-length", 16...Limits.contextTokens, \.contextLength),
        TenantSetting(name: "weight") { settings, value in
            guard let weight = Double(value), (0.01...100).contains(weight) else { return "a number from 0.01 to 100" }
            settings.weight = weight
            return nil
        },
        number("max-running", 1...Limits.queuedRequests, \.maxRunning),
        number("max-queued", 1...Limits.queuedRequests, \.maxQueued),
        number("tokens-per-minute", 1...1_000_000_000, \.tokensPerMinute),
        amount("kv-floor", \.kvFloor),
        amount("kv-ceiling", \.kvCeiling),
        number("max-adapters", 0...Limits.registeredAdapters, \.maxAdapters),
        size("adapter-bytes", \.adapterBytes),
        size("batch-bytes", \.batchBytes),
        number("batch-lines", 1...1_000_000_000, \.batchLines),
        number("token-interval", 1...60_000, \.tokenInterval),
        number("first-token", 1...3_600_000, \.firstToken),
    ]

    /// The parts of "a, b"; none is empty.
    private static func list(_ value: String) -> [String] {
        let parts = value.split(separator: ",", omittingEmptySubsequences: false).map { String(ConfigurationFile.trimmed($0)) }
        return parts.contains("") || parts.count > Limits.tenantListEntries ? [] : parts
    }

    /// Ids of users or groups. Nil where one is none; 2^32 - 1 is nobody's.
    static func numbers(_ value: String) -> [UInt32]? {
        let entries = list(value)
        return entries.isEmpty ? nil : numbers(entries)
    }

    private static func numbers(_ entries: [String]) -> [UInt32]? {
        let numbers = entries.compactMap { entry in entry.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt32(entry) : nil }
        return numbers.count == entries.count && !numbers.contains(.max) ? numbers : nil
    }

    private typealias Path<Value> = WritableKeyPath<TenantSettings, Value> & Sendable

    private static func number(_ name: String, _ range: ClosedRange<Int>, _ path: Path<Int?>) -> TenantSetting {
        TenantSetting(name: name) { settings, value in
            guard let number = Int(value), range.contains(number) else { return "a whole number from \(range.lowerBound) to \(range.upperBound)" }
            settings[keyPath: path] = number
            return nil
        }
    }

    private static func amount(_ name: String, _ path: Path<PoolAmount?>) -> TenantSetting {
        TenantSetting(name: name) { settings, value in
            guard let amount = PoolAmount(value) else { return "a size such as 2G, or per cent such as 25%" }
            settings[keyPath: path] = amount
            return nil
        }
    }

    private static func size(_ name: String, _ path: Path<ByteSize?>) -> TenantSetting {
        TenantSetting(name: name) { settings, value in
            guard let size = ByteSize(value) else { return "a size such as 2G" }
            settings[keyPath: path] = size
            return nil
        }
    }
}
