// The answer to a question of capacity, as a table, JSON or a drawing.

import BerthCore
import BerthSimulator

struct CapacityReport {
    let plan: CapacityPlan
    let answers: [CapacityAnswer]
    /// Bytes of memory that cost as much as a machine without memory.
    let machinePrice: Int
    /// Of the cheapest answer.
    var gains: [CapacityGain] = []

    /// In the price of a GiB of memory; nil where no number of machines does.
    func price(_ answer: CapacityAnswer) -> Double? { answer.machines.map { Double($0) * Double(machinePrice + answer.offer.memory) / 0x1p30 } }

    /// Of several that cost the same, the one with fewer machines, then the one with the slower disk.
    private func cheapest(among answers: [CapacityAnswer]) -> CapacityAnswer? {
        func key(_ answer: CapacityAnswer) -> (Double, Int, Double) { (price(answer)!, answer.machines!, answer.offer.disk) }
        return answers.filter { $0.machines != nil }.min { key($0) < key($1) }
    }

    var cheapest: CapacityAnswer? { cheapest(among: answers) }

    /// Answers that differ in nothing but the memory, and what they have in common.
    var lines: [(name: String, answers: [CapacityAnswer])] {
        var lines: [(name: String, answers: [CapacityAnswer])] = []
        for answer in answers {
            let name = "\(diskText(answer)) GB/s, \(way(answer))"
            if let index = lines.firstIndex(where: { $0.name == name }) { lines[index].answers.append(answer) } else { lines.append((name, [answer])) }
        }
        return lines
    }

    private var isMixture: Bool { plan.question.shape.experts != nil }
    private func way(_ answer: CapacityAnswer) -> String { isMixture ? "consistency \(fixed(answer.offer.consistency, 2))" : answer.offer.router.rawValue }
    private func diskText(_ answer: CapacityAnswer) -> String { fixed(answer.offer.disk / 1e9, answer.offer.disk < 1e9 ? 2 : 1) }
    private func gib(_ bytes: Int) -> String { fixed(Double(bytes) / 0x1p30, bytes < 16 << 30 ? 1 : 0) }
    private func rate(_ rate: Double) -> String { rate.isFinite ? fixed(rate, rate < 1 ? 3 : 2) : "-" }
    private func per(_ part: Double, _ whole: Double) -> String { fixed(100 * part / max(whole, 1e-12), 0) }

    // MARK: text

    var text: String { (head + ["", table.text] + notes).joined(separator: "\n") }

    private var head: [String] {
        let question = plan.question, shape = question.shape, objective = question.objective
        var lines = ["\(plan.name): \(giga(shape.allWeights))G weights, \(giga(shape.activeWeights))G of them active, \(shape.format.rawValue)"]
        if let experts = shape.experts {
            lines[0] += "; \(experts.layers) layers of \(experts.count) experts, \(experts.chosen) for a token, \(ByteSize(bytes: Int(experts.weights * shape.bytesPerWeight))) each"
        }
        lines.append(
            "load: \(rate(question.rate)) requests/s of \(question.tenants) tenants"
                + (question.adapters > 0 ? ", \(question.adapters) adapters of rank \(question.rank) (\(ByteSize(bytes: Int(shape.adapterBytes(rank: question.rank)))) each), Zipf \(fixed(question.zipf, 2))" : ""))
        lines.append(
            "objective: first token within \(fixed(objective.firstToken, 2)) s for \(fixed(objective.requests * 100, 0)) % of requests, "
                + "the next one within \(fixed(objective.gap, 2)) s for \(fixed(objective.tokens * 100, 0)) % of tokens")
        lines.append("costs: \(plan.extrapolation ?? "measured on this model")")
        lines.append(
            "search: rates to \(fixed(question.tolerance * 100, 0)) %, \(question.played) requests a trial, seed \(question.seed); up to \(CapacitySearch.mostPlayed) machines are all played, "
                + "of more the one with most adapters" + (isMixture ? "; a few layers stand for all" : ""))
        for memory in plan.tooSmall { lines.append("\(memory) is too little for this model") }
        return lines
    }

    private var table: TextTable {
        let objective = plan.question.objective
        var table = TextTable([
            "memory, GiB", "disk, GB/s", isMixture ? "routing" : "router", "pool, GiB", "bounds, req/s: arithmetic", "weights", "disk", "carried, req/s", "machines", "price",
            "in time, %: first", "next", "busy, %: arithmetic", "weights", "disk", "pool",
        ])
        let best = lines.compactMap { cheapest(among: $0.answers) }
        for answer in answers {
            let isBest = best.contains { $0.offer == answer.offer }, use = answer.use, isCarried = answer.rate > 0
            let bounds = answer.bounds
            table.append([
                gib(answer.offer.memory), diskText(answer), way(answer), gib(answer.offer.layout.bytes), rate(bounds.arithmetic), rate(bounds.weights), rate(bounds.disk),
                isCarried ? rate(answer.rate) : "none", answer.machines.map(String.init) ?? "none", price(answer).map { fixed($0, 0) + (isBest ? "*" : "") } ?? "-",
            ] + (isCarried
                ? [
                    fixed(100 * answer.outcome.firstToken.share(within: objective.firstToken), 1), fixed(100 * answer.outcome.gap.share(within: objective.gap), 1),
                    per(use.computeSeconds - use.weightSeconds, use.seconds), per(use.weightSeconds, use.seconds), per(use.diskSeconds, use.seconds), fixed(100 * answer.heldPart, 0),
                ] : Array(repeating: "-", count: 6)))
        }
        return table
    }

    private var notes: [String] {
        var notes = ["", "price: machines × (\(gib(machinePrice)) + memory), in GiB of memory; * is the least of its disk and \(isMixture ? "routing" : "router")"]
        guard let cheapest else { return notes + ["no number of these machines carries the load within the objective"] }
        notes.append("cheapest: \(cheapest.machines!) machine\(cheapest.machines! == 1 ? "" : "s") of \(gib(cheapest.offer.memory)) GiB with \(lineName(cheapest)); \(cheapest.played == cheapest.machines! ? "all of them were played" : "one of them was played")")
        let most = gains.max { $0.factor < $1.factor }
        for gain in gains { notes.append("    twice the \(gain.resource.rawValue): ×\(fixed(gain.factor, 2)) of the rate") }
        if let most { notes.append(most.factor > 1 + 2 * plan.question.tolerance ? "    it is bound by \(most.resource.rawValue)" : "    it is bound by the objective: nothing by itself helps") }
        return notes
    }

    private func lineName(_ answer: CapacityAnswer) -> String { "a disk of \(diskText(answer)) GB/s, \(way(answer))" }

    // MARK: JSON

    var json: JSON {
        func number(_ value: Double) -> JSON { value.isFinite ? .number(value) : .null }
        let question = plan.question
        let entries: [JSON] = answers.map { answer in
            [
                "memoryBytes": JSON(answer.offer.memory), "poolBytes": JSON(answer.offer.layout.bytes), "diskBytesPerSecond": .number(answer.offer.disk),
                "router": .string(answer.offer.router.rawValue), "consistency": isMixture ? .number(answer.offer.consistency) : .null,
                "bounds": ["arithmetic": number(answer.bounds.arithmetic), "weights": number(answer.bounds.weights), "disk": number(answer.bounds.disk)],
                "requestsPerSecond": .number(answer.rate), "answeredPerSecond": .number(answer.requestsPerSecond), "machines": answer.machines.map { JSON($0) } ?? .null,
                "played": JSON(answer.played), "price": price(answer).map { .number($0) } ?? .null,
                "firstTokenInTime": .number(answer.outcome.firstToken.share(within: question.objective.firstToken)),
                "gapInTime": .number(answer.outcome.gap.share(within: question.objective.gap)),
                "busy": [
                    "seconds": .number(answer.use.seconds), "computeSeconds": .number(answer.use.computeSeconds), "weightSeconds": .number(answer.use.weightSeconds),
                    "diskSeconds": .number(answer.use.diskSeconds), "poolHeld": .number(answer.heldPart),
                ],
            ]
        }
        return [
            "question": .string(plan.name), "seed": .string(String(question.seed)), "tolerance": .number(question.tolerance), "wantedRequestsPerSecond": .number(question.rate),
            "costs": .string(plan.extrapolation ?? "measured"), "isExtrapolated": .bool(plan.extrapolation != nil), "answers": .array(entries),
            "cheapest": cheapest.flatMap { best in answers.firstIndex { $0.offer == best.offer }.map { JSON($0) } } ?? .null,
            "gains": .array(gains.map { ["twice": .string($0.resource.rawValue), "factor": .number($0.factor)] }),
        ]
    }

    // MARK: drawing

    /// Machines, and what one carries, over the memory of one; a line for each disk and router or consistency.
    var svg: String {
        let most = Double(answers.map(\.offer.memory).max() ?? 1) / 0x1p30
        let memory = LinePlot.Axis(name: "GiB of memory" + (plan.extrapolation == nil ? "" : " (costs are extrapolated)"), most: most) { fixed($0, most < 10 ? 1 : 0) }
        func plot(_ name: String, _ decimals: Int, _ value: (CapacityAnswer) -> Double?) -> LinePlot {
            LinePlot(
                x: memory, y: .init(name: name, most: max(answers.compactMap(value).max() ?? 0, 1e-9)) { fixed($0, decimals) },
                lines: lines.map { line in .init(name: line.name, points: line.answers.compactMap { answer in value(answer).map { (Double(answer.offer.memory) / 0x1p30, $0) } }) })
        }
        return LinePlot.column([
            plot("machines for \(rate(plan.question.rate)) requests/s", 1) { $0.machines.map(Double.init) },
            plot("requests/s that one carries", 3) { $0.rate > 0 ? $0.rate : nil },
        ])
    }
}
