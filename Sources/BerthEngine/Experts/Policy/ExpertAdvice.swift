// How much memory a model's experts want on this machine, from the hit rates of shadow caches and what disk and processor were measured to do.

public struct ExpertAdvice: Equatable, Sendable {
    /// A budget as a share of all experts, and the hit rate there.
    public struct Point: Equatable, Sendable {
        public var share: Double
        public var hitRate: Double

        public init(share: Double, hitRate: Double) { (self.share, self.hitRate) = (share, hitRate) }
    }

    /// The least tried share of experts that keeps a good part of the resident speed; 1 when none does.
    public let share: Double
    /// The speed there, as a share of the resident speed.
    public let speed: Double
    public let sentence: String
    /// A good part of the resident speed, and the least that is worth speaking of.
    private static let (goodSpeed, usableSpeed) = (0.8, 0.35)

    /// - Parameters:
    ///   - curve: budgets that were tried, in any order.
    ///   - expertsPerToken: distinct experts that a token needs, over all layers.
    ///   - residentTokensPerSecond: with every expert in memory.
    public init(curve: [Point], expertBytes: Int, expertCount: Int, expertsPerToken: Double, diskBytesPerSecond: Double, residentTokensPerSecond: Double) {
        guard !curve.isEmpty, expertsPerToken > 0, diskBytesPerSecond > 0, residentTokensPerSecond > 0 else {
            (share, speed) = (1, 1)
            sentence = "Too little has been measured to say how much memory the experts want."
            return
        }
        func reached(_ point: Point) -> Double {
            let readSeconds = (1 - point.hitRate) * expertsPerToken * Double(expertBytes) / diskBytesPerSecond
            return min(1, 1 / (readSeconds * residentTokensPerSecond))
        }
        func size(_ share: Double) -> String {
            let megabytes = Int((share * Double(expertCount) * Double(expertBytes) / 1e6).rounded())
            return megabytes >= 10_000 ? "\(megabytes / 1000) GB" : "\(megabytes) MB"
        }
        func percent(_ value: Double) -> String { "\(Int((value * 100).rounded())) %" }
        let points = curve.sorted { $0.share < $1.share }
        func least(_ wanted: Double) -> Point? { points.first { reached($0) >= wanted } }
        if let good = least(Self.goodSpeed) {
            (share, speed) = (good.share, reached(good))
            sentence =
                "This model suits offloading on this disk: \(size(good.share)) for experts (\(percent(good.share)) of them) give \(percent(reached(good))) of the resident speed."
        } else if let usable = least(Self.usableSpeed) {
            (share, speed) = (usable.share, reached(usable))
            sentence =
                "Offloading is possible, bound by this disk: \(size(usable.share)) for experts (\(percent(usable.share)) of them) give \(percent(reached(usable))) of the resident speed; full speed wants \(size(1))."
        } else {
            let most = points[points.count - 1]
            (share, speed) = (1, 1)
            sentence =
                "This model does not suit offloading on this disk: with \(percent(most.share)) of its experts resident it reaches \(percent(reached(most))) of its speed; it wants \(size(1)) for experts."
        }
    }
}
