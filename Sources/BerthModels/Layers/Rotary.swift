// Sines and cosines for a step's positions: computed once per step, used by all layers.

import BerthKernels
import Glibc

/// The angles of one rotary embedding.
struct RotaryTable {
    /// Radians per position, one per pair of channels.
    let frequencies: [Float]
    let amplitude: Float

    init(_ configuration: RopeConfiguration, headDim: Int) {
        frequencies = configuration.frequencies(headDim: headDim)
        amplitude = configuration.amplitude
    }

    /// Writes the angles of all sequences' rows into `memory`, which has room for sine and cosine of every row.
    func angles(of sequences: [AttentionSequence], compute: Compute, into memory: UnsafeMutablePointer<Float>) -> RotaryAngles {
        let pairs = frequencies.count
        let rows = sequences.last.map { $0.firstRow + $0.rowCount } ?? 0
        let (cosines, sines) = (memory, memory + rows * pairs)
        frequencies.withUnsafeBufferPointer { frequencies in
            compute.parallel(sequences.count) { index in
                let sequence = sequences[index]
                for row in 0..<sequence.rowCount {
                    let position = Float(sequence.startPosition + row)
                    let start = (sequence.firstRow + row) * pairs
                    for pair in 0..<pairs {
                        let angle = position * frequencies[pair]
                        cosines[start + pair] = cosf(angle) * amplitude
                        sines[start + pair] = sinf(angle) * amplitude
                    }
                }
            }
        }
        return RotaryAngles(cosines: UnsafePointer(cosines), sines: UnsafePointer(sines))
    }
}

/// `[row][headDim / 2]` each.
struct RotaryAngles {
    let cosines: UnsafePointer<Float>
    let sines: UnsafePointer<Float>
}
