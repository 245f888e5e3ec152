// The chat template interpreter against jinja2 as transformers configures it.
//
// Fixtures/templates.json is written by Scripts/make-template-fixtures, which says what is in it. BERTH_TEMPLATE_FIXTURES
// names another such file, for example one made with --full.

import BerthCore
import Glibc
import Testing

@testable import BerthText

@Suite struct TemplateFixtureTests {
    static let directory = #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/Fixtures"

    static let fixture: JSON = {
        let path = getenv("BERTH_TEMPLATE_FIXTURES").map { String(cString: $0) } ?? directory + "/templates.json"
        return try! JSON(parsing: contents(path))
    }()

    static let now = WallTime(year: 2025, month: 3, day: 9, hour: 14, minute: 5, second: 6, microsecond: 78)

    static func contents(_ path: String) -> [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
        return bytes
    }

    /// What a rendering gave, in the form of the fixture.
    enum Outcome: Equatable {
        case text(String)
        case raised(String)
        case failed(String)

        init(_ body: () throws(TemplateError) -> String) {
            do throws(TemplateError) {
                self = .text(try body())
            } catch {
                self = error.code == .raised ? .raised(error.message) : .failed(error.description)
            }
        }

        func matches(_ expected: JSON) -> Bool {
            switch self {
            case .text(let text):
                if let whole = expected.string { return text.utf8.elementsEqual(whole.utf8) }
                return expected.array == [.string(Self.hash(text)), JSON(text.utf8.count)]
            case .raised(let message): return expected["raised"]?.string == message
            case .failed: return expected == 0
            }
        }

        /// FNV-1a, 64 bits.
        static func hash(_ text: String) -> String {
            var value: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
    }

    /// Collects differences, and records the first few.
    struct Comparison {
        var count = 0
        var differences: [String] = []

        mutating func check(_ outcome: Outcome, _ expected: JSON, _ what: @autoclosure () -> String) {
            if expected == 1 { return }
            count += 1
            if !outcome.matches(expected) { differences.append("\(what())\n    expected \(expected.text)\n    got      \(outcome)") }
        }

        func report() {
            #expect(count > 100)
            let shown = differences.prefix(getenv("BERTH_TEMPLATE_FIXTURES") == nil ? 12 : 400).joined(separator: "\n")
            #expect(differences.isEmpty, "\(differences.count) of \(count) differ:\n\(shown)")
        }
    }

    static func renderSmall(_ source: String) -> Outcome {
        Outcome { () throws(TemplateError) in
            let variables = fixture["variables"]?.object ?? [:]
            // Only those that the source may mean: each is converted anew.
            let text = Jinja.Text(source)
            var extra: [String: JSON] = [:]
            for (name, value) in variables where text.firstOffset(of: Jinja.Text(name)) != nil { extra[name] = value }
            return try ChatTemplate(source: source).render(messages: [], addGenerationPrompt: false, extra: extra, now: now)
        }
    }

    @Test func casesAgree() {
        var comparison = Comparison()
        for pair in Self.fixture["cases"]?.array ?? [] {
            let source = pair.array![0].string!
            comparison.check(Self.renderSmall(source), pair.array![1], source)
        }
        comparison.report()
    }

    @Test(arguments: 0..<10) func productsAgree(_ index: Int) throws {
        let product = try #require(Self.fixture["products"]?.array?[index])
        var sources = [try #require(product["template"]?.string)]
        for (number, axis) in (product["axes"]?.array ?? []).enumerated() {
            sources = sources.flatMap { source in axis.array!.map { Self.replacing("@\(number)@", in: source, with: $0.string!) } }
        }
        var comparison = Comparison()
        for (source, expected) in zip(sources, product["results"]?.array ?? []) {
            comparison.check(Self.renderSmall(source), expected, source)
        }
        comparison.report()
    }

    private static func replacing(_ hole: String, in source: String, with text: String) -> String {
        guard let at = Jinja.Text(source).firstOffset(of: Jinja.Text(hole)) else { return source }
        let bytes = Array(source.utf8)
        let rest = String(decoding: bytes[(at + hole.utf8.count)...], as: UTF8.self)
        return String(decoding: bytes[..<at], as: UTF8.self) + text + replacing(hole, in: rest, with: text)
    }

    static let templateNames = (fixture["rendered"]?.object?.keys).map(Array.init) ?? []

    @Test(arguments: templateNames) func conversationsAgree(_ name: String) throws {
        let source = String(decoding: Self.contents(Self.directory + "/chat-templates/\(name).jinja"), as: UTF8.self)
        let template = try ChatTemplate(source: source)
        let expected = try #require(Self.fixture["rendered"]?[name]?.array)
        var comparison = Comparison()
        comparison.count = 100
        var index = 0
        for conversation in Self.fixture["conversations"]?.array ?? [] {
            var extra: [String: JSON] = ["bos_token": "<s>", "eos_token": "</s>"]
            for (key, value) in conversation["extra"]?.object ?? [:] { extra[key] = value }
            for prompt in [false, true] {
                let outcome = Outcome { () throws(TemplateError) in
                    try template.render(messages: conversation["messages"]!, addGenerationPrompt: prompt, extra: extra, now: Self.now)
                }
                comparison.check(outcome, expected[index], "\(name) over \(conversation["name"]!.string!), prompt \(prompt)")
                index += 1
            }
        }
        comparison.report()
    }
}
