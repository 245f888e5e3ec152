// A disk of experts that is slow, out of order and broken just as a seed says.

import BerthCore
import BerthModels
import BerthStore
import Testing

@testable import BerthEngine

final class FakeExpertReader: ExpertReader {
    private var random: RandomSource
    private let image: ExpertImage
    private var waiting: [(read: ExpertRead, urgency: ExpertReadUrgency)] = []
    /// Experts that cannot be read.
    var broken: Set<ExpertID> = []
    /// Results come at once and in order.
    var isPrompt = false
    private(set) var reads: [ExpertID] = []
    var account = ExpertReaderAccount()

    init(_ image: ExpertImage, seed: UInt64) {
        self.image = image
        random = RandomSource(seed: seed)
    }

    func begin(_ read: ExpertRead, _ urgency: ExpertReadUrgency) {
        #expect(!waiting.contains { $0.read.id == read.id }, "\(read.id) is read twice at a time")
        waiting.append((read, urgency))
    }

    func promote(_ id: ExpertID, to urgency: ExpertReadUrgency) {
        for index in waiting.indices where waiting[index].read.id == id { waiting[index].urgency = urgency }
    }

    func holdWaves(_ isHeld: Bool) {}

    func cancel(_ id: ExpertID) -> Bool {
        guard let index = waiting.firstIndex(where: { $0.read.id == id }), isPrompt || Bool.random(using: &random) else { return false }
        waiting.remove(at: index)
        return true
    }

    func results(waits: Bool) -> [ExpertReadResult] {
        #expect(!waits || !waiting.isEmpty, "the engine waits for nothing")
        var results: [ExpertReadResult] = []
        while !waiting.isEmpty, isPrompt || (waits && results.isEmpty) || Int.random(in: 0..<3, using: &random) == 0 {
            let (read, _) = waiting.remove(at: isPrompt ? 0 : Int.random(in: waiting.indices, using: &random))
            reads.append(read.id)
            account.bytes += image.bytes
            account.busyNanoseconds += UInt64(image.bytes)
            if broken.contains(read.id) {
                // What a torn read leaves must not matter.
                read.memory.initializeMemory(as: UInt8.self, repeating: 0xFF, count: image.bytes)
                results.append(ExpertReadResult(id: read.id, failure: "input/output error"))
            } else {
                var failure: String?
                do throws(StoreError) { try image.read(read.id, into: read.memory) } catch { failure = error.message }
                results.append(ExpertReadResult(id: read.id, failure: failure))
            }
        }
        return results
    }
}
