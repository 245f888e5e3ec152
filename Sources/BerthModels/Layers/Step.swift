// What all layers of one forward pass share: the sequences, the rows of each adapter, and where to find scratch.
//
// Made at the start of a forward pass and gone at its end. Rows of adjacent sequences with the same adapter form one
// *segment*; rows of the base model belong to none. Where there is no segment, no layer does any work for adapters.

import BerthKernels

/// Adjacent rows of one adapter.
struct AdapterSegment {
    var rows: Range<Int>
    let adapter: AdapterWeights
}

/// One forward pass, or adjacent rows of one.
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
    /// The same rows in order, where they are too many for attention and dense projections at once; else empty.
    private(set) var parts: [Part] = []

    struct Part {
        let rows: Range<Int>
        let step: Step
    }

    init(_ batch: Batch, scratch: Scratch, compute: Compute, layout: KVLayout, rotary: [RotaryTable]) {
        let rows = batch.tokens.count
        self.init(batch, rows: 0..<rows, scratch: scratch, compute: compute, layout: layout, rotary: rotary)
        guard rows > scratch.partRows else { return }
        parts = stride(from: 0, to: rows, by: scratch.partRows).map { first in
            let part = first..<min(first + scratch.partRows, rows)
            return Part(rows: part, step: Step(batch, rows: part, scratch: scratch, compute: compute, layout: layout, rotary: rotary))
        }
    }

    /// The rows in parts, or all of them.
    var pieces: [Part] { parts.isEmpty ? [Part(rows: 0..<rows, step: self)] : parts }

    /// The rows `part` of a batch, as if they were all. Rows before them have passed each layer before they do.
    init(_ batch: Batch, rows part: Range<Int>, scratch: Scratch, compute: Compute, layout: KVLayout, rotary: [RotaryTable]) {
        self.compute = compute
        self.scratch = scratch
        self.layout = layout
        rows = part.count
        var sequences: [AttentionSequence] = []
        sequences.reserveCapacity(batch.sequences.count)
        var segments: [AdapterSegment] = []
        var firstRow = 0
        for sequence in batch.sequences {
            defer { firstRow += sequence.rowCount }
            let own = (firstRow..<firstRow + sequence.rowCount).clamped(to: part)
            if own.isEmpty { continue }
            let inPart = own.lowerBound - part.lowerBound..<own.upperBound - part.lowerBound
            sequences.append(
                AttentionSequence(
                    firstRow: inPart.lowerBound, rowCount: own.count, startPosition: sequence.startPosition + own.lowerBound - firstRow, pages: sequence.pages))
            segments.append(rows: inPart, of: sequence.adapter)
        }
        self.sequences = sequences
        self.segments = segments
        angles = rotary.enumerated().map { index, table in
            table.angles(of: sequences, compute: compute, into: scratch.angles[index] + part.lowerBound * 2 * table.frequencies.count)
        }
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
