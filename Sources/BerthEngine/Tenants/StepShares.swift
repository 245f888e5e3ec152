// Whose a step's time was.

/// The rows of one step by the accounts that they are booked on, from when it is planned until its time is known.
struct StepShares {
    private var parts: [(account: UseAccount, load: StepLoad)] = []
    private var rows = 0

    mutating func plan(_ plan: StepPlan) {
        clear()
        for scheduled in plan.rows {
            parts.append((scheduled.request.account, StepLoad().adding(rows: scheduled.count, after: scheduled.request.computed)))
        }
        rows = plan.tokenCount
    }

    mutating func clear() {
        parts.removeAll(keepingCapacity: true)
        rows = 0
    }

    /// Books the time: what every step takes goes by rows, the rest by what each sequence costs.
    mutating func book(nanoseconds: Double, _ times: StepTimeModel) {
        defer { clear() }
        guard nanoseconds > 0, rows > 0 else { return }
        if let account = parts.first?.account, parts.allSatisfy({ $0.account === account }) {
            account.use.computeSeconds += nanoseconds * 1e-9
            return
        }
        let prices = times.prices(near: StepTimeModel.sizeClass(rows))
        let fixed = prices.nanoseconds(of: StepLoad())
        var costs = parts.map { prices.nanoseconds(of: $0.load) - fixed + fixed * Double($0.load.rows) / Double(rows) }
        var sum = costs.reduce(0, +)
        if sum <= 0 {
            costs = parts.map { Double($0.load.rows) }
            sum = Double(rows)
        }
        for (part, cost) in zip(parts, costs) { part.account.use.computeSeconds += nanoseconds * 1e-9 * cost / sum }
    }
}
