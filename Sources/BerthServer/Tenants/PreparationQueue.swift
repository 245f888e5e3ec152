// Bodies on their way to worker threads, the tenants in turn.
//
// The threads take what they are given in its order, so no more is given to them than they can begin with: who sends a hundred long prompts does not keep
// another's short one waiting behind all of them. Loop thread only.

import BerthCore
import BerthLoop

final class PreparationQueue {
    private let loop: Loop
    private var waiting = TurnQueue<TenantName, () -> Void>()
    private var running = 0

    init(_ loop: Loop) { self.loop = loop }

    /// Runs `work` on a worker thread when it is the tenant's turn, then `completion` on the loop.
    func add<Value: Sendable>(_ tenant: TenantName, _ work: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void) {
        waiting.add({ [unowned self] in
            loop.queueWork(work) { [self] value in
                running -= 1
                completion(value)
                advance()
            }
        }, of: tenant)
        advance()
    }

    private func advance() {
        while running < Limits.preparingWorkers, let begin = waiting.next() {
            running += 1
            begin()
        }
    }
}
