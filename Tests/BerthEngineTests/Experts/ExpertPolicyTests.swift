import BerthCore
import Testing

@testable import BerthEngine

@Suite struct ExpertPolicyTests {
    static let rules: [ExpertScoring] = [.lru, .lruLayered, .decayed(halfLife: 2), .decayed(halfLife: 16)]

    /// Random requests come, run rows through random experts and go; residents come and go, some held. Whatever leaves is what the definition says.
    @Test(arguments: rules, 1...6) func victimsAreThoseOfTheDefinition(_ scoring: ExpertScoring, seed: Int) {
        var random = RandomSource(seed: UInt64(seed))
        let (layers, experts) = (Int.random(in: 1...4, using: &random), Int.random(in: 4...9, using: &random))
        let policy = ExpertPolicy(shape: ExpertShape(layers: layers, experts: experts), kind: .fixed(scoring), capacity: layers * experts / 2)
        var naive = NaivePolicy(scoring, layers: layers, experts: experts)
        var resident: Set<ExpertKey> = []
        // A slot is not used twice here, so that the definition can tell the requests apart.
        var (running, nextSlot) = ([0], 1)
        for step in 1...40 {
            policy.beginStep()
            (naive.step, naive.layer) = (step, -1)
            if seed % 2 == 0 { announce(policy, &naive, &random) }
            for layer in 0..<layers {
                let slots = (0..<Int.random(in: 1...6, using: &random)).map { _ in Int32(running.randomElement(using: &random)!) }
                let chosen = slots.map { _ in Array((0..<experts).shuffled(using: &random).prefix(2)) }
                policy.noteUse(layer: layer, choices: chosen.flatMap { $0.map(Int32.init) }, slots: slots)
                (naive.turn, naive.layer) = (naive.turn + 1, layer)
                for (slot, experts) in zip(slots, chosen) { naive.rows[layer].append(.init(slot: Int(slot), step: step, turn: naive.turn, experts: experts)) }

                let now = Set(chosen.joined()).map { ExpertKey(layer: layer, expert: $0) }
                for key in now { policy.hold(key) }
                for key in now.sorted(by: { $0.expert < $1.expert }) where resident.insert(key).inserted {
                    policy.becameResident(key)
                    guard resident.count > policy.capacity, let victim = policy.victim() else { continue }
                    let candidates = resident.subtracting(now)
                    let worst = candidates.map { naive.badness((Int($0.layer), Int($0.expert))) }.max()!
                    let its = naive.badness((Int(victim.layer), Int(victim.expert)))
                    #expect(candidates.contains(victim) && abs(its - worst) <= 1e-4 * max(1, abs(worst)), "seed \(seed), step \(step), layer \(layer): \(victim) has \(its), not \(worst)")
                    policy.left(victim)
                    resident.remove(victim)
                }
                for key in now { policy.release(key) }
            }
            if step % 7 == 0, let gone = running.first {
                policy.requestEnded(gone)
                naive.ended.insert(gone)
                running.removeFirst()
            }
            if running.isEmpty || step % 5 == 0 {
                running.append(nextSlot)
                nextSlot += 1
            }
        }
        #expect(policy.residentCount == resident.count)
    }

    private func announce(_ policy: ExpertPolicy, _ naive: inout NaivePolicy, _ random: inout RandomSource) {
        let (ahead, layer) = (Int.random(in: 0...5, using: &random), Int.random(in: 0..<naive.layers, using: &random))
        let experts = Array((0..<naive.experts).shuffled(using: &random).prefix(2))
        policy.expect(layer: layer, experts: experts, inSteps: ahead)
        for expert in experts { naive.expected[layer].append((naive.step + ahead, expert)) }
        guard naive.step % 6 == 0 else { return }
        policy.expectNothingElse(forSteps: 2)
        naive.horizon = naive.step + 2
    }

    /// What a request wanted counts for nothing once it is gone, even when it wanted it always.
    @Test func historyLeavesWithItsRequest() {
        let policy = ExpertPolicy(shape: ExpertShape(layers: 1, experts: 4), kind: .fixed(.decayed(halfLife: 4)), capacity: 4)
        for expert in 0..<4 { policy.becameResident(ExpertKey(layer: 0, expert: expert)) }
        for _ in 0..<20 {
            policy.beginStep()
            policy.noteUse(layer: 0, choices: [0, 1, 2, 3], slots: [7, 7, 8, 8])
        }
        policy.beginStep()
        policy.noteUse(layer: 0, choices: [0, 1], slots: [7])
        #expect(policy.chance(of: ExpertKey(layer: 0, expert: 0)) > 0.4)
        policy.requestEnded(7)
        #expect(policy.chance(of: ExpertKey(layer: 0, expert: 0)) < 0.1)
        #expect(policy.chance(of: ExpertKey(layer: 0, expert: 2)) > 0.4)
        #expect([0, 1].contains(policy.victim()?.expert))
    }

    /// Of experts that were all used in the same pass, the one whose layer comes round last leaves.
    @Test func tiesGoToTheLayerThatComesRoundLast() {
        for scoring in [ExpertScoring.lruLayered, .decayed(halfLife: 4)] {
            let policy = ExpertPolicy(shape: ExpertShape(layers: 4, experts: 2), kind: .fixed(scoring), capacity: 4)
            policy.beginStep()
            for layer in 0..<4 {
                policy.noteUse(layer: layer, choices: [0], slots: [0])
                policy.becameResident(ExpertKey(layer: layer, expert: 0))
            }
            policy.beginStep()
            for layer in 0..<2 { policy.noteUse(layer: layer, choices: [0], slots: [0]) }
            policy.hold(ExpertKey(layer: 1, expert: 0))
            // Layers 2 and 3 are equally stale; layer 2 comes next.
            #expect(policy.victim() == ExpertKey(layer: 3, expert: 0), "\(scoring)")
            policy.release(ExpertKey(layer: 1, expert: 0))
        }
    }

    /// Where layers differ, what SRP and SCH measure pays: consistent layers keep more of a small cache, and less of a large one.
    @Test func steeringPaysWhereLayersDiffer() {
        let trace = TraceShape.mixed.trace(steps: 600, layers: 8, experts: 24, chosen: 3, seed: 4)
        func rate(_ kind: ExpertPolicy.Kind, _ share: Double) -> Double { trace.hitRate(kind, capacity: Int(8 * 24 * share)) }
        let plain = ExpertPolicy.Kind.fixed(.decayed(halfLife: 4))
        #expect(rate(.fixed(.consistent(halfLife: 4)), 0.125) > rate(plain, 0.125) + 0.003, "\(rate(.fixed(.consistent(halfLife: 4)), 0.125)) against \(rate(plain, 0.125))")
        #expect(rate(.fixed(.marginal(halfLife: 4)), 0.75) > rate(plain, 0.75) + 0.01, "\(rate(.fixed(.marginal(halfLife: 4)), 0.75)) against \(rate(plain, 0.75))")
        #expect(rate(.adaptive, 0.75) > rate(plain, 0.75) + 0.005)
    }

    /// Many short requests that like the same experts: what is popular stays, though nobody who wanted it is left.
    @Test func popularityOutlivesShortRequests() {
        let trace = TraceShape.popular.trace(steps: 400, layers: 3, experts: 24, chosen: 3, seed: 6)
        let plain = trace.hitRate(.fixed(.decayed(halfLife: 4)), capacity: 36, requestSteps: 5)
        let popular = trace.hitRate(.fixed(.popular(halfLife: 4)), capacity: 36, requestSteps: 5)
        #expect(popular > plain + 0.005, "\(popular) against \(plain)")
        #expect(trace.hitRate(.adaptive, capacity: 36, requestSteps: 5) > plain + 0.005)
    }

    /// A paused request's counts do not count; when it returns, what it used is certain.
    @Test func pausedRequestsAreRemembered() {
        let policy = ExpertPolicy(shape: ExpertShape(layers: 1, experts: 8), kind: .fixed(.decayed(halfLife: 4)), capacity: 8)
        let keys = RoutingProfileKey.keys(adapter: AdapterName("one"), tenant: .daemon, prompt: [1, 2])
        policy.requestBegan(3, keys)
        for expert in 0..<6 { policy.becameResident(ExpertKey(layer: 0, expert: expert)) }
        for _ in 0..<20 {
            policy.beginStep()
            policy.noteUse(layer: 0, choices: [0, 7], slots: [3])
        }
        #expect(policy.chance(of: ExpertKey(layer: 0, expert: 0)) > 0.4)
        #expect(policy.overlap(slot: 3, keys) == 0.5 && policy.overlap(slot: nil, keys) == 0.5)
        policy.requestPaused(3)
        #expect(policy.chance(of: ExpertKey(layer: 0, expert: 0)) < 0.1)
        #expect(policy.absentees(4, leastChance: 0.5).isEmpty)
        policy.requestReturns(3)
        #expect(policy.chance(of: ExpertKey(layer: 0, expert: 0)) == 1)
        #expect(policy.absentees(4, leastChance: 0.5).map(\.key) == [ExpertKey(layer: 0, expert: 7)])
        policy.requestEnded(3)
        // Others of its adapter are expected to be like it, for as long as the profile is kept.
        #expect(policy.overlap(slot: 3, keys) == 0.5)
    }

    /// Whatever the routing looks like, the rule that the shadow caches put in charge loses no more than half a point to recency.
    @Test(arguments: TraceShape.allCases) func adaptiveIsNeverFarBelowRecency(_ shape: TraceShape) {
        let trace = shape.trace(steps: 400, layers: 3, experts: 24, chosen: 3, seed: 5)
        for capacity in [6, 12, 24, 36, 60] {
            let recency = trace.hitRate(.fixed(.lru), capacity: capacity)
            let adaptive = trace.hitRate(.adaptive, capacity: capacity)
            #expect(adaptive >= recency - 0.005, "\(shape), \(capacity) experts: \(adaptive) against \(recency)")
        }
    }
}
