// What the engine is given to page a model's experts.

import BerthModels

/// The paged experts of a model, and how they shall be handled.
public struct ExpertSupply {
    /// Layers of the model that have experts, rising.
    public var layers: [Int]
    public var expertsPerLayer: Int
    /// Choices of one row in one layer.
    public var chosen: Int
    /// What one expert takes in memory.
    public var bytes: Int
    /// The matrices of an expert that was read to some memory.
    public var expert: (UnsafeRawPointer) -> Expert
    public var reader: any ExpertReader
    public var options = ExpertOptions()

    public init(
        layers: [Int], expertsPerLayer: Int, chosen: Int, bytes: Int, reader: any ExpertReader, expert: @escaping (UnsafeRawPointer) -> Expert
    ) {
        precondition(!layers.isEmpty && expertsPerLayer > 0 && bytes > 0)
        self.layers = layers
        self.expertsPerLayer = expertsPerLayer
        self.chosen = chosen
        self.bytes = bytes
        self.reader = reader
        self.expert = expert
    }

    /// The experts of an image.
    public init(_ image: ExpertImage, reader: any ExpertReader, options: ExpertOptions = ExpertOptions()) {
        self.init(layers: image.layers, expertsPerLayer: image.expertsPerLayer, chosen: image.chosen, bytes: image.bytes, reader: reader) {
            image.expert(at: $0)
        }
        self.options = options
    }

    public var count: Int { layers.count * expertsPerLayer }

    /// Experts that must have room so that a step of one row makes progress without reading one expert twice: its choices and as many reads ahead.
    public static func leastResident(chosen: Int, count: Int) -> Int { min(count, max(2 * chosen, 4)) }
}

/// The experts of a model on disk, for a host that reads them with threads of its own.
public struct ExpertPaging: Sendable {
    public var image: ExpertImage
    public var options: ExpertOptions

    public init(_ image: ExpertImage, options: ExpertOptions = ExpertOptions()) {
        self.image = image
        self.options = options
    }
}

/// Each part can be switched off, for whoever wants to know what it brings.
public struct ExpertOptions: Sendable {
    /// Who leaves.
    public var policy = ExpertPolicy.Kind.adaptive
    /// Whether experts are read ahead: the next layer's, and between steps the next step's.
    public var prefetches = true
    /// Whether waiting requests whose experts are in memory may be let in before a few others.
    public var ordersAdmission = true
    /// How often each expert was chosen in an earlier life, by its number in the supply. While nothing else happens, the hottest come back.
    public var popularity: [Float]?
    /// Takes the same at the end of this life, and now and then before. The host calls it on a thread of its own.
    public var rememberPopularity: (@Sendable ([Float]) -> Void)?
    /// Takes the routing as it is recorded (`RoutingRecorder`), step by step, on the engine's thread; nil where nothing is recorded.
    public var writeRecording: (@Sendable ([UInt8]) -> Void)?

    public init() {}
}
