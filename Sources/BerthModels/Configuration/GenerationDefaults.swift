// What a checkpoint's `generation_config.json` recommends. The API's own defaults are OpenAI's; these are for whoever asks
// for the model's.

import BerthCore

/// Sampling parameters that the makers of a checkpoint recommend; nil where they say nothing.
public struct GenerationDefaults: Sendable, Equatable {
    public var temperature: Float?
    public var topP: Float?
    public var topK: Int?
    public var minP: Float?
    public var repetitionPenalty: Float?

    init(_ reader: ConfigurationReader) throws(ModelError) {
        func number(_ key: String, _ bounds: ClosedRange<Double>) throws(ModelError) -> Float? {
            guard reader.value(key) != nil else { return nil }
            return Float(try reader.double(key, in: bounds))
        }
        // `do_sample: false` leaves whatever temperature stands beside it without effect. Where the file does not say it, transformers would be
        // greedy; clients of this API expect its own default, a temperature of 1, and `n` answers that differ.
        let temperature = try number("temperature", SamplingBounds.temperature)
        self.temperature = try reader.bool("do_sample", default: true) ? temperature : 0
        topP = try number("top_p", SamplingBounds.topP)
        topK = reader.value("top_k") == nil ? nil : max(0, try reader.int("top_k", in: SamplingBounds.topK))
        minP = try number("min_p", SamplingBounds.minP)
        repetitionPenalty = try number("repetition_penalty", SamplingBounds.repetitionPenalty)
    }
}
