// What all layers of one forward pass share: the sequences, the rows of each adapter, and where to find scratch.
//
// Made at the start of `Model.forward` and gone at its end. Rows of adjacent sequences with the same adapter form one
// *segment*; rows of the base model belong to none. Where there is no segment, no layer does any work for adapters.

import BerthKernels

/// Adjacent rows of one adapter.
struct AdapterSegment {
    var rows: Range<Int>
    let adapter: AdapterWeights
}

/// One forward pass.
struct Step {
    let compute: Compute
    let scratch: Scratch
    let layout: KVLayout
    let rows: Int
    let sequences: [AttentionSequence]
    /// In rising order of rows, not overlapping.
    let segments: [AdapterSegment]
    /// Sines and cosines of the rows' positions, by index into the configuration's `ropes`.
    let angles: [RotaryAngles]

    init(_ batch: Batch, scratch: Scratch, compute: Compute, layout: KVLayout, rotary: [RotaryTable]) {
        self.compute = compute
        self.scratch = scratch
        self.layout = layout
        rows = batch.tokens.count
        var sequences: [AttentionSequence] = []
        sequences.reserveCapacity(batch.sequences.count)
        var segments: [AdapterSegment] = []
        var firstRow = 0
        for sequence in batch.sequences {
            sequences.append(
                AttentionSequence(firstRow: firstRow, rowCount: sequence.rowCount, startPosition: sequence.startPosition, pages: sequence.pages))
            segments.append(rows: firstRow..<firstRow + sequence.rowCount, of: sequence.adapter)
            firstRow += sequence.rowCount
        }
        self.sequences = sequences
        self.segments = segments
        angles = rotary.enumerated().map { index, table in table.angles(of: sequences, compute: compute, into: scratch.angles[index]) }
    }
}

extension [AdapterSegment] {
    /// Appends rows that follow the last ones, merging them with a segment of the same adapter that ends there.
    mutating func append(rows: Range<Int>, of adapter: AdapterWeights?) {
        guard let adapter, !rows.isEmpty else { return }
        if let last = indices.last, self[last].adapter === adapter, self[last].rows.upperBound == rows.lowerBound {
            self[last].rows = self[last].rows.lowerBound..<rows.upperBound
        } else {
            append(AdapterSegment(rows: rows, adapter: adapter))
        }
    }
}
