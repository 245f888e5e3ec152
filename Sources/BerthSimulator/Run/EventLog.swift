// What a run decided, as one number, and as lines for people.
//
// Two runs of a seed must come to the same number: it is a hash of every event with its time, in order.

import BerthCore
import BerthEngine

struct EventLog {
    private(set) var digest: UInt64 = 0
    private let write: ((String) -> Void)?

    init(write: ((String) -> Void)?) { self.write = write }

    mutating func note(_ time: UInt64, _ id: RequestID, _ event: GenerationEvent) {
        switch event {
        case .prompt: add(time, id.rawValue, 1)
        case .token(let token): add(time, id.rawValue, 2 | UInt64(UInt32(bitPattern: token.token)) << 8)
        case .finished(let reason, _, let usage):
            add(time, id.rawValue, 3 | UInt64(reason.rawValue.utf8.count) << 8 | UInt64(usage.completionTokens) << 32)
            tell(time) { "request \(id) ends: \(reason.rawValue), \(usage.completionTokens) tokens" }
        case .failed(let failure):
            add(time, id.rawValue, 4 | UInt64(failure.code.rawValue.utf8.count) << 8)
            tell(time) { "request \(id) fails: \(failure.code.rawValue): \(failure.message)" }
        }
    }

    mutating func note(_ time: UInt64, step: Int) { add(time, UInt64(step), 5) }

    private mutating func add(_ time: UInt64, _ subject: UInt64, _ what: UInt64) { digest = mix(digest ^ mix(time ^ subject << 40) &+ what) }

    /// A line of the trace, where there is one.
    func tell(_ time: UInt64, _ line: () -> String) {
        guard let write else { return }
        let microseconds = time / 1000
        let fraction = String(microseconds % 1_000_000)
        write("\(microseconds / 1_000_000).\(String(repeating: "0", count: 6 - fraction.count))\(fraction) s  \(line())")
    }
}
