import BerthCore
import BerthHTTP
import Glibc
import Testing

@testable import BerthServer

@Suite struct SettingsTests {
    private func read(
        _ arguments: [String], _ environment: [String: String] = [:], file: String? = nil, writable: [String] = []
    ) throws(ConfigurationError) -> Configuration {
        let request = try Configuration.read(
            arguments: arguments, environment: environment,
            readFile: { (_: String) throws(ConfigurationError) in
                guard let file else { throw ConfigurationError("no file") }
                return file
            }, mayWrite: writable.contains)
        guard case .run(let configuration) = request else { throw ConfigurationError("not a run") }
        return configuration
    }

    private func problem(_ arguments: [String], _ environment: [String: String] = [:], file: String? = nil) -> String {
        do {
            _ = try read(arguments, environment, file: file)
            return "accepted"
        } catch { return error.description }
    }

    @Test func precedence() throws {
        let file = "# comment\nthreads = 3\nmodel = \"/from file\"\n\n weights=int8 \n"
        let configuration = try read(["--config", "f", "--threads=5"], ["BERTH_THREADS": "4", "BERTH_WEIGHTS": "int4"], file: file)
        #expect(configuration.threads == 5 && configuration.weights == .int4 && configuration.model == "/from file")
        #expect(try read([], ["BERTH_CONFIG": "f", "BERTH_SOCKET_MODE": "0600"], file: file).socketMode == 0o600)
        #expect(try read(["--memory", "8G"]).memory == ByteSize(bytes: 8 << 30))
        #expect(try read([]).kv == nil)
        #expect(try read([]).tokenInterval == 250 && read(["--token-interval", "40"]).tokenInterval == 40)
        #expect(try read(["--kv", "int8"], ["BERTH_KV": "f16"]).kv == .int8 && read([], ["BERTH_KV": "f16"]).kv == .f16)
    }

    @Test func aToggleNeedsNoValue() throws {
        #expect(try read([]).watchAdapters == .off && read(["--watch-adapters", "--threads", "2"]).watchAdapters == .on)
        #expect(try read(["--threads=2", "--watch-adapters"]).watchAdapters == .on && read(["--watch-adapters", "off"]).watchAdapters == .off)
        #expect(problem(["--watch-adapters", "maybe"]).contains("must be one of on, off") && problem(["--threads"]).contains("needs a value"))
    }

    @Test func sockets() throws {
        #expect(try read([]).socket == "/run/berth/berth.sock")
        #expect(try read([], ["XDG_RUNTIME_DIR": "/x"]).adminSocket == "/x/berth/admin.sock")
        #expect(try read([], ["XDG_RUNTIME_DIR": "/x", "RUNTIME_DIRECTORY": "/r:/s"]).socket == "/r/berth.sock")
        #expect(try read(["--socket", "/y"]).socket == "/y")
    }

    @Test func stateDirectory() throws {
        let home = ["HOME": "/h"]
        #expect(try read([]).stateDirectory == nil)
        #expect(try read([], home).stateDirectory == "/h/.local/state/berth")
        #expect(try read([], ["HOME": "/h", "XDG_STATE_HOME": "/x"]).stateDirectory == "/x/berth")
        #expect(try read([], ["HOME": "/h", "XDG_STATE_HOME": ""]).stateDirectory == "/h/.local/state/berth")
        #expect(try read([], home, writable: ["/var/lib/berth"]).stateDirectory == "/var/lib/berth")
        #expect(try read([], ["HOME": "/h", "STATE_DIRECTORY": "/s:/t"], writable: ["/var/lib/berth"]).stateDirectory == "/s")
        #expect(try read(["--state-dir", "/f"], ["HOME": "/h", "STATE_DIRECTORY": "/s", "BERTH_STATE_DIR": "/e"]).stateDirectory == "/f")
        // A configuration that nobody read writes nowhere.
        #expect(Configuration(environment: ["HOME": "/h", "STATE_DIRECTORY": "/s"]).stateDirectory == nil)
    }

    @Test func whatMayBeWritten() {
        var template = Array("/tmp/berth-settings-XXXXXX".utf8CString)
        let folder = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
        defer { rmdir(folder) }
        #expect(Configuration.mayWrite(folder) && Configuration.mayWrite(folder + "/new") && !Configuration.mayWrite(folder + "/no/new"))
    }

    @Test func names() throws {
        #expect(try read(["--model", "/a/Llama-1B/"]).baseName == "Llama-1B")
        #expect(try read(["--model", "/a/b", "--model-name", "c"]).baseName == "c")
        // The hub's cache: the commit names nothing.
        #expect(try read(["--model", "/c/models--org--the--name/snapshots/0123abcd/"]).baseName == "org/the--name")
        #expect(try read(["--model", "/c/models--gpt/snapshots/0123abcd"]).baseName == "gpt")
        #expect(try read(["--model", "/snapshots/0123abcd"]).baseName == "0123abcd")
    }

    @Test func problems() {
        #expect(problem(["--nope", "1"]) == "there is no flag --nope; see --help")
        #expect(problem(["--threads"]) == "--threads needs a value")
        #expect(problem(["model"]) == "'model' is not a flag; see --help")
        #expect(problem(["--threads", "0"]) == "--threads must be a whole number from 1 to 1024, not '0'")
        #expect(problem([], ["BERTH_WEIGHTS": "int2"]) == "BERTH_WEIGHTS must be one of f32, bf16, int8, int4, not 'int2'")
        #expect(problem(["--token-interval", "0"]) == "--token-interval must be a whole number of milliseconds from 1 to 60000, not '0'")
        #expect(problem([], ["BERTH_TOKEN_INTERVAL": "60001"]).hasPrefix("BERTH_TOKEN_INTERVAL must be a whole number"))
        #expect(problem(["--kv", "bf16"]) == "--kv must be one of f16, int8, not 'bf16'")
        #expect(problem(["--memory", "-3G"]).hasPrefix("--memory must be a size"))
        #expect(problem(["--config", "f"], file: "threads 3") == "f, line 1: expected 'key = value'")
        #expect(problem(["--config", "f"], file: "x = 3") == "f, line 1: there is no setting 'x'")
        #expect(problem(["--config", "f"], file: "threads = 3\nthreads = 4") == "f, line 2: 'threads' stands twice")
        #expect(problem(["--config", "f"], file: "\nsocket-mode = 999") == "f, line 2: socket-mode must be octal permissions such as 0660, not '999'")
    }

    @Test func helpNamesEverySetting() throws {
        for setting in Setting.all { #expect(Configuration.help.contains(setting.flag + " ")) }
        #expect(Set(Setting.all.map(\.name)).count == Setting.all.count)
        #expect(try Configuration.read(arguments: ["--threads", "x", "--help"], environment: [:]) == .showHelp)
    }

    @Test func activatedSockets() throws {
        let both = try ActivatedSockets(environment: ["LISTEN_PID": "9", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "admin:inference"], processID: 9)
        #expect(both.admin == 3 && both.inference == 4)
        #expect(try ActivatedSockets(environment: ["LISTEN_PID": "8", "LISTEN_FDS": "2"], processID: 9) == ActivatedSockets())
        #expect(try ActivatedSockets(environment: ["LISTEN_PID": "9", "LISTEN_FDS": "1"], processID: 9).inference == 3)
        #expect(throws: ConfigurationError.self) { try ActivatedSockets(environment: ["LISTEN_PID": "9", "LISTEN_FDS": "2"], processID: 9) }
    }
}

@Suite struct DeployTests {
    /// The repository, also where the sources are reached through symbolic links.
    private static let root: String = {
        let resolved = realpath(#filePath, nil)
        defer { free(resolved) }
        return String(cString: resolved!).split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
    }()

    @Test func unitsAreUnderstoodAndConfined() {
        #expect(system("'\(Self.root)/Scripts/check-units' > /dev/null") == 0)
    }

    /// What administrators loaded lies where nobody empties it.
    @Test func theServiceKeepsState() throws {
        let lines = try Configuration.text(ofFile: Self.root + "/Deploy/berthd.service").split(separator: "\n")
        for line in ["StateDirectory=berth", "StateDirectoryMode=0700", "CacheDirectory=berth"] { #expect(lines.contains(line[...])) }
    }

    @Test func theExampleConfigurationIsValid() throws {
        let path = Self.root + "/Deploy/berthd.conf"
        let request = try Configuration.read(arguments: ["--config", path], environment: [:])
        guard case .run(let configuration) = request else { throw ConfigurationError("not a run") }
        #expect(configuration.model == "/srv/berth/model")
        // What is commented out is valid, too.
        let text = try Configuration.text(ofFile: path)
        let all = text.split(separator: "\n").filter { $0.contains("=") && !$0.hasPrefix("# ") }.map { $0.hasPrefix("#") ? $0.dropFirst() : $0 }.joined(separator: "\n")
        guard case .run(let full) = try Configuration.read(arguments: ["--config", "f"], environment: [:], readFile: { _ in all }) else { return }
        #expect(full.weights == .int8 && full.memory != nil && full.tenants.proxyUsers == [33])
    }

    @Test func theExampleTenantsAreValid() throws {
        let path = Self.root + "/Deploy/tenants.d/example.conf"
        let text = try Configuration.text(ofFile: path)
        let file = try ConfigurationFile(path: path, text: text)
        #expect(file.settings.isEmpty && file.sections.isEmpty, "copied as it is, it does nothing")
        let all = text.split(separator: "\n").compactMap { $0.hasPrefix("# ") || $0 == "#" ? nil : $0.dropFirst() }.joined(separator: "\n")
        let full = tenants(all)
        #expect(full.tenants.keys.map(\.text) == ["acme", "guests"] && full.tenants[TenantName("acme")!]?.keys.first == APIKey("secret")?.digest)
        // Every setting is shown.
        let shown = try ConfigurationFile(path: path, text: all).sections.flatMap(\.entries).map(\.key)
        #expect(Set(shown) == Set(TenantSetting.all.map(\.name)))
    }
}
