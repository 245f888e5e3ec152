// What an adapter may target in a base model: the meeting point of checkpoints and PEFT files.
//
// A model family (BerthModels) lists its modules once, when the model is built, by the paths that Hugging Face gives
// them; an adapter (AdapterCheckpoint.swift) is accepted only if each of its tensors names one of these modules and
// fits its shape. Immutable, shared by everyone who validates adapters.

/// The modules of one base model that adapters may target.
public struct ModuleCatalog: Sendable {
    public enum Kind: Sendable, Hashable {
        /// `y = W·x`, weight `[outputs, inputs]`. Attention and MLP projections, experts, routers.
        case linear
        /// A table `[inputs = vocabulary, outputs = width]` from which rows are taken.
        case embedding
        /// The linear layer that gives logits, `[outputs = vocabulary, inputs = width]`.
        case head
    }

    public struct Module: Sendable {
        /// The path in the checkpoint without `.weight`: `model.layers.0.self_attn.q_proj`.
        public let path: String
        /// Width of the input row; for an embedding the size of the vocabulary.
        public let inputs: Int
        /// Width of the output row; for the head the size of the vocabulary.
        public let outputs: Int
        public let kind: Kind
        /// Other paths under which PEFT may have saved an adapter of this module
        /// (transformers 5 calls Mixtral's `block_sparse_moe.gate` `mlp.gate`).
        public let aliases: [String]
        /// The module's weight in the checkpoint, where adapters may carry a copy of it (embedding and head): the copy is
        /// compared with it when the adapter is read. Nil: only the shape of a copy is checked.
        public let weight: TensorView?

        public init(path: String, inputs: Int, outputs: Int, kind: Kind = .linear, aliases: [String] = [], weight: TensorView? = nil) {
            self.path = path
            self.inputs = inputs
            self.outputs = outputs
            self.kind = kind
            self.aliases = aliases
            self.weight = weight
        }
    }

    /// The experts of one layer, which transformers 5 holds in two fused parameters `gate_up_proj` `[E, 2·intermediate, hidden]`
    /// (gate rows first) and `down_proj` `[E, hidden, intermediate]`. An adapter of the fused parameters (PEFT's
    /// `target_parameters`) is taken apart into adapters of the modules `{modulePrefix}.{expert}.{gate|up|down}`, which must
    /// be in the catalogue too.
    public struct ExpertGroup: Sendable {
        /// The paths of the module that holds the fused parameters: `model.layers.0.mlp.experts`.
        public let paths: [String]
        /// The path before the number of an expert: `model.layers.0.block_sparse_moe.experts`.
        public let modulePrefix: String
        public let count: Int
        public let hidden: Int
        public let intermediate: Int
        /// Last components of the per-expert modules: `gate_proj` or `w1`, `up_proj` or `w3`, `down_proj` or `w2`.
        public let gate: String, up: String, down: String

        public init(
            paths: [String], modulePrefix: String, count: Int, hidden: Int, intermediate: Int,
            gate: String = "gate_proj", up: String = "up_proj", down: String = "down_proj"
        ) {
            self.paths = paths
            self.modulePrefix = modulePrefix
            self.count = count
            self.hidden = hidden
            self.intermediate = intermediate
            self.gate = gate
            self.up = up
            self.down = down
        }
    }

    /// By path.
    public let modules: [String: Module]
    /// By each of the group's paths.
    public let experts: [String: ExpertGroup]
    private let canonicalPaths: [String: String]

    /// Paths and aliases must be distinct, and every expert of a group must be among the modules.
    public init(modules: [Module], experts: [ExpertGroup] = []) {
        self.modules = Dictionary(uniqueKeysWithValues: modules.map { ($0.path, $0) })
        self.experts = Dictionary(uniqueKeysWithValues: experts.flatMap { group in group.paths.map { ($0, group) } })
        canonicalPaths = Dictionary(uniqueKeysWithValues: modules.flatMap { module in module.aliases.map { ($0, module.path) } })
        for group in experts {
            for last in [group.gate, group.up, group.down] {
                precondition(
                    group.count == 0 || self.modules["\(group.modulePrefix).\(group.count - 1).\(last)"] != nil,
                    "the experts of \(group.modulePrefix) are not in the catalogue")
            }
        }
    }

    /// The module at `path`, which may be an alias.
    public func module(at path: String) -> Module? {
        modules[path] ?? canonicalPaths[path].flatMap { modules[$0] }
    }
}
