// Linear layers: y = x·Wᵀ, with optional bias and accumulation, and the same over groups of rows that use different weights (experts).
//
// A call is cut into tasks of runs of four panels (64 outputs) by up to 512 rows: four panels' slice of inputs stays in the first-level cache
// while all rows pass over it, and each weight is read from memory once. With few rows the work is reading weights, and
// the same cut gives every thread its own stretches of them. Where rows have adapters, a task ends with adding what they do to what it wrote.

import BerthCore
import CKernels

/// One task of a linear section.
struct LinearTask {
    var call: Int
    var firstRow, rows, firstPanel, panels: Int
}

extension Compute {
    /// Some rows and the weights they meet. Rows are those of the prepared input.
    public struct LinearGroup {
        public var rows: Range<Int>
        public var weights: PackedMatrix

        public init(rows: Range<Int>, weights: PackedMatrix) {
            self.rows = rows
            self.weights = weights
        }
    }

    /// y = x·Wᵀ, + `bias` [outputs], + y where `accumulate`, + what the adapters that `x` was prepared with add. `y` has the input's rows
    /// and `w.outputs` columns.
    public func linear(
        _ x: PreparedRows, _ w: PackedMatrix, into y: Rows, bias: UnsafePointer<Float>? = nil, accumulate: Bool = false
    ) {
        linearTasks.removeAll(keepingCapacity: true)
        var remaining = x.count * w.outputs * w.inputs
        plan(call: 0, rows: 0..<x.count, w, adapted: !x.adapters.isEmpty, remaining: &remaining)
        withUnsafePointer(to: linearCall(x, w, y, bias: bias, accumulate: accumulate)) { runLinearTasks($0, x, into: y) }
    }

    /// y[rows] = x[rows]·Wᵀ, + what adapters add, for every group, in one parallel section. All weights have the input's format and inputs, and
    /// y's columns.
    public func linear(_ x: PreparedRows, groups: [LinearGroup], into y: Rows) {
        if groups.isEmpty { return }
        linearTasks.removeAll(keepingCapacity: true)
        var remaining = groups.reduce(0) { $0 + $1.rows.count * $1.weights.outputs * $1.weights.inputs }
        for (index, group) in groups.enumerated() {
            plan(call: index, rows: group.rows, group.weights, adapted: !x.adapters.isEmpty, remaining: &remaining)
        }
        let calls = groups.map { linearCall(x, $0.weights, y, bias: nil, accumulate: false) }
        calls.withUnsafeBufferPointer { runLinearTasks($0.baseAddress!, x, into: y) }
    }

    /// The planned tasks, of these calls, as one section.
    private func runLinearTasks(_ calls: UnsafePointer<LinearCall>, _ x: PreparedRows, into y: Rows) {
        let kernel = linearKernel(x.format), adapters = x.adapters
        linearTasks.withUnsafeBufferPointer { tasks in
            section(tasks.count) { index, scratch in
                let task = tasks[index]
                kernel(calls + task.call, task.firstRow, task.rows, task.firstPanel, task.panels, scratch)
                if adapters.isEmpty { return }
                let first = task.firstPanel * KernelPanelOutputs
                adapters.expand(
                    rows: task.firstRow..<task.firstRow + task.rows, columns: first..<min(first + task.panels * KernelPanelOutputs, y.columns),
                    into: y, table)
            }
        }
    }

    private func linearKernel(_ format: WeightFormat) -> LinearKernel {
        switch format {
        case .f32: table.pointee.linearF32
        case .bf16: table.pointee.linearBF16
        case .int8: table.pointee.linearInt8
        case .int4: table.pointee.linearInt4
        }
    }

    private func linearCall(
        _ x: PreparedRows, _ w: PackedMatrix, _ y: Rows, bias: UnsafePointer<Float>?, accumulate: Bool
    ) -> LinearCall {
        precondition(x.format == w.format, "rows prepared for \(x.format) meet weights in \(w.format)")
        precondition(x.columns == w.inputs, "rows of \(x.columns) columns meet weights of \(w.inputs) inputs")
        precondition(y.count == x.count && y.columns == w.outputs)
        return LinearCall(
            x: x.values, xRows: x.count, inputs: w.inputs, weights: w.memory,
            outputs: w.outputs, y: y.base, yStride: y.stride, bias: bias, accumulate: accumulate ? 1 : 0)
    }

    /// Appends the tasks of one matrix. `remaining` is the work of the section, in multiplications, that is not planned yet.
    ///
    /// A task is a run of panels, because a kernel fetches the next panels while it computes on these, and only within its task. Runs shrink as the
    /// section goes on (guided self-scheduling, Polychronopoulos and Kuck 1987), so that the threads end together. Where adapters add to
    /// the result, a task's part of y stays within the second-level cache.
    private func plan(call: Int, rows: Range<Int>, _ w: PackedMatrix, adapted: Bool, remaining: inout Int) {
        guard !rows.isEmpty else { return }
        let least = 128 << 10  // multiplications below which a task is not worth handing over
        let cachedValues = 64 << 10  // of y
        let quads = (w.panels + 3) / 4
        var rowsPerTask = min(rows.count, KernelLinearRows)
        if quads < 8 * threads, remaining / least >= threads {
            // Few panels, many rows: cut rows too, into multiples of the kernels' row blocks.
            let cuts = (8 * threads + quads - 1) / quads
            rowsPerTask = min(rowsPerTask, max(24, (rows.count / cuts + 23) / 24 * 24))
        }
        for firstRow in stride(from: rows.lowerBound, to: rows.upperBound, by: rowsPerTask) {
            let count = min(rowsPerTask, rows.upperBound - firstRow)
            let quadValues = count * 4 * KernelPanelOutputs, quadWork = quadValues * w.inputs
            let most = adapted ? max(1, cachedValues / quadValues) : quads
            var quad = 0
            while quad < quads {
                let wanted = max(least, remaining / (2 * threads))
                let run = min(quads - quad, most, max(1, wanted / quadWork))
                linearTasks.append(LinearTask(
                    call: call, firstRow: firstRow, rows: count, firstPanel: quad * 4, panels: min(run * 4, w.panels - quad * 4)))
                quad += run
                remaining -= run * quadWork
            }
        }
    }
}
