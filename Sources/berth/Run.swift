// `berth run MODEL [PROMPT]`: one answer, streamed; without a prompt, a conversation on the terminal.

import ArgumentParser
import BerthClient
import Glibc

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a model, or talk with it on the terminal.",
        discussion: """
            Without PROMPT on a terminal, a conversation starts; /help says what it understands. \
            Without PROMPT and with input from a pipe, the input is the prompt, less the line end behind it.
            """)

    @OptionGroup var connection: SocketOptions

    @Argument(help: "An adapter's name, or the base model's (\"base\" will do).")
    var model: String

    @Argument(help: "What to ask.")
    var prompt: String?

    @Flag(help: "Continue the prompt as plain text, without the chat template.")
    var raw = false

    @Option(help: "What the model is told first.")
    var system: String?

    @Option(help: "Generate at most this many tokens.")
    var maxTokens: Int?

    @Option(help: "0 is deterministic; higher is more varied.")
    var temperature: Double?

    @Option(help: "Makes sampled answers repeatable.")
    var seed: Int?

    @Option(parsing: .unconditional, help: "From -1000 to 1000: of your requests that wait, those with less go first.")
    var priority: Int?

    private var options: SamplingOptions {
        var options = SamplingOptions(maxTokens: maxTokens, temperature: temperature, seed: seed)
        options.priority = priority
        return options
    }

    func run() async throws {
        if let prompt {
            try await answer(prompt)
        } else if isatty(STDIN_FILENO) == 0 {
            try await answer(Self.prompt(of: { readLine(strippingNewline: false) }))
        } else {
            try await converse()
        }
    }

    /// The whole input. The shell's programs end theirs with a line end, which is no part of what is asked.
    static func prompt(of nextLine: () -> String?) -> String {
        var prompt = ""
        while let line = nextLine() { prompt += line }
        // "\r\n" is one Character.
        if prompt.last == "\n" || prompt.last == "\r\n" { prompt.removeLast() }
        return prompt
    }

    private func converse() async throws {
        func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        // Answers may go to a file while the lines are edited on the terminal.
        let output = isatty(STDOUT_FILENO) != 0 ? STDOUT_FILENO : STDERR_FILENO
        guard let editor = LineEditor(output: output, history: HistoryFile(environment: environment)) else {
            throw ValidationError("the terminal cannot be used")
        }
        let interrupts = Interrupts()
        interrupts.start()
        var conversation = Conversation(
            client: connection.client, model: model, system: system, options: options, interrupts: interrupts, read: editor.read, write: write)
        try await conversation.run()
    }

    /// One question, one answer. A model without a chat template continues the text instead.
    private func answer(_ prompt: String) async throws {
        if !raw {
            let messages = (system.map { [ChatMessage.system($0)] } ?? []) + [.user(prompt)]
            do {
                return try await show(connection.client.stream(ChatRequest(model: model, messages: messages, options: options)))
            } catch BerthClientError.refused(let refusal) where refusal.code == "no_chat_template" {}
        }
        try await show(connection.client.stream(CompletionRequest(model: model, prompt: prompt, options: options)))
    }

    private func show(_ stream: GenerationStream) async throws {
        for try await chunk in stream { write(chunk.text) }
        write("\n")
    }
}

/// Writes to standard output at once.
@Sendable func write(_ text: String) {
    print(text, terminator: "")
    fflush(nil)
}
