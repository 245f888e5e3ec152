// The chat template's surface: what callers rely on, what errors say, and that no template or conversation takes the
// process down.

import BerthCore
import Glibc
import Testing

@testable import BerthText

@Suite struct ChatTemplateTests {
    static func render(_ source: String, _ messages: JSON = [], prompt: Bool = false, extra: [String: JSON] = [:]) throws(TemplateError) -> String {
        try ChatTemplate(source: source).render(messages: messages, addGenerationPrompt: prompt, extra: extra, now: TemplateFixtureTests.now)
    }

    static func failure(
        _ source: String, _ messages: JSON = [], extra: [String: JSON] = [:], stepLimit: Int = Limits.templateSteps
    ) -> TemplateError? {
        do throws(TemplateError) {
            let now = TemplateFixtureTests.now
            _ = try ChatTemplate(source: source).render(
                messages: messages, addGenerationPrompt: false, extra: extra, now: now, stepLimit: stepLimit)
            return nil
        } catch {
            return error
        }
    }

    // MARK: input

    @Test func absentIsUndefinedButToolsAreNone() throws {
        #expect(try Self.render("{{ bos_token is defined }}{{ tools is none }}{{ documents is none }}") == "FalseTrueTrue")
        #expect(try Self.render("{{ bos_token }}", extra: ["bos_token": "<s>"]) == "<s>")
        #expect(try Self.render("{{ tools is none }}{{ enable_thinking }}", extra: ["tools": nil, "enable_thinking": false]) == "TrueFalse")
    }

    @Test func onlyTheLastOfTheCallersNamesCounts() throws {
        #expect(try Self.render("{{ messages }}{{ add_generation_prompt }}", [], prompt: true, extra: ["messages": [1], "add_generation_prompt": 7]) == "[]True")
    }

    @Test func keysKeepTheirOrder() throws {
        let messages = try JSON(parsing: #"[{"z": 1, "a": {"y": 2, "b": [1.0, 1e2, 12345678901234567890]}}]"#)
        #expect(try Self.render("{{ messages[0] | tojson }}", messages) == #"{"z": 1, "a": {"y": 2, "b": [1.0, 100.0, 1.2345678901234567e+19]}}"#)
    }

    @Test func equalityIsByCodePoint() throws {
        // "é" composed and decomposed are two strings to Python, and "\r\n" has two characters.
        #expect(try Self.render("{{ messages[0] == messages[1] }} {{ messages[2]|length }}", ["\u{E9}", "e\u{301}", "\r\n"]) == "False 2")
    }

    @Test func oneTemplateRendersOnManyThreads() async throws {
        let template = try ChatTemplate(source: "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + m %}{% endfor %}{{ ns.n }}")
        let results = await withTaskGroup(of: String?.self) { group in
            for limit in 1...16 {
                let messages = JSON.array((0..<limit).map { JSON($0) })
                group.addTask { try? template.render(messages: messages, addGenerationPrompt: false) }
            }
            var sums: Set<String> = []
            for await sum in group { sums.insert(sum ?? "") }
            return sums
        }
        var expected: Set<String> = []
        for limit in 1...16 { expected.insert(String(limit * (limit - 1) / 2)) }
        #expect(results == expected)
    }

    // MARK: errors

    @Test func syntaxErrorsComeFromCompilingAndNameThePlace() {
        let cases: [(String, Int, Int, String)] = [
            ("a\n{% if x %}", 2, 4, "'if' is never closed"),
            ("{{ 1 +\n }}", 2, 2, "expected an expression, found '}}'"),
            ("x\n\n  {{ a | nosuch }}", 3, 10, "no filter named 'nosuch'"),
            ("{% for x in y %}{% endif %}", 1, 20, "unknown tag 'endif' inside 'for'"),
            ("{% include 'x' %}", 1, 4, "'include' needs other templates, and a chat template stands alone"),
            ("{{ 99999999999999999999 }}", 1, 4, "an integer beyond 64 bits"),
            ("{% break %}", 1, 4, "'break' outside a loop"),
        ]
        for (source, line, column, message) in cases {
            let error = #expect(throws: TemplateError.self) { try ChatTemplate(source: source) }
            #expect(error?.code == .syntax)
            #expect(error?.message == message)
            #expect(error?.line == line && error?.column == column, "\(source): \(error?.line ?? 0):\(error?.column ?? 0)")
        }
    }

    @Test func evaluationErrorsNameThePlace() {
        let error = Self.failure("{% for m in messages %}\n  {{ m.role + 1 }}{% endfor %}", [["role": "user"]])
        #expect(error?.code == .evaluation)
        #expect(error?.line == 2)
        #expect(error?.message == "can only concatenate str (not \"int\") to str")
        #expect(Self.failure("{{ messages[0].x.y }}", [["role": "user"]])?.message == "'dict object' has no attribute 'x'")
        #expect(Self.failure("{{ [].append(1) }}")?.message == "access to attribute 'append' of 'list' object is unsafe.")
    }

    @Test func refusalsPassThrough() {
        let error = Self.failure("\n{{ raise_exception('Roles must alternate: ' ~ messages|length) }}", [1, 2])
        #expect(error?.code == .raised)
        #expect(error?.message == "Roles must alternate: 2")
        #expect(error?.description == "Roles must alternate: 2")
        #expect(error?.line == 2)
    }

    // MARK: bounds

    static let hostile: [String] = [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(x) %}{% for i in [1] %}{% if true %}{{ '' ~ (1 + (f(x) | trim | length)) }}{% endif %}{% endfor %}{% endmacro %}{{ f(1) }}",
        "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}",
        "{% for i in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{{ 'x' * 9223372036854775807 }}",
        "{{ [0] * 9223372036854775807 }}",
        "{{ [0] * 100000000 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s|length }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', 'xx') %}{% endfor %}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[]) %}{% for i in range(100000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=1) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=1) %}{% for i in range(60) %}{% set ns.s = (ns.s, ns.s) %}{% endfor %}{{ {ns.s: 1} }}",
        "{% set ns = namespace(s=1) %}{% for i in range(60) %}{% set ns.s = {'a': ns.s, 'b': ns.s} %}{% endfor %}{{ ns.s == ns.s|tojson }}",
        "{% set ns = namespace(g=[1]) %}{% for i in range(100000) %}{% set ns.g = ns.g|map('string') %}{% endfor %}{{ ns.g|list }}",
        "{% set ns = namespace(g=1) %}{% for i in range(100000) %}{% set ns.g = cycler(ns.g) %}{% endfor %}",
        "{% set ns = namespace(g=[]) %}{% for i in range(100000) %}{% set ns.g = [ns.g.count] %}{% endfor %}",
        "{% set ns = namespace() %}{% for i in [1, 2] %}{% set ns.l = loop %}{% endfor %}{% for i in range(90000) %}{% for j in [ns.l] %}{% set ns.l = loop %}{% endfor %}{% endfor %}",
        "{% set s = 'a' * 100000 %}{% for i in range(90000) %}{{ s }}{% endfor %}",
        "{{ '%999999999d' % 1 }}", "{{ '{:>999999999}'.format(1) }}", "{{ '%.999999999f' % 1.5 }}", "{{ '%*d' % (999999999, 1) }}", "{{ 'x'.center(999999999) }}",
        "{{ 'x'.zfill(999999999) }}", "{{ 'x\ty'.expandtabs(999999999) }}", "{{ 'x' | indent(999999999) }}", "{{ [1] | batch(999999999, 0) | list }}",
        "{{ [1] | slice(999999999) | list }}", "{{ 2 ** 99999 }}", "{{ 9223372036854775807 + 1 }}", "{{ 1.5 | round(999) }}", "{{ [1] | tojson(indent=999999999) }}",
        "{{ range(0, 9223372036854775807) }}", "{{ range(-9223372036854775807, 9223372036854775807, 3) }}", "{{ 'x' | truncate(-9223372036854775807) }}",
        "{{ ''.join(range(100000)|map('string')|map('center', 1000)) }}",
        "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}",
    ]

    @Test(arguments: hostile) func hostileTemplatesEndInAnError(_ source: String) {
        #if DEBUG
            let error = Self.failure(source, stepLimit: 20_000)
        #else
            let error = Self.failure(source)
        #endif
        #expect(error?.code == .limit || error?.code == .evaluation, "\(source): \(String(describing: error))")
    }

    @Test func stepsAreBounded() {
        let error = Self.failure("{% for i in range(100000) %}\n{% for j in range(100) %}{% endfor %}{% endfor %}", stepLimit: 1000)
        #expect(error?.message == "rendering takes more than 1000 steps")
        #expect(error?.code == .limit && error?.line == 2)
    }

    @Test func extremesAreErrorsOrValuesButNeverTraps() {
        let numbers = ["9223372036854775807", "-9223372036854775807 - 1", "0", "-1", "1e308", "2", "'nan'|float", "'inf'|float"]
        let uses = [
            "{{ (A) // (B) }}", "{{ (A) % (B) }}", "{{ (A) * (B) }}", "{{ (A) - (B) }}", "{{ -(A) }}{{ (A)|abs }}", "{{ (A) ** (B) }}", "{{ [1, 2][A:B] }}",
            "{{ 'abc'[A:B] }}{{ 'abc'[::B] }}", "{{ range(A, B)|length }}", "{{ range(A, B, A)|length }}{{ (A) in range(-5, 5) }}", "{{ (A)|round(B) }}", "{{ 'abc'.find('b', A, B) }}",
            "{{ '%*d' % (A, B) }}", "{{ '%d %x %c' % (A, B, A) }}", "{{ '{:{}}'.format(A, B) }}", "{{ 'a b'.split(none, A) }}{{ 'aa'.replace('a', 'b', B) }}", "{{ [A, B]|sum }}{{ [A, B]|max }}",
            "{{ [1]|batch(A)|list }}", "{{ [1]|slice(B)|list }}", "{{ 'ab'|truncate(A, true, '', B) }}", "{{ 'ab'|wordwrap(A) }}{{ 'ab'|center(B) }}", "{{ (A)|filesizeformat }}{{ (A)|int }}",
            "{{ 'ab'.ljust(A) }}{{ [1, 2].index(2, A, B) }}", "{{ (A) == (B) }}{{ (A) < (B) }}{{ {A: 1}[B] }}", "{{ 'x\ty'.expandtabs(A) }}{{ 'x'|indent(B) }}", "{{ [0, 1][A] }}{{ 'ab'[B] }}{{ 'x' * (A) }}",
        ]
        for use in uses {
            for a in numbers {
                for b in numbers {
                    var source = ""
                    for character in use { source += character == "A" ? a : character == "B" ? b : String(character) }
                    _ = Self.failure(source)
                }
            }
        }
    }

    @Test func nestingOfTheSourceIsBounded() {
        for (open, close) in [("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("{'a':", "}"), ("x[", "]"), ("f(", ")"), ("1 if 1 else ", "")] {
            let source = "{{ " + String(repeating: open, count: 5000) + "1" + String(repeating: close, count: 5000) + " }}"
            #expect(Self.failure(source)?.code == .syntax, "\(open)")
        }
        for (open, close) in [("{% if 1 %}", "{% endif %}"), ("{% for x in [1] %}", "{% endfor %}"), ("{% macro m() %}", "{% endmacro %}")] {
            #expect(Self.failure(String(repeating: open, count: 5000) + String(repeating: close, count: 5000))?.code == .syntax)
        }
        #expect(Self.failure("{% set " + String(repeating: "(", count: 5000))?.code == .syntax)
    }

    @Test func longChainsAreNotDeep() throws {
        #expect(try Self.render("{{ 0" + String(repeating: " + 1", count: 5000) + " }}") == "5000")
        #expect(try Self.render("{{ ''" + String(repeating: " ~ 'a'", count: 5000) + " }}").utf8.count == 5000)
        #expect(try Self.render("{{ 'a'" + String(repeating: "|upper|lower", count: 2000) + " }}") == "a")
        #expect(try Self.render("{{ 0" + String(repeating: " or 0", count: 5000) + " }}") == "0")
    }

    /// The deepest evaluation that is allowed must fit the stack of a thread, here one of 1 MiB in a release build.
    @Test func theDeepestEvaluationFitsASmallStack() {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        #if DEBUG
            pthread_attr_setstacksize(&attributes, 8 << 20)
        #else
            pthread_attr_setstacksize(&attributes, 1 << 20)
        #endif
        var thread = pthread_t()
        let status = pthread_create(&thread, &attributes, { _ in
            for source in ChatTemplateTests.hostile where source.contains("macro") || source.contains("recursive") { _ = ChatTemplateTests.failure(source, stepLimit: 150_000) }
            let deep = JSON.array([(0..<120).reduce(JSON.string("x")) { inner, _ in .array([inner]) }])
            for source in ["{{ messages }}", "{{ messages|tojson(indent=1) }}", "{{ messages == messages }}{{ messages < messages }}"] {
                _ = ChatTemplateTests.failure(source, deep)
            }
            return nil
        }, nil)
        #expect(status == 0)
        pthread_join(thread, nil)
    }

    @Test func renderingsLeaveNothingBehind() throws {
        // Macros, namespaces and loops hold each other in circles; so they do when an error ends the rendering.
        let body = """
            {% set ns = namespace() %}{% set ns.me = ns %}{% macro m() %}{% set ns.inner = m %}{{ caller() if caller else '' }}{% endmacro %}
            {% for x in [1, 2] recursive %}{% set ns.loop = loop %}{% macro n() %}{{ x }}{{ loop }}{% endmacro %}{% set ns.n = n %}{{ m() }}
            {% call m() %}{{ n() }}{% endcall %}{% set g = [x] | map('string') %}{{ g | first }}{% endfor %}
            """
        for source in [body, body + "{{ 1 / 0 }}", "{% for x in [1] %}{% set y = loop %}{{ raise_exception('x') }}{% endfor %}"] {
            weak var rendering: Jinja.Rendering?
            weak var scope: Jinja.Scope?
            do {
                let strong = Jinja.Rendering(try Jinja.Parser.parse(source), variables: [:], now: TemplateFixtureTests.now)
                rendering = strong
                scope = strong.root
                _ = try? strong.run()
            }
            #expect(rendering == nil)
            #expect(scope == nil)
        }
    }

    @Test func hugeConversationsEnd() throws {
        // 4 MiB in one message and 20,000 messages: the largest bodies the API takes.
        let big = String(repeating: "abc \u{E9} ", count: 500_000)
        let source = "{% for m in messages %}{{ '<' + m.role + '>' + m.content | trim + '\\n' }}{% endfor %}"
        #expect(try Self.render(source, [["role": "user", "content": .string(big)]]).utf8.count > 3_000_000)
        let many = JSON.array((0..<20_000).map { ["role": $0 % 2 == 0 ? "user" : "assistant", "content": "hello"] })
        #expect(try Self.render(source, many).utf8.count > 200_000)
    }
}
