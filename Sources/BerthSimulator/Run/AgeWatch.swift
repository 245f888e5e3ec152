// Who has given up pages: never the oldest stream of all, so that one always comes to its end; and of a tenant's other streams the less urgent first, of those as
// urgent the younger.
//
// Made before whatever may take pages, and asked afterwards. Mostly nobody was preempted, and then nothing is looked at.

import BerthCore
import BerthEngine

/// A pure value.
struct AgeWatch {
    /// Who ran, the oldest first.
    private let streams: [RunningStream]
    private let preemptions: Int

    init(_ engine: Engine) { (streams, preemptions) = (engine.streams, engine.counterSnapshot.preemptions) }

    /// What has become of those who ran.
    struct Change {
        /// The oldest, where it has lost its pages.
        var oldest: RunningStream?
        /// Of one tenant a stream that has lost its pages, and one that should have lost them before it.
        var wrong: (lost: RunningStream, kept: RunningStream)?
    }

    /// Nil where nobody has been preempted meanwhile. Who has ended does not count.
    func change(in engine: Engine) -> Change? {
        guard engine.counterSnapshot.preemptions != preemptions else { return nil }
        let now = Dictionary(uniqueKeysWithValues: engine.requests.map { ($0.id, $0.preemptions) })
        var change = Change()
        // Who is raised meanwhile gets more urgent: a stream that keeps its pages counts as it is now, one that loses them as it was.
        let ranks = Dictionary(uniqueKeysWithValues: engine.streams.map { ($0.id, $0.rank) })
        // The oldest of those who are still here was the oldest of all, or is: it is spared.
        let kept = streams.indices.filter { now[streams[$0].id] == streams[$0].preemptions }.dropFirst()
        for (place, stream) in streams.enumerated() where now[stream.id].map({ $0 > stream.preemptions }) ?? false {
            let first = kept.first { streams[$0].tenant == stream.tenant && (ranks[streams[$0].id] ?? .min, $0) > (stream.rank, place) }
            if let first { change.wrong = (stream, streams[first]) }
        }
        if let first = streams.first, let count = now[first.id], count != first.preemptions { change.oldest = first }
        return change
    }
}
