// A conversation on the terminal. Ctrl-C ends the running answer, not the program; at the prompt it ends the program.

import BerthClient
import Glibc
import Synchronization

struct Conversation {
    let client: BerthClient
    var model: String
    let system: String?
    let options: SamplingOptions

    private var messages: [ChatMessage] = []

    init(client: BerthClient, model: String, system: String?, options: SamplingOptions) {
        self.client = client
        self.model = model
        self.system = system
        self.options = options
        forget()
    }

    mutating func run() async throws {
        let interrupts = Interrupts()
        while true {
            write("\(model)> ")
            guard let line = readLine() else { return write("\n") }
            switch line.split(separator: " ", maxSplits: 1).first.map(String.init) {
            case nil: continue
            case "/exit", "/quit", "/bye": return
            case "/clear": forget()
            case "/model": change(to: line.dropFirst("/model ".count))
            default: try await answer(line, interrupts)
            }
        }
    }

    private mutating func forget() { messages = system.map { [.system($0)] } ?? [] }

    private mutating func change(to name: Substring) {
        if name.isEmpty { write("which model?\n") } else { model = String(name) }
    }

    private mutating func answer(_ line: String, _ interrupts: Interrupts) async throws {
        let request = ChatRequest(model: model, messages: messages + [.user(line)], options: options)
        let task = Task { [client] in
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
            write("\(error)\n")
        }
    }
}

/// Turns SIGINT into the cancellation of the running answer. Lives as long as the program.
private final class Interrupts: Sendable {
    let target = Mutex<Task<String, any Error>?>(nil)

    init() {
        // SIGINT is blocked everywhere and taken by a thread of its own, which may then use ordinary code.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        pthread_create(&thread, nil, { context in
            let interrupts = Unmanaged<Interrupts>.fromOpaque(context!).takeUnretainedValue()
            var signals = sigset_t()
            sigemptyset(&signals)
            sigaddset(&signals, SIGINT)
            while true {
                var signal: Int32 = 0
                sigwait(&signals, &signal)
                let running = interrupts.target.withLock { $0 }
                guard let running else {
                    write("\n")
                    exit(130)
                }
                running.cancel()
            }
        }, context)
        pthread_detach(thread)
    }
}
