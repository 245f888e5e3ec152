// A conversation on the terminal. Ctrl-C stops the running answer or drops the line; Ctrl-D ends.

import BerthClient

struct Conversation {
    let client: BerthClient
    var model: String
    let system: String?
    let options: SamplingOptions
    let interrupts: Interrupts
    /// The next line, after this prompt.
    let read: (String) -> LineEditor.Input
    let write: @Sendable (String) -> Void

    private var messages: [ChatMessage] = []

    init(
        client: BerthClient, model: String, system: String?, options: SamplingOptions, interrupts: Interrupts,
        read: @escaping (String) -> LineEditor.Input, write: @escaping @Sendable (String) -> Void
    ) {
        self.client = client
        self.model = model
        self.system = system
        self.options = options
        self.interrupts = interrupts
        self.read = read
        self.write = write
        forget()
    }

    mutating func run() async throws {
        while true {
            switch read("\(model)> ") {
            case .end: return write("\n")
            case .interrupted: write("\n")
            case .tooLong: write("\nThat is more than one request can hold.\n")
            case .line(let line):
                switch ConversationInput(line) {
                case .nothing: continue
                case .exit: return
                case .help: write(ConversationInput.commands)
                case .clear: forget()
                case .model(nil): write("\(model)\n")
                case .model(let name?): model = name
                case .unknown(let command): write("There is no command \(command); /help lists those there are.\n")
                case .message(let text): try await answer(text)
                }
            }
        }
    }

    private mutating func forget() { messages = system.map { [.system($0)] } ?? [] }

    private mutating func answer(_ line: String) async throws {
        let request = ChatRequest(model: model, messages: messages + [.user(line)], options: options)
        let task = Task { [client, write] in
            var text = ""
            do {
                for try await chunk in try await client.stream(request) {
                    text += chunk.text
                    write(chunk.text)
                }
            } catch BerthClientError.cancelled {
                write(" (stopped)")
            }
            return text
        }
        interrupts.target.withLock { $0 = task }
        defer { interrupts.target.withLock { $0 = nil } }
        do {
            let text = try await task.value
            messages += [.user(line), .assistant(text)]
            write("\n")
        } catch let error as BerthClientError {
            // A refused question is no reason to lose the conversation; a lost daemon is.
            guard case .refused = error else { throw error }
            write("\(AdvisedError(error))\n")
        }
    }
}
