// Sections of the configuration: what they may say, and every way in which they may be wrong.

import BerthCore
import BerthHTTP
import Testing

@testable import BerthServer

@Suite struct TenantConfigurationTests {
    private static let digest = APIKey("secret")!.digest.description

    /// - Parameter files: of `tenants.d` beside /etc/berth/berthd.conf, by name.
    private func read(_ text: String, _ files: [String: String] = [:], _ arguments: [String] = [], _ environment: [String: String] = [:]) throws(ConfigurationError) -> TenantConfiguration {
        let request = try Configuration.read(
            arguments: ["--config", "/etc/berth/berthd.conf"] + arguments, environment: environment,
            readFile: { (path: String) throws(ConfigurationError) in
                if path == "/etc/berth/berthd.conf" { return text }
                guard path.hasPrefix("/etc/berth/tenants.d/"), let text = files[String(path.dropFirst(21))] else { throw ConfigurationError("no \(path)") }
                return text
            }, listFolder: { (path: String) throws(ConfigurationError) in path == "/etc/berth/tenants.d" ? Array(files.keys) : [] })
        guard case .run(let configuration) = request else { throw ConfigurationError("not a run") }
        return configuration.tenants
    }

    private func problem(_ text: String, _ files: [String: String] = [:]) -> String {
        do {
            _ = try read(text, files)
            return "accepted"
        } catch { return error.description.replacing("/etc/berth/", with: "") }
    }

    @Test func theIssuesExample() throws {
        let text = """
            threads = 2
            [tenant acme]
            uid = 1001, 1002
            gid = 50
            key-sha256 = \(Self.digest.uppercased())            # berth tenant key makes one
            weight = 2
            max-running = 16
            max-queued = 64
            tokens-per-minute = 60000
            adapters = acme-*, shared-*
            kv-floor = 5%
            kv-ceiling = 40%
            context-length = 4096
            max-adapters = 3
            adapter-bytes = 1G
            batch-bytes = 2G
            batch-lines = 1000
            token-interval = 40
            first-token = 2000
            """
        let acme = try #require(try read(text).tenants[TenantName("acme")!])
        #expect(acme.users == [1001, 1002] && acme.groups == [50] && acme.keys == [APIKey("secret")!.digest])
        #expect(acme.weight == 2 && acme.maxRunning == 16 && acme.maxQueued == 64 && acme.tokensPerMinute == 60000)
        #expect(acme.adapters.map(\.description) == ["acme-*", "shared-*"] && acme.kvFloor == .percent(5) && acme.kvCeiling == .percent(40))
        #expect(acme.contextLength == 4096 && acme.maxAdapters == 3 && acme.adapterBytes == ByteSize(bytes: 1 << 30))
        #expect(acme.batchBytes == ByteSize(bytes: 2 << 30) && acme.batchLines == 1000)
        let policy = acme.policy(pages: 1000, pageBytes: 4096)
        #expect(policy.weight == 2 && policy.maxRunning == 16 && policy.kv == .init(floorPages: 50, ceilingPages: 400))
        #expect(policy.tokenInterval == 40_000_000 && policy.firstTokenObjective == 2_000_000_000)
        #expect(TenantSettings().policy(pages: 10, pageBytes: 1) == .init(), "what is not said is the engine's default")
    }

    @Test func sectionsOfManyFiles() throws {
        let files = ["b.conf": "[tenant b]\nuid = 2", "a.conf": "# of a\n[tenant a]\nuid = *\n\n[ tenant  c ]\nuid=3", "a.conf~": "rubbish", ".hidden.conf": "rubbish"]
        let tenants = try read("[tenant z]\nuid = 1", files)
        #expect(tenants.tenants.keys.map(\.text) == ["z", "a", "c", "b"] && tenants.tenants[TenantName("a")!]?.hasAllOtherUsers == true)
        #expect(problem("", ["x.conf": "threads = 2\n[tenant a]\nuid = 1"]) == "tenants.d/x.conf, line 1: 'threads' stands in no section; settings of the daemon belong into its own file")
        #expect(problem("[tenant b]\nuid = 9", ["x.conf": "\n[tenant b]\nuid = 1"]) == "tenants.d/x.conf, line 2: tenant b has a section already")
    }

    @Test func proxies() throws {
        #expect(try read("proxy-uid = 33, 34").proxyUsers == [33, 34])
        #expect(try read("proxy-uid = 33", [:], ["--proxy-uid", "7"]).proxyUsers == [7] && read("", [:], [], ["BERTH_PROXY_UID": "8"]).proxyUsers == [8])
        #expect(problem("proxy-uid = www-data") == "berthd.conf, line 1: proxy-uid must be user ids such as 33, 1000, not 'www-data'")
        #expect(try read("proxy-uid = 33\n[tenant a]\nweight = 1").tenants.count == 1, "a proxy can say that somebody is it")
    }

    @Test(arguments: [
        ("[tenant a", "a section is '[tenant NAME]'"), ("[tenant]", "there is no section [tenant], only [tenant NAME]"),
        ("[user a]", "there is no section [user a], only [tenant NAME]"), ("[tenant a b]", "there is no section [tenant a b], only [tenant NAME]"),
        ("[tenant uid:5]", "the name 'uid:5' is the daemon's to give"), ("[tenant berth]", "the name 'berth' is the daemon's to give"),
    ])
    func badSections(text: String, wanted: String) { #expect(problem("\n" + text) == "berthd.conf, line 2: " + wanted) }

    @Test func badNames() {
        for name in ["../a", "-a", "a/b", "ü", String(repeating: "a", count: 65)] {
            #expect(problem("[tenant \(name)]").hasPrefix("berthd.conf, line 1: '\(name)' cannot be a tenant's name"))
        }
    }

    @Test(arguments: [
        ("nope = 1", "a tenant has no setting 'nope'"), ("memory = 8G", "a tenant has no setting 'memory'"), ("weight 2", "expected 'key = value'"),
        ("weight = 0", "weight must be a number from 0.01 to 100, not '0'"), ("weight = nan", "weight must be a number from 0.01 to 100, not 'nan'"),
        ("weight = 1e300", "weight must be a number from 0.01 to 100, not '1e300'"),
        ("uid = root", "uid must be user ids such as 1001, 1002, or *, not 'root'"), ("uid = -1", "uid must be user ids such as 1001, 1002, or *, not '-1'"),
        ("uid = 4294967295", "uid must be user ids such as 1001, 1002, or *, not '4294967295'"), ("uid =", "uid must be user ids such as 1001, 1002, or *, not ''"),
        ("uid = 1,,2", "uid must be user ids such as 1001, 1002, or *, not '1,,2'"), ("gid = *", "gid must be group ids such as 1001, 1002, not '*'"),
        ("key-sha256 = secret", "key-sha256 must be 64 hexadecimal digits, as 'berth tenant key' prints them, not 'secret'"),
        ("max-running = 0", "max-running must be a whole number from 1 to 4096, not '0'"), ("max-queued = 5000", "max-queued must be a whole number from 1 to 4096, not '5000'"),
        ("tokens-per-minute = 1.5", "tokens-per-minute must be a whole number from 1 to 1000000000, not '1.5'"),
        ("adapters = ../x y", "adapters must be names of adapters such as acme-*, shared-*, not '../x y'"),
        ("adapters = [ab]*", "adapters must be names of adapters such as acme-*, shared-*, not '[ab]*'"),
        ("kv-floor = 101%", "kv-floor must be a size such as 2G, or per cent such as 25%, not '101%'"),
        ("adapter-bytes = many", "adapter-bytes must be a size such as 2G, not 'many'"), ("batch-bytes = -1", "batch-bytes must be a size such as 2G, not '-1'"),
        ("context-length = 1", "context-length must be a whole number from 16 to 16777216, not '1'"),
        ("token-interval = 0", "token-interval must be a whole number from 1 to 60000, not '0'"), ("first-token = x", "first-token must be a whole number from 1 to 3600000, not 'x'"),
        ("kv-ceiling = 4%\nkv-floor = 5%", "kv-floor is 5.0%, more than kv-ceiling with 4.0%"),
        ("kv-ceiling = 1M\nkv-floor = 2M", "kv-floor is 2.0 MiB, more than kv-ceiling with 1.0 MiB"),
        ("weight = 1\nweight = 1", "'weight' stands twice"),
    ])
    func badSettings(text: String, wanted: String) {
        let line = 2 + text.split(separator: "\n").count
        #expect(problem("[tenant a]\nuid =  77 # of a\n".replacing("uid =  77", with: text.hasPrefix("uid") ? "gid = 7" : "uid =  77") + text) == "berthd.conf, line \(line): " + wanted)
    }

    /// Nobody is two tenants.
    @Test func conflicts() {
        let other = String(repeating: "ab", count: 32)
        #expect(problem("[tenant a]\nuid = 1, 2\n[tenant b]\nuid = 3, 2") == "berthd.conf, line 4: uid 2 is tenant a")
        #expect(problem("[tenant a]\nuid = 1, 1") == "accepted")
        #expect(problem("[tenant a]\nuid = *\n[tenant b]\nuid = *") == "berthd.conf, line 4: all other uids are tenant a")
        #expect(problem("[tenant a]\ngid = 1\n[tenant b]\ngid = 1") == "berthd.conf, line 4: gid 1 is tenant a")
        #expect(problem("[tenant a]\nkey-sha256 = \(other)\n[tenant b]\nkey-sha256 = \(Self.digest), \(other.uppercased())") == "berthd.conf, line 4: the key is tenant a's, too")
        #expect(problem("[tenant a]\nkey-sha256 = \(other), \(other)").hasPrefix("berthd.conf, line 2: key-sha256 must be different keys"))
        #expect(problem("[tenant a]\nweight = 1") == "tenant a can be nobody: it has no uid, gid or key-sha256, and there is no proxy-uid")
        #expect(problem("[tenant a]\nuid = 1\nkv-floor = 60%\n[tenant b]\nuid = 2\nkv-floor = 50%") == "the kv-floors of all tenants are 110.0%, more than there is")
    }

    @Test func commentsAndQuotes() throws {
        let file = try ConfigurationFile(path: "f", text: "a = 1 # one\nb = \"x # y\" # z\nc = x#y\nd = \"\nf = # nothing\r\n[tenant a] # who\ng = \"q\"\n")
        #expect(file.settings.map(\.value) == ["1", "x # y", "x#y", "\"", "# nothing"], "Windows' line ends, too")
        #expect(file.sections == [.init(line: 6, title: "tenant a", entries: [.init(line: 7, key: "g", value: "q")])])
    }

    @Test func patterns() {
        func matches(_ pattern: String, _ name: String) -> Bool { AdapterPattern(pattern)!.matches(AdapterName(name)!) }
        #expect(matches("acme-*", "acme-legal") && matches("acme-*", "acme-") && !matches("acme-*", "acme") && !matches("acme-*", "xacme-legal"))
        #expect(matches("*", "org/name") && matches("org/*", "org/a/b") && !matches("org/*", "org2/a") && !matches("ACME-*", "acme-a"))
        #expect(matches("a?c", "abc") && !matches("a?c", "ac") && matches("exact", "exact") && !matches("exact", "exactly"))
    }
}
