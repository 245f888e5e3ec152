// What sampling parameters may be, wherever they come from: a request, a checkpoint's `generation_config.json`, or the engine's own callers.

/// One rule for every place that reads a sampling parameter.
public enum SamplingBounds {
    /// 0 is greedy.
    public static let temperature: ClosedRange<Double> = 0...100
    /// 0 leaves the likeliest token.
    public static let topP: ClosedRange<Double> = 0...1
    /// 0 and -1 keep all tokens.
    public static let topK: ClosedRange<Int> = -1...Int(Int32.max)
    public static let minP: ClosedRange<Double> = 0...1
    /// It divides.
    public static let repetitionPenalty: ClosedRange<Double> = 1e-3...100
    /// Presence and frequency.
    public static let penalty: ClosedRange<Double> = -2...2
}
