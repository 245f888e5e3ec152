// All tenants of a configuration. It is valid as a whole or not at all: nobody is two tenants, and no key opens two doors.

import BerthCore
import BerthHTTP
import OrderedCollections

public struct TenantConfiguration: Sendable, Equatable {
    /// In the order of the files.
    public var tenants: OrderedDictionary<TenantName, TenantSettings> = [:]
    /// Who may say whose a request is.
    public var proxyUsers: Set<UInt32> = []

    public init() {}

    /// Whether the callers are looked up; otherwise each user is a tenant.
    public var isEmpty: Bool { tenants.isEmpty }

    /// One line for the log.
    var summary: String {
        let keys = tenants.values.reduce(0) { $0 + $1.keys.count }
        return isEmpty ? "each user is a tenant" : "\(tenants.count) tenants with \(keys) keys"
    }

    /// What can only be seen when everything has been read.
    func validate() throws(ConfigurationError) {
        var floors = 0.0
        for (name, settings) in tenants {
            let isSomebody = !settings.users.isEmpty || !settings.groups.isEmpty || settings.hasAllOtherUsers || !settings.keys.isEmpty
            guard isSomebody || !proxyUsers.isEmpty else {
                throw ConfigurationError("tenant \(name) can be nobody: it has no uid, gid or key-sha256, and there is no proxy-uid")
            }
            if case .percent(let percent)? = settings.kvFloor { floors += percent }
        }
        guard floors <= 100 else { throw ConfigurationError("the kv-floors of all tenants are \(floors)%, more than there is") }
        guard tenants.values.reduce(0, { $0 + $1.keys.count }) <= Limits.apiKeys else { throw ConfigurationError("there are more than \(Limits.apiKeys) keys") }
    }
}

/// Reads the sections of one file after the other.
struct TenantReader {
    private(set) var tenants: OrderedDictionary<TenantName, TenantSettings> = [:]
    /// Whom each of these belongs to.
    private var users: [UInt32: TenantName] = [:]
    private var groups: [UInt32: TenantName] = [:]
    private var keys: [KeyDigest: TenantName] = [:]
    private var allOtherUsers: TenantName?

    mutating func read(_ file: ConfigurationFile) throws(ConfigurationError) {
        for section in file.sections {
            let name = try Self.name(section, file)
            guard tenants[name] == nil else { throw file.error(section.line, "tenant \(name) has a section already") }
            guard tenants.count < Limits.configuredTenants else { throw file.error(section.line, "there are more than \(Limits.configuredTenants) tenants") }
            tenants[name] = try settings(name, section, file)
        }
    }

    private static func name(_ section: ConfigurationFile.Section, _ file: ConfigurationFile) throws(ConfigurationError) -> TenantName {
        let words = section.title.split(whereSeparator: \.isWhitespace)
        guard words.count == 2, words[0] == "tenant" else { throw file.error(section.line, "there is no section [\(section.title)], only [tenant NAME]") }
        guard let name = TenantName(String(words[1])) else {
            throw file.error(
                section.line, "'\(words[1])' cannot be a tenant's name: 1 to \(Limits.tenantNameBytes) letters, digits, '.', '_', '-' or ':', the first no '.' or '-'")
        }
        // The daemon's own work, and users whom no section names.
        guard name != .daemon, !name.text.hasPrefix("uid:") else { throw file.error(section.line, "the name '\(name)' is the daemon's to give") }
        return name
    }

    private mutating func settings(
        _ name: TenantName, _ section: ConfigurationFile.Section, _ file: ConfigurationFile
    ) throws(ConfigurationError) -> TenantSettings {
        var settings = TenantSettings()
        for entry in section.entries {
            func error(_ problem: String) -> ConfigurationError { file.error(entry.line, problem) }
            guard let setting = TenantSetting.all.first(where: { $0.name == entry.key }) else { throw error("a tenant has no setting '\(entry.key)'") }
            if let problem = setting.apply(&settings, entry.value) { throw error("\(entry.key) must be \(problem), not '\(entry.value)'") }
            switch entry.key {
            case "uid":
                for user in settings.users { if let other = users.updateValue(name, forKey: user) { throw error("uid \(user) is tenant \(other)") } }
                if settings.hasAllOtherUsers {
                    if let allOtherUsers { throw error("all other uids are tenant \(allOtherUsers)") }
                    allOtherUsers = name
                }
            case "gid": for group in settings.groups { if let other = groups.updateValue(name, forKey: group) { throw error("gid \(group) is tenant \(other)") } }
            case "key-sha256": for key in settings.keys { if let other = keys.updateValue(name, forKey: key) { throw error("the key is tenant \(other)'s, too") } }
            case "kv-floor", "kv-ceiling":
                if case .percent(let floor)? = settings.kvFloor, case .percent(let ceiling)? = settings.kvCeiling, floor > ceiling {
                    throw error("kv-floor is \(floor)%, more than kv-ceiling with \(ceiling)%")
                }
                if case .size(let floor)? = settings.kvFloor, case .size(let ceiling)? = settings.kvCeiling, floor > ceiling {
                    throw error("kv-floor is \(floor), more than kv-ceiling with \(ceiling)")
                }
            default: break
            }
        }
        return settings
    }
}
