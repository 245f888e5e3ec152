// The cost model: tables, sums, files.

import BerthCore
import Testing

@testable import BerthSimulator

@Suite struct StepCostsTests {
    /// Between its points a table is in proportion, and beyond the last it goes on as before.
    @Test func tablesAreReadBetweenTheirPoints() {
        let table = CostTable([.init(rows: 1, nanoseconds: 100), .init(rows: 4, nanoseconds: 160), .init(rows: 8, nanoseconds: 400)])
        #expect([1, 2, 4, 6, 8, 10].map(table.nanoseconds(rows:)) == [100, 120, 160, 280, 400, 520])
        #expect(CostTable([.init(rows: 3, nanoseconds: 7)]).nanoseconds(rows: 900) == 7)
    }

    /// Measurements that tremble make a table that does not fall, with the same sum.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func smoothedTablesDoNotFall(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let measured = (1...12).map { CostTable.Point(rows: $0, nanoseconds: 10 * Double($0) + 80 * random.unit()) }
        let smooth = CostTable(smoothing: measured).points
        #expect(zip(smooth, smooth.dropFirst()).allSatisfy { $0.nanoseconds <= $1.nanoseconds }, "seed \(seed)")
        let (before, after) = (measured.reduce(0) { $0 + $1.nanoseconds }, smooth.reduce(0) { $0 + $1.nanoseconds })
        #expect(abs(before - after) < 1e-6 * before, "seed \(seed)")
        #expect(CostTable(smoothing: smooth).points == smooth, "seed \(seed)")
    }

    /// More to do never takes less.
    @Test func moreWorkTakesLonger() {
        let costs = StepCosts()
        var work = StepWork()
        var before = 0.0
        for count in [1, 1, 40, 1, 200] {
            work.add(rows: count, after: 50, logitRows: 1, hasAdapter: count == 40)
            let now = costs.nanoseconds(of: work)
            #expect(now > before)
            before = now
        }
    }

    /// A pace is read between its points by octaves, holds beyond its ends, and lengthens whole steps.
    @Test func stepsTakeAsMuchLongerAsThePaceSays() {
        let pace = Pace([.init(rows: 2, factor: 1), .init(rows: 8, factor: 2), .init(rows: 16, factor: 1.5)])
        #expect([1, 2, 4, 8, 16, 99].map(pace.factor(rows:)) == [1, 1, 1.5, 2, 1.5, 1.5] && Pace().factor(rows: 7) == 1)
        var costs = StepCosts(), work = StepWork()
        work.add(rows: 8, after: 50, logitRows: 1, hasAdapter: true)
        let cost = costs.nanoseconds(of: work)
        costs.pace = pace
        #expect(costs.nanoseconds(of: work) == 2 * cost)
    }

    @Test func costsAreReadBack() throws {
        var costs = StepCosts()
        costs.passes = CostTable([.init(rows: 1, nanoseconds: 100), .init(rows: 5, nanoseconds: 160)])
        (costs.logits, costs.attendedByStream, costs.step) = (CostTable([.init(rows: 2, nanoseconds: 3)]), 17, 5)
        #expect(try StepCosts(json: JSON(parsing: costs.json.text)) == costs)
    }

    @Test(arguments: [
        "[]", #"{"row": 1}"#, #"{"step": -1}"#, #"{"step": "1"}"#, #"{"passes": []}"#, #"{"unit": "seconds"}"#,
        #"{"passes": [{"rows": 2, "nanoseconds": 1}, {"rows": 2, "nanoseconds": 3}]}"#, #"{"passes": [{"rows": 0, "nanoseconds": 1}]}"#,
        #"{"logits": [{"rows": 1, "nanoseconds": 4}, {"rows": 2, "nanoseconds": 3}]}"#,
    ]) func badCostsAreRefused(text: String) throws {
        #expect(throws: StepCostsError.self) { try StepCosts(json: JSON(parsing: text)) }
    }
}
