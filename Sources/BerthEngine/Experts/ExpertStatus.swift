// What operators see of paged experts.

/// One layer's experts at one moment.
public struct ExpertLayerStatus: Sendable, Equatable {
    /// The model's layer.
    public var layer: Int
    public var resident: Int
    /// Uses since the start that found the expert in memory, and all uses.
    public var hits: Int
    public var uses: Int
    /// Local routing consistency over the last segments; nil before there was one.
    public var srp: Double?
    public var sch: Double?
}

/// All paged experts at one moment, and sums since the start.
public struct ExpertStatus: Sendable, Equatable {
    public var account: ExpertAccount
    public var reader: ExpertReaderAccount
    public var layers: [ExpertLayerStatus]
    public var expertsPerLayer: Int
    public var expertBytes: Int
    /// Experts that fit, as things are.
    public var capacity: Int
    /// The rule that decides who leaves.
    public var policy: String
    /// Rules that are tried beside it, with their recent hit rates.
    public var trials: [Trial]
    public var prefetches: Bool
    /// Hit rates that the rule in charge would have at other budgets.
    public var curve: [ExpertAdvice.Point]
    /// What one stream would reach with all experts in memory, and the experts that one of its tokens wants; nil before there is anything to measure.
    public var residentTokensPerSecond: Double?
    public var expertsPerToken: Double?

    public struct Trial: Sendable, Equatable {
        public var policy: String
        public var hitRate: Double
    }

    public var count: Int { layers.count * expertsPerLayer }
    public var resident: Int { layers.reduce(0) { $0 + $1.resident } }
    public var uses: Int { account.hits + account.misses + account.lateGuesses }
    /// Share of uses that found their expert in memory; nil before the first.
    public var hitRate: Double? { uses > 0 ? Double(account.hits) / Double(uses) : nil }
    public var bytesPerToken: Double? { account.rows > 0 ? Double(account.bytesRead) / Double(account.rows) : nil }

    /// Whether this model suits offloading on this disk, and how much memory its experts want.
    public var advice: ExpertAdvice {
        ExpertAdvice(
            curve: curve.filter { $0.hitRate > 0 }, expertBytes: expertBytes, expertCount: count, expertsPerToken: expertsPerToken ?? 0,
            diskBytesPerSecond: (reader.speed ?? 0) * 1e9, residentTokensPerSecond: residentTokensPerSecond ?? 0)
    }

    /// Share of settled guesses that the next layer wanted; nil before the first.
    public var guessAccuracy: Double? {
        let right = account.usefulGuesses + account.lateGuesses
        let settled = right + account.wastedGuesses + account.wrongGuesses
        return settled > 0 ? Double(right) / Double(settled) : nil
    }
}

extension ExpertCache {
    var status: ExpertStatus {
        ExpertStatus(
            account: account, reader: supply.reader.account,
            layers: supply.layers.enumerated().map { number, layer in
                ExpertLayerStatus(
                    layer: layer, resident: slots(ofLayer: number).count(where: \.isResident), hits: layerHits[number],
                    uses: layerUses[number], srp: policy.consistency.layers[number].srp, sch: policy.consistency.layers[number].sch)
            },
            expertsPerLayer: supply.expertsPerLayer, expertBytes: supply.bytes, capacity: policy.capacity, policy: policy.scoring.description,
            trials: policy.trials.map { ExpertStatus.Trial(policy: $0.scoring.description, hitRate: $0.hitRate) }, prefetches: supply.options.prefetches,
            curve: policy.curve, residentTokensPerSecond: speed.tokensPerSecond, expertsPerToken: speed.expertsPerToken)
    }
}
