// Rotary position embedding (Su et al., 2021) and the ways in which checkpoints stretch it over longer contexts.
//
// A configuration says which of them in one of two spellings: the old one (`rope_theta`, and `rope_scaling` with `type`
// or `rope_type`) and that of transformers 5 (`rope_parameters`, flat or one object per type of layer). What comes out is
// the same for all: an angle per pair of channels and position unit, and a factor on sine and cosine. The arithmetic is
// done in single precision in the order of transformers' `modeling_rope_utils.py`, because an angle that is off by one
// part in ten million turns visibly after a hundred thousand positions.

import BerthCore
import Glibc

/// Which rotary embedding a layer uses.
public struct RopeConfiguration: Sendable, Equatable {
    public enum Scaling: Sendable, Equatable {
        case none
        /// Position interpolation (Chen et al., 2023).
        case linear(factor: Double)
        /// Llama 3.1's: long waves are stretched, short ones kept, a ramp between.
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int)
        /// YaRN (Peng et al., 2023). `attention` multiplies sine and cosine.
        case yarn(factor: Double, attention: Double, betaFast: Double, betaSlow: Double, truncates: Bool, originalContext: Int)
    }

    public var theta: Double
    public var scaling: Scaling

    /// The number of positions that the scaling is made for; nil where it does not say.
    var stretchedContext: Int? {
        if case .yarn(let factor, _, _, _, _, let original) = scaling { return Int((Double(original) * factor).rounded(.down)) }
        return nil
    }
}

// MARK: reading

extension RopeConfiguration {
    /// Reads the rotary embedding of layers of type `layerType`. `originalContext` is `max_position_embeddings`.
    init(_ config: ConfigurationReader, layerType: String, family: ModelFamily, originalContext: Int) throws(ModelError) {
        var reader = config
        if let scaling = try config.nested("rope_scaling"), scaling.object.object?.isEmpty == false {
            reader = scaling
        } else if let parameters = try config.nested("rope_parameters") {
            reader = parameters
        } else {
            reader = ConfigurationReader([:], place: config.place)
        }
        // Nested by type of layer: {"full_attention": {…}, "sliding_attention": {…}}.
        if ModelConfiguration.layerTypes.contains(where: { reader.object[$0] != nil }) {
            guard let nested = try reader.nested(layerType) else {
                throw reader.refuse(layerType, "is missing, but there are layers of that type")
            }
            reader = nested
        }
        for holder in [reader, config] where try holder.double("partial_rotary_factor", in: 0...1, default: 1) != 1 {
            throw holder.unsupported("partial_rotary_factor", "other than 1 is not supported")
        }
        // transformers' order: inside the parameters, beside them, the family's own.
        let outer = try config.double("rope_theta", in: Self.thetaBounds, default: family.defaults.ropeTheta)
        theta = try reader.double("rope_theta", in: Self.thetaBounds, default: outer)

        let newSpelling = try reader.string("rope_type"), oldSpelling = try reader.string("type")
        let type = newSpelling ?? oldSpelling ?? "default"
        let original = try reader.int("original_max_position_embeddings", in: 1...Limits.contextTokens, default: originalContext)
        switch type {
        case "default": scaling = .none
        case "linear": scaling = .linear(factor: try reader.double("factor", in: Self.factorBounds))
        case "llama3":
            let low = try reader.double("low_freq_factor", in: Self.factorBounds)
            let high = try reader.double("high_freq_factor", in: Self.factorBounds)
            guard high > low else { throw reader.refuse("high_freq_factor", "is \(high), not above low_freq_factor \(low)") }
            scaling = .llama3(
                factor: try reader.double("factor", in: Self.factorBounds), lowFrequencyFactor: low, highFrequencyFactor: high,
                originalContext: original)
        case "yarn": scaling = try Self.yarn(reader, original: original, context: originalContext)
        default: throw reader.unsupported("rope_type", "'\(type)' is not supported (default, linear, llama3 and yarn are)")
        }
    }

    private static let thetaBounds = 1.0...1e12
    private static let factorBounds = 1e-3...1e6

    private static func yarn(_ reader: ConfigurationReader, original: Int, context: Int) throws(ModelError) -> Scaling {
        let factor = try reader.double("factor", in: factorBounds, default: Double(context) / Double(original))
        /// The temperature of the paper's equation 22, generalised by DeepSeek.
        func scale(_ weight: Double) -> Double { factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1 }
        let weight = try reader.double("mscale", in: 0...100, default: 0)
        let weightAllDimensions = try reader.double("mscale_all_dim", in: 0...100, default: 0)
        let inferred = weight != 0 && weightAllDimensions != 0 ? scale(weight) / scale(weightAllDimensions) : scale(1)
        func beta(_ key: String, _ fallback: Double) throws(ModelError) -> Double {
            let value = try reader.double(key, in: 0...1e6, default: fallback)
            return value == 0 ? fallback : value
        }
        return .yarn(
            factor: factor, attention: try reader.double("attention_factor", in: 0...100, default: inferred),
            betaFast: try beta("beta_fast", 32), betaSlow: try beta("beta_slow", 1),
            truncates: try reader.bool("truncate", default: true), originalContext: original)
    }
}

// MARK: angles

extension RopeConfiguration {
    /// The factor on sine and cosine.
    var amplitude: Float {
        if case .yarn(_, let attention, _, _, _, _) = scaling { return Float(attention) }
        return 1
    }

    /// Radians per position of each of the `headDim / 2` channel pairs.
    func frequencies(headDim: Int) -> [Float] {
        let base = Float(theta)
        let powers = (0..<headDim / 2).map { powf(base, Float(2 * $0) / Float(headDim)) }
        let plain = powers.map { 1 / $0 }
        switch scaling {
        case .none: return plain
        case .linear(let factor): return plain.map { $0 / Float(factor) }
        case .llama3(let factor, let low, let high, let original):
            return plain.map { frequency in
                let wavelength = 2 * Float.pi / frequency
                if wavelength < Float(Double(original) / high) { return frequency }
                if wavelength > Float(Double(original) / low) { return frequency / Float(factor) }
                let smooth = (Float(original) / wavelength - Float(low)) / Float(high - low)
                return (1 - smooth) * frequency / Float(factor) + smooth * frequency
            }
        case .yarn(let factor, _, let betaFast, let betaSlow, let truncates, let original):
            /// The channel that turns `rotations` times over the original context.
            func channel(_ rotations: Double) -> Double {
                Double(headDim) * log(Double(original) / (rotations * 2 * .pi)) / (2 * log(theta))
            }
            var low = channel(betaFast), high = channel(betaSlow)
            if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
            low = max(low, 0)
            high = min(high, Double(headDim - 1))
            if low == high { high += 0.001 }
            return powers.indices.map { index in
                let ramp = min(max((Float(index) - Float(low)) / Float(high - low), 0), 1)
                let keeps = 1 - ramp
                return 1 / (Float(factor) * powers[index]) * (1 - keeps) + plain[index] * keeps
            }
        }
    }
}
