// How many rows pass attention and projections at once, and with them how many pass an expert.
//
// Larger parts read a matrix less often, smaller ones keep their rows in the processor's caches: which is faster depends on the machine and the model, and cannot
// change a token. So waves try: one in so many takes another size, and the size stays whose waves have taken least of what they were foreseen to.

/// A pure value.
struct WaveParts {
    static let sizes = [512, 256, 128]
    /// Of one size, what waves took of what they should have, of late; nil where none has run.
    private var shares: [Double?]
    private(set) var best = 0
    private var waves = 0
    /// One wave in so many tries another size.
    private static let interval = 12
    /// What a wave's share weighs against those before.
    private static let weight = 0.2
    /// Another size must be better by so much: times tremble by more than a per cent.
    private static let hysteresis = 0.02

    init() { shares = Self.sizes.map { _ in nil } }

    /// The size of the next wave, up to `most`. Waves of few rows have one part whatever its size: they say nothing.
    mutating func next(rows: Int, most: Int) -> Int {
        var index = best
        if isTelling(rows) {
            waves += 1
            if waves % Self.interval == 0 { index = (best + 1 + waves / Self.interval % (Self.sizes.count - 1)) % Self.sizes.count }
        }
        return min(Self.sizes[index], most)
    }

    /// A wave with parts of a size has taken this share of the time that was foreseen without regard to the size.
    mutating func observe(_ size: Int, rows: Int, share: Double) {
        guard isTelling(rows), let index = Self.sizes.firstIndex(of: size) else { return }
        shares[index] = shares[index].map { $0 + Self.weight * (share - $0) } ?? share
        guard let present = shares[best] else { return }
        for (other, share) in shares.enumerated() {
            if let share, share < present * (1 - Self.hysteresis), share < shares[best]! { best = other }
        }
    }

    private func isTelling(_ rows: Int) -> Bool { rows > Self.sizes[0] }
}
