// Where a mixture gets its experts.
//
// A mixture holds no matrices of its experts. For each layer of a step it tells a provider which experts its rows have
// chosen, and gets them in the order in which they are there:
//
//     begin(demand) → order ; ready(at:of:) … weights(at:of:) … finished(before:) … ; end()
//
// The order decides when an expert runs, never what it computes: a row adds its choices in the order of their probability,
// whenever these came. It belongs to the pass that has asked: passes may be left in the middle of a layer, and others
// ask the same provider meanwhile. `ResidentExperts` is the provider of a model that fits into memory; one that pages experts lives
// in the engine, which owns the memory that they are paged into. Called by the engine thread, inside `Model.forward`.

import BerthKernels

/// One expert's weights.
public struct Expert {
    /// gate over up, `[2 · width, hidden]`.
    public let gateUp: PackedMatrix
    /// `[hidden, width]`
    public let down: PackedMatrix

    public init(gateUp: PackedMatrix, down: PackedMatrix) {
        self.gateUp = gateUp
        self.down = down
    }
}

/// What the rows of one layer have chosen.
public struct ExpertDemand {
    /// The model's layer.
    public let layer: Int
    public let rows: Int
    /// Choices of a row.
    public let chosen: Int
    /// `[rows][chosen]`: experts of each row, falling by probability. Valid until `end`.
    public let experts: UnsafePointer<Int32>
    /// The chosen experts in rising order.
    public let active: [Int]

    public init(layer: Int, rows: Int, chosen: Int, experts: UnsafePointer<Int32>, active: [Int]) {
        self.layer = layer
        self.rows = rows
        self.chosen = chosen
        self.experts = experts
        self.active = active
    }
}

/// The experts of a layer in the order in which they run.
public struct ExpertOrder {
    public let layer: Int
    public let experts: [Int]

    public init(layer: Int, experts: [Int]) {
        self.layer = layer
        self.experts = experts
    }
}

/// Brings the experts of a layer.
public protocol ExpertProvider: AnyObject {
    /// A layer's rows have chosen. Returns every active expert once, in the order in which they will be ready.
    func begin(_ demand: ExpertDemand) -> ExpertOrder
    /// Waits until the expert at `position` of its order can run or is known to be lost; returns how many from there on are in
    /// that state, at least one.
    func ready(at position: Int, of order: ExpertOrder) -> Int
    /// The expert at a position that is ready; nil where it could not be read. The provider remembers whose rows that harms.
    func weights(at position: Int, of order: ExpertOrder) -> Expert?
    /// Experts before `position` have run and may leave memory.
    func finished(before position: Int)
    /// The layer is done.
    func end()
    /// Whether it would be of use to know which experts `rows` rows of `layer` will probably choose.
    func wantsForesight(ofLayer layer: Int, rows: Int) -> Bool
    /// What rows of a layer that has not come yet will probably choose, `[rows][chosen]`.
    func foresee(layer: Int, _ experts: UnsafeBufferPointer<Int32>)
}

/// All experts in memory, always. Remembers nothing of who asks.
final class ResidentExperts: ExpertProvider {
    private let layers: [[Expert]]

    /// Takes the experts of all layers out of a store that holds them.
    init(_ store: WeightStore, _ c: ModelConfiguration, names: TensorNames) {
        layers = c.layers.indices.map { layer in
            guard case .experts(let experts) = c.layers[layer].feedForward else { return [] }
            return (0..<experts.count).map { expert in
                Expert(
                    gateUp: store.matrix(TensorNames.gateUp(names.experts[layer], expert)), down: store.matrix(TensorNames.down(names.experts[layer], expert)))
            }
        }
    }

    func begin(_ demand: ExpertDemand) -> ExpertOrder { ExpertOrder(layer: demand.layer, experts: demand.active) }
    func ready(at position: Int, of order: ExpertOrder) -> Int { order.experts.count - position }
    func weights(at position: Int, of order: ExpertOrder) -> Expert? { layers[order.layer][order.experts[position]] }
    func finished(before position: Int) {}
    func end() {}
    func wantsForesight(ofLayer layer: Int, rows: Int) -> Bool { false }
    func foresee(layer: Int, _ experts: UnsafeBufferPointer<Int32>) {}
}

/// Where the layers find their provider: an engine puts its own there after the model was built.
final class ProviderPlace {
    var current: (any ExpertProvider)?

    init(_ provider: (any ExpertProvider)?) { current = provider }
}
