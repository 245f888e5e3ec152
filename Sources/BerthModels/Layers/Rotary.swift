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

    /// Writes the angles of all sequences' rows, which follow each other, into `memory`, which has room for sine and cosine of every row.
    func angles(of sequences: [AttentionSequence], compute: Compute, into memory: UnsafeMutablePointer<Float>) -> RotaryAngles {
        let pairs = frequencies.count
        let positions = sequences.flatMap { $0.startPosition..<$0.startPosition + $0.rowCount }
        let (cosines, sines) = (memory, memory + positions.count * pairs)
        let rowsPerTask = 64
        compute.parallel((positions.count + rowsPerTask - 1) / rowsPerTask) { task in
            for row in task * rowsPerTask..<min(positions.count, (task + 1) * rowsPerTask) {
                let position = Float(positions[row])
                for pair in 0..<pairs {
                    let angle = position * frequencies[pair]
                    cosines[row * pairs + pair] = cosf(angle) * amplitude
                    sines[row * pairs + pair] = sinf(angle) * amplitude
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
