// `berth run`: what it reads from pipes and terminals, what it remembers, what it sends.

import BerthClient
import BerthCore
import Foundation
import Synchronization
import Testing

@testable import berth

@Suite struct PipeTests {
    @Test(arguments: [
        (["1987\n"], "1987"), (["1987"], "1987"), (["1987\r\n"], "1987"), (["a\n", "b\n"], "a\nb"), (["a\n", "\n"], "a\n"), ([], ""), (["\n"], ""), (["a \n"], "a "),
    ] as [([String], String)])
    func onlyTheLastLineEndGoes(_ lines: [String], _ prompt: String) {
        var rest = lines[...]
        #expect(Run.prompt(of: { rest.popFirst() }) == prompt)
    }
}

@Suite struct ConversationInputTests {
    @Test(arguments: [
        ("", .nothing), ("  ", .nothing), ("hi", .message("hi")), (" hi ", .message(" hi ")), ("/help", .help), ("/help ", .help), ("/clear", .clear),
        ("/exit", .exit), ("/quit", .exit), ("/bye", .exit), ("/model", .model(nil)), ("/model  french ", .model("french")),
        ("/hlep", .unknown("/hlep")), ("/etc/passwd is what?", .unknown("/etc/passwd")), (" /etc/passwd is what?", .message("/etc/passwd is what?")),
        ("/clear all", .unknown("/clear")), ("/", .unknown("/")), ("a\n/help", .message("a\n/help")),
    ] as [(String, ConversationInput)])
    func commands(_ line: String, _ input: ConversationInput) { #expect(ConversationInput(line) == input) }
}

@Suite struct ConversationTests {
    /// What a conversation of these lines shows, and the requests that it sends.
    private func hold(_ inputs: [LineEditor.Input], _ steps: [ScriptedServer.Step]) async throws -> (shown: String, prompts: [String], requests: [JSON]) {
        let server = ScriptedServer(steps)
        defer { server.stop() }
        let shown = Mutex("")
        let rest = Mutex(inputs[...])
        let prompts = Mutex<[String]>([])
        var conversation = Conversation(
            client: BerthClient(socketPath: server.path), model: "base", system: "Be brief.", options: SamplingOptions(), interrupts: Interrupts(),
            read: { prompt in
                prompts.withLock { $0.append(prompt) }
                return rest.withLock { $0.popFirst() } ?? .end
            }, write: { text in shown.withLock { $0 += text } })
        try await conversation.run()
        let bodies = try server.requests.map { try JSON(parsing: String($0.components(separatedBy: "\r\n\r\n")[1])) }
        return (shown.withLock { $0 }, prompts.withLock { $0 }, bodies)
    }

    private static let answer: [ScriptedServer.Step] = [
        streamHead, event(#"{"choices":[{"index":0,"delta":{"content":"yes"},"finish_reason":"stop"}]}"#), event("[DONE]"), streamEnd,
    ]

    @Test func commandsAreNotSent() async throws {
        let held = try await hold([.line("/help"), .line("/nope x"), .line(""), .interrupted, .tooLong, .line("/model"), .line("/exit"), .line("never")], Self.answer)
        #expect(held.requests.isEmpty)
        #expect(held.shown == ConversationInput.commands + "There is no command /nope; /help lists those there are.\n\n\nThat is more than one request can hold.\nbase\n")
    }

    @Test func messagesAre() async throws {
        let held = try await hold([.line("a\nb"), .line("/model french"), .line("c"), .line("/clear"), .line(" /d")], Self.answer)
        #expect(held.shown == "yes\nyes\nyes\n\n" && held.prompts == ["base> ", "base> ", "french> ", "french> ", "french> ", "french> "])
        #expect(held.requests.map { $0["model"] } == ["base", "french", "french"])
        let contents = held.requests.map { $0["messages"]?.array?.compactMap { $0["content"]?.string } }
        #expect(contents == [["Be brief.", "a\nb"], ["Be brief.", "a\nb", "yes", "c"], ["Be brief.", "/d"]])
    }

    @Test func aWrongModelIsNoEnd() async throws {
        let refusal = response("404 Not Found", #"{"error":{"message":"The model 'x' does not exist.","code":"model_not_found"}}"#)
        let held = try await hold([.line("a"), .line("b")], [refusal])
        #expect(held.requests.count == 2 && held.shown.contains("'berth models' lists"))
    }
}

@Suite(.serialized) struct LineEditorTests {
    private func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "berth-history-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder)
    }

    /// What an editor makes of these keys, typed at one prompt each. The library beneath has global state: one at a time.
    private func edit(_ keys: [String], history: HistoryFile? = nil) async throws -> [LineEditor.Input] {
        let terminal = try PseudoTerminal()
        // Both wait for each other, on threads of their own: the tasks' threads are few.
        Thread.detachNewThread { for (index, keys) in keys.enumerated() { terminal.type(keys, at: "ask \(index)> ") } }
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                let editor = LineEditor(input: terminal.slave, output: terminal.slave, terminal: "xterm", history: history, readsSettings: false)
                continuation.resume(returning: keys.indices.map { editor?.read(prompt: "ask \($0)> ") ?? .end })
            }
        }
    }

    @Test func linesAreEdited() async throws {
        let left = "\u{1B}[D"
        #expect(try await edit(["helo\(left)l\r", "é\u{7F}ü€\r", "\r", "\u{4}"]) == [.line("hello"), .line("ü€"), .line(""), .end])
    }

    @Test func controlCDropsTheLine() async throws {
        #expect(try await edit(["half a li\u{3}", "whole\r"]) == [.interrupted, .line("whole")])
    }

    /// The key is a signal while an answer runs. (In this suite because the library, too, has handlers while it reads.)
    @Test func controlCStopsTheAnswer() async throws {
        let interrupts = Interrupts()
        interrupts.start()
        defer { signal(SIGINT, SIG_DFL) }
        let answer = Task<String, any Error> {
            try await Task.sleep(nanoseconds: 60_000_000_000)
            return "never"
        }
        // With nothing to stop, it does nothing.
        kill(getpid(), SIGINT)
        interrupts.target.withLock { $0 = answer }
        kill(getpid(), SIGINT)
        await #expect(throws: CancellationError.self) { try await answer.value }
    }

    @Test func aPasteIsOneMessage() async throws {
        let paste = "\u{1B}[200~one\rtwo\n\r\nthree\u{1B}[201~"
        #expect(try await edit(["> \(paste)!\r", "next\r"]) == [.line("> one\ntwo\n\nthree!"), .line("next")])
    }

    @Test func earlierLinesComeBack() async throws {
        try await withFolder { folder in
            let history = HistoryFile(path: folder + "/state/berth/history")
            let up = "\u{1B}[A"
            let paste = "\u{1B}[200~one\rtwo\u{1B}[201~"
            #expect(try await edit(["first\r", "  \r", "\(paste)\r", "\(up)\(up)\r"], history: history) == [.line("first"), .line("  "), .line("one\ntwo"), .line("first")])
            // In another conversation, too; and another beside it adds to the same file.
            #expect(try await edit(["\(up)\(up)\r"], history: history) == [.line("one\ntwo")])
            #expect(try await edit(["\(up)\(up)\r"], history: history) == [.line("first")])
            let attributes = try FileManager.default.attributesOfItem(atPath: history.path)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
            let directory = try FileManager.default.attributesOfItem(atPath: folder + "/state/berth")
            #expect(directory[.posixPermissions] as? Int == 0o700)
        }
    }

    @Test func theHistoryIsBounded() async throws {
        try await withFolder { folder in
            let history = HistoryFile(path: folder + "/history")
            let lines = (0..<20_000).map { "line \($0) " + String(repeating: "x", count: 60) }
            try ("_HiStOrY_V2_\n" + lines.map { $0.replacingOccurrences(of: " ", with: "\\040") + "\n" }.joined()).write(toFile: history.path, atomically: true, encoding: .utf8)
            #expect(try await edit(["\u{1B}[A\r"], history: history) == [.line(lines.last!)])
            let left = try String(contentsOfFile: history.path, encoding: .utf8).split(separator: "\n")
            #expect(left.count <= Limits.historyEntries + 2 && left.last?.hasPrefix("line\\04019999") == true)
        }
    }

    @Test func theHistoryIsInTheStateDirectory() {
        #expect(HistoryFile { ["XDG_STATE_HOME": "/x", "HOME": "/h"][$0] }?.path == "/x/berth/history")
        #expect(HistoryFile { ["XDG_STATE_HOME": "x", "HOME": "/h"][$0] }?.path == "/h/.local/state/berth/history")
        #expect(HistoryFile { ["XDG_STATE_HOME": ""][$0] } == nil)
    }
}
