// Where settings come from: flags win over the environment, the environment over the file, the file over defaults.

import BerthCore
import Glibc

/// What the command line asks for.
public enum CommandLineRequest: Sendable, Equatable {
    case run(Configuration)
    case showHelp
    case showVersion
}

extension Configuration {
    /// Reads all sources.
    /// - Parameters:
    ///   - readFile: the text of the file at a path.
    ///   - listFolder: the names in a folder; none where there is no such folder.
    /// - Throws: the first setting that cannot be used, with the place it stood at.
    public static func read(
        arguments: [String], environment: [String: String], readFile: (String) throws(ConfigurationError) -> String = Configuration.text(ofFile:),
        listFolder: (String) throws(ConfigurationError) -> [String] = Configuration.names(inFolder:), mayWrite: (String) -> Bool = Configuration.mayWrite
    ) throws(ConfigurationError) -> CommandLineRequest {
        let flags: [(name: String, value: String)]
        switch try parse(arguments) {
        case .help: return .showHelp
        case .version: return .showVersion
        case .flags(let parsed): flags = parsed
        }
        var configuration = Configuration(environment: environment)
        configuration.stateDirectory = stateDirectory(environment, mayWrite: mayWrite)

        if let path = flags.last(where: { $0.name == "config" })?.value ?? environment["BERTH_CONFIG"] {
            let file = try ConfigurationFile(path: path, text: try readFile(path))
            for entry in file.settings {
                guard let setting = Setting.all.first(where: { $0.name == entry.key }) else { throw file.error(entry.line, "there is no setting '\(entry.key)'") }
                try configuration.apply(setting, entry.value, at: "\(path), line \(entry.line): \(entry.key)")
            }
            try configuration.readTenants(beside: file, readFile, listFolder)
        }
        for setting in Setting.all {
            if let value = environment[setting.variable] { try configuration.apply(setting, value, at: setting.variable) }
        }
        for (name, value) in flags where name != "config" {
            guard let setting = Setting.all.first(where: { $0.name == name }) else { throw ConfigurationError("there is no flag --\(name); see --help") }
            try configuration.apply(setting, value, at: setting.flag)
        }
        try configuration.tenants.validate()
        return .run(configuration)
    }

    /// The file's own sections, and those of `tenants.d` beside it, in the order of the files' names.
    private mutating func readTenants(
        beside file: ConfigurationFile, _ readFile: (String) throws(ConfigurationError) -> String, _ listFolder: (String) throws(ConfigurationError) -> [String]
    ) throws(ConfigurationError) {
        var reader = TenantReader()
        try reader.read(file)
        let folder = (file.path.lastIndex(of: "/").map { String(file.path[...$0]) } ?? "") + "tenants.d"
        let names = try listFolder(folder).filter { $0.hasSuffix(".conf") && !$0.hasPrefix(".") }.sorted()
        guard names.count <= Limits.tenantFiles else { throw ConfigurationError("\(folder) has more than \(Limits.tenantFiles) files") }
        for name in names {
            let path = "\(folder)/\(name)"
            let file = try ConfigurationFile(path: path, text: try readFile(path))
            if let entry = file.settings.first { throw file.error(entry.line, "'\(entry.key)' stands in no section; settings of the daemon belong into its own file") }
            try reader.read(file)
        }
        tenants.tenants = reader.tenants
    }

    private mutating func apply(_ setting: Setting, _ value: String, at place: String) throws(ConfigurationError) {
        if let problem = setting.apply(&self, value) { throw ConfigurationError("\(place) must be \(problem), not '\(value)'") }
    }

    private enum Arguments {
        case help
        case version
        case flags([(name: String, value: String)])
    }

    /// "--name value" and "--name=value"; "--name" where that says enough.
    private static func parse(_ arguments: [String]) throws(ConfigurationError) -> Arguments {
        var flags: [(String, String)] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--help" || argument == "-h" { return .help }
            if argument == "--version" { return .version }
            guard argument.hasPrefix("--") else { throw ConfigurationError("'\(argument)' is not a flag; see --help") }
            let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            guard name == "config" || Setting.all.contains(where: { $0.name == name }) else { throw ConfigurationError("there is no flag --\(name); see --help") }
            if parts.count == 2 {
                flags.append((name, String(parts[1])))
            } else if let implied = Setting.all.first(where: { $0.name == name })?.implied, rest.first?.hasPrefix("--") ?? true {
                flags.append((name, implied))
            } else {
                guard let value = rest.popFirst() else { throw ConfigurationError("--\(name) needs a value") }
                flags.append((name, value))
            }
        }
        return .flags(flags)
    }

    public static func text(ofFile path: String) throws(ConfigurationError) -> String {
        guard let file = fopen(path, "r") else { throw ConfigurationError("cannot read \(path): \(String(cString: strerror(errno)))") }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: Limits.configurationFileBytes + 1)
        let count = fread(&bytes, 1, bytes.count, file)
        guard count <= Limits.configurationFileBytes, let text = String(validating: bytes[..<count], as: UTF8.self) else {
            throw ConfigurationError("\(path) is too large or not text")
        }
        return text
    }

    public static func names(inFolder path: String) throws(ConfigurationError) -> [String] {
        guard let folder = opendir(path) else {
            if errno == ENOENT || errno == ENOTDIR { return [] }
            throw ConfigurationError("cannot read \(path): \(String(cString: strerror(errno)))")
        }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            names.append(withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } })
        }
        return names
    }

    /// The text of --help.
    public static var help: String {
        var text = """
            Serve many LoRA fine-tunes of one base model over a Unix socket.

            usage: berthd --model DIR [--adapters DIR] [--memory SIZE] [flags]


            """
        let rows = Setting.all.map { ("\($0.flag) \($0.placeholder)", $0.help) } + [
            ("--config FILE", "lines 'key = value' with the names of these flags, and sections [tenant NAME]; tenants.d/*.conf beside it has more of these"), ("--version", "print the version"), ("--help", "print this"),
        ]
        for (left, right) in rows { text += "  " + left + (left.utf8.count < 28 ? String(repeating: " ", count: 28 - left.utf8.count) : "\n" + String(repeating: " ", count: 30)) + right + "\n" }
        return text + "\nEvery flag has an environment variable: BERTH_ and its name in capitals, as in BERTH_SOCKET_MODE.\nFlags win over the environment, the environment over the file.\n"
    }
}
