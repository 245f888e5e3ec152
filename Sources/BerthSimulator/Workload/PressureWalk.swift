// How much of the pool's memory is withheld as the machine gets short of memory and recovers: as the daemon's governor says it to the engine.
//
// Part by part up to some height, and part by part back; each word says the whole, and the same is said again where nothing has changed, for what was withheld may have
// been lent meanwhile.

import BerthCore

/// A pure value.
struct PressureWalk {
    /// Parts of what the pool has touched, and how many of them are withheld at most.
    static let parts = 16
    private static let most = 12
    private(set) var withheld = 0
    private var goal = 0

    mutating func step(_ random: inout RandomSource) {
        // Every other word is a repetition.
        guard Bool.random(using: &random) else { return }
        if withheld == goal { goal = goal == 0 ? Int.random(in: 1...Self.most, using: &random) : 0 }
        withheld += withheld < goal ? 1 : -1
    }
}
