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
    /// - Parameter readFile: the text of the file at a path.
    /// - Throws: the first setting that cannot be used, with the place it stood at.
    public static func read(
        arguments: [String], environment: [String: String], readFile: (String) throws(ConfigurationError) -> String = Configuration.text(ofFile:),
        mayWrite: (String) -> Bool = Configuration.mayWrite
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
            for (line, key, value) in try entries(of: try readFile(path), path) {
                guard let setting = Setting.all.first(where: { $0.name == key }) else { throw ConfigurationError("\(path), line \(line): there is no setting '\(key)'") }
                try configuration.apply(setting, value, at: "\(path), line \(line): \(key)")
            }
        }
        for setting in Setting.all {
            if let value = environment[setting.variable] { try configuration.apply(setting, value, at: setting.variable) }
        }
        for (name, value) in flags where name != "config" {
            guard let setting = Setting.all.first(where: { $0.name == name }) else { throw ConfigurationError("there is no flag --\(name); see --help") }
            try configuration.apply(setting, value, at: setting.flag)
        }
        return .run(configuration)
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

    /// Lines "key = value"; "#" starts a comment line; a value may stand in double quotes.
    static func entries(of text: String, _ path: String) throws(ConfigurationError) -> [(line: Int, key: String, value: String)] {
        var entries: [(Int, String, String)] = []
        var seen: Set<String> = []
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = trimmed(raw)
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let equals = line.firstIndex(of: "=") else { throw ConfigurationError("\(path), line \(index + 1): expected 'key = value'") }
            let key = String(trimmed(line[..<equals]))
            var value = trimmed(line[line.index(after: equals)...])
            if value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") { value = value.dropFirst().dropLast() }
            guard seen.insert(key).inserted else { throw ConfigurationError("\(path), line \(index + 1): '\(key)' stands twice") }
            entries.append((index + 1, key, String(value)))
        }
        return entries
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
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

    /// The text of --help.
    public static var help: String {
        var text = """
            Serve many LoRA fine-tunes of one base model over a Unix socket.

            usage: berthd --model DIR [--adapters DIR] [--memory SIZE] [flags]


            """
        let rows = Setting.all.map { ("\($0.flag) \($0.placeholder)", $0.help) } + [
            ("--config FILE", "lines 'key = value' with the names of these flags"), ("--version", "print the version"), ("--help", "print this"),
        ]
        for (left, right) in rows { text += "  " + left + (left.utf8.count < 28 ? String(repeating: " ", count: 28 - left.utf8.count) : "\n" + String(repeating: " ", count: 30)) + right + "\n" }
        return text + "\nEvery flag has an environment variable: BERTH_ and its name in capitals, as in BERTH_SOCKET_MODE.\nFlags win over the environment, the environment over the file.\n"
    }
}
