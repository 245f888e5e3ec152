// Weights of a linear layer as the kernels read them. Packing happens once per checkpoint; the packed bytes can be written to a file and
// mapped again, as long as the layout's version is the same.

import BerthCore
import CKernels

/// A view of packed weights [outputs, inputs] in memory that someone else owns and that never changes.
public final class PackedMatrix: @unchecked Sendable {
    public let outputs: Int
    public let inputs: Int
    public let format: WeightFormat
    public let memory: UnsafeRawPointer

    /// Part of a prepared image's key. It must grow whenever packed bytes mean something else, and whenever packing rounds the
    /// same weights otherwise, or daemons would go on serving from images of the old kind. All kernel tables read the same bytes.
    public static let layoutVersion = 3

    /// Looks at packed bytes. `memory` is aligned to 64 bytes and holds `byteCount`; it must outlive the matrix.
    public init(outputs: Int, inputs: Int, format: WeightFormat, memory: UnsafeRawPointer) {
        precondition(outputs > 0 && inputs > 0)
        precondition(UInt(bitPattern: memory) % 64 == 0, "packed weights must be aligned to 64 bytes")
        self.outputs = outputs
        self.inputs = inputs
        self.format = format
        self.memory = memory
    }

    /// Bytes of a packed matrix; a multiple of 64.
    public static func byteCount(outputs: Int, inputs: Int, format: WeightFormat) -> Int {
        panelCount(outputs) * packed_panel_bytes(format.packed, inputs)
    }

    static func panelCount(_ outputs: Int) -> Int { (outputs + panelOutputs - 1) / panelOutputs }
    static let panelOutputs = KernelPanelOutputs

    var panels: Int { Self.panelCount(outputs) }
    var panelBytes: Int { packed_panel_bytes(format.packed, inputs) }

    /// Rows of an unpacked tensor: row-major [outputs, inputs], maybe unaligned.
    public struct Source {
        public var base: UnsafeRawPointer
        public var type: ElementType
        public var outputs: Int

        public init(base: UnsafeRawPointer, type: ElementType, outputs: Int) {
            self.base = base
            self.type = type
            self.outputs = outputs
        }

        func row(_ index: Int, inputs: Int) -> UnsafeRawPointer { base + index * inputs * type.bytes }
    }

    /// The rows of one panel among sources that are stacked along their outputs, as C wants them: null beyond the last.
    struct PanelSources {
        var rows = [UnsafeRawPointer?](repeating: nil, count: panelOutputs)
        var elements = [UInt8](repeating: 0, count: panelOutputs)

        init(_ sources: [Source], inputs: Int, panel: Int) {
            var first = 0
            for source in sources {
                let covered = (first..<first + source.outputs).clamped(to: panel * panelOutputs..<(panel + 1) * panelOutputs)
                for output in covered {
                    rows[output - panel * panelOutputs] = source.row(output - first, inputs: inputs)
                    elements[output - panel * panelOutputs] = UInt8(source.type.element.rawValue)
                }
                first += source.outputs
            }
        }
    }

    /// Packs sources stacked along their outputs (q over k over v; gate over up) into `memory`, which holds
    /// `byteCount(outputs: sum of the sources' outputs, …)`.
    public static func pack(
        _ sources: [Source], inputs: Int, format: WeightFormat, into memory: UnsafeMutableRawPointer, using compute: Compute?
    ) {
        let panelBytes = packed_panel_bytes(format.packed, inputs)
        eachPanel(of: sources, using: compute) { panel in
            let sources = PanelSources(sources, inputs: inputs, panel: panel)
            packed_pack_panel(format.packed, inputs, sources.rows, sources.elements, memory + panel * panelBytes)
        }
    }

    /// Runs `body` for every panel, on all threads of `compute` if there is one.
    static func eachPanel(of sources: [Source], using compute: Compute?, _ body: (_ panel: Int) -> Void) {
        let panels = panelCount(sources.reduce(0) { $0 + $1.outputs })
        if let compute {
            compute.parallel(panels, body)
        } else {
            for panel in 0..<panels { body(panel) }
        }
    }

    /// One output's weights as the kernels see them: `inputs` floats.
    public func unpack(output: Int, into row: UnsafeMutablePointer<Float>) {
        packed_unpack_row(format.packed, inputs, panel(of: output), output % Self.panelOutputs, row)
    }

    /// The panel that holds an output.
    func panel(of output: Int) -> UnsafeRawPointer {
        precondition((0..<outputs).contains(output))
        return memory + output / Self.panelOutputs * panelBytes
    }
}

extension WeightFormat {
    var packed: PackedFormat {
        switch self {
        case .f32: WeightF32
        case .bf16: WeightBF16
        case .int8: WeightInt8
        case .int4: WeightInt4
        }
    }
}

extension ElementType {
    var element: TensorElement {
        switch self {
        case .f32: ElementF32
        case .f16: ElementF16
        case .bf16: ElementBF16
        }
    }
}
