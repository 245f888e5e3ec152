// What a checkpoint's `generation_config.json` recommends. The API's own defaults are OpenAI's; these are for whoever asks
// for the model's.

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
        // `do_sample: false` leaves whatever temperature stands beside it without effect.
        let samples = try reader.bool("do_sample", default: reader.object.object?.isEmpty ?? true)
        temperature = samples ? try number("temperature", 0...1000) : 0
        topP = try number("top_p", 0...1)
        topK = reader.value("top_k") == nil ? nil : try reader.int("top_k", in: 0...Int(Int32.max))
        minP = try number("min_p", 0...1)
        repetitionPenalty = try number("repetition_penalty", 1e-3...1000)
    }
}
