// Which experts a row chooses: a pure function, as the tokens are.
//
// Rows of one sequence prefer the same few experts of a layer, its topic's; so routing has the consistency that the policies of the cache live on.

import BerthModels

/// A pure value.
public struct ExpertRouting: Sendable, Equatable {
    public var layers = 4
    public var experts = 16
    /// Choices of a row in a layer.
    public var chosen = 2
    /// The chance of a choice to be one of the topic's experts.
    public var consistency = 0.7
    /// Experts of a layer that a topic prefers.
    public var topicExperts = 5
    /// The chance of a guess about the next layer to come true.
    public var foresight = 0.8

    public init() {}

    static func topic(first token: Int32, adapter: UInt64) -> UInt64 { mix(adapter ^ UInt64(UInt32(bitPattern: token) / 8)) }

    /// Fills `choices` with `chosen` different experts.
    func choose(layer: Int, token: Int32, position: Int, topic: UInt64, into choices: UnsafeMutablePointer<Int32>) {
        var hash = mix(UInt64(layer) << 48 ^ UInt64(UInt32(bitPattern: token)) << 32 ^ UInt64(position) ^ topic)
        let home = mix(topic ^ UInt64(layer))
        for place in 0..<chosen {
            hash = mix(hash)
            let isNear = Double(hash >> 11) * 0x1p-53 < consistency
            // The preferred ones of a topic are any of the layer's, not neighbours, so that topics overlap.
            let number = Int(truncatingIfNeeded: (hash & 0x7FF) % UInt64(isNear ? min(topicExperts, experts) : experts))
            var expert = isNear ? Int(truncatingIfNeeded: mix(home &+ UInt64(number)) % UInt64(experts)) : number
            while (0..<place).contains(where: { choices[$0] == Int32(expert) }) { expert = (expert + 1) % experts }
            choices[place] = Int32(expert)
        }
    }

    /// What a row sees of all experts that it chose, where all are whole.
    func stamps(token: Int32, position: Int, topic: UInt64) -> UInt64 {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: chosen) { choices in
            var sum: UInt64 = 0
            for layer in 0..<layers {
                choose(layer: layer, token: token, position: position, topic: topic, into: choices.baseAddress!)
                for place in 0..<chosen { sum &+= SimulatedExperts.stamp(of: ExpertID(layer: layer, expert: Int(choices[place]))) }
            }
            return sum
        }
    }
}
