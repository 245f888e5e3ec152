// Answers of other threads to questions of the loop.
//
// `expect` gives a closure that any thread may call, once; the handler then runs on the loop with what it was called with. So
// handlers can hold what belongs to the loop, and nothing else crosses threads. The number of open questions is
// bounded, and the mailbox behind them has room for all their answers. Loop thread only.

import BerthCore
import BerthLoop
import Synchronization

final class ReplyDesk {
    private struct Reply: Sendable {
        let question: UInt64
        let value: any Sendable
    }

    private var handlers: [UInt64: (any Sendable) -> Void] = [:]
    private var lastQuestion: UInt64 = 0
    private var mailbox: Mailbox<Reply>?

    init(_ loop: Loop) throws(LoopError) {
        mailbox = try Mailbox<Reply>(loop, capacity: Limits.pendingReplies) { [unowned self] replies in
            for reply in replies { handlers.removeValue(forKey: reply.question)?(reply.value) }
        }
    }

    /// Nil where too many questions are open.
    func expect<Value: Sendable>(_ handler: @escaping (Value) -> Void) -> (@Sendable (Value) -> Void)? {
        guard handlers.count < Limits.pendingReplies, let mailbox else { return nil }
        lastQuestion += 1
        let question = lastQuestion
        handlers[question] = { value in
            guard let value = value as? Value else { preconditionFailure("a reply of another type") }
            handler(value)
        }
        let isAnswered = Mutex(false)
        return { value in
            let isFirst = isAnswered.withLock { answered in
                defer { answered = true }
                return !answered
            }
            precondition(isFirst, "a question is answered once")
            _ = mailbox.post(Reply(question: question, value: value))  // fails only when the loop is gone
        }
    }

    func close() {
        mailbox?.close()
        mailbox = nil
        handlers = [:]
    }
}
