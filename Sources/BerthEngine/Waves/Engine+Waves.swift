// Waves: begun, advanced piece by piece, ended, and given up where memory is needed at once.

import BerthCore
import BerthMemory
import BerthModels

extension Engine {
    var hasWaveWork: Bool { !waves.isStalled && (waves.current != nil || !bulk.isEmpty) }

    /// As many as have a row of logits in every wave.
    var mostWaveRequests: Int {
        let share = pool.pageCount * pool.pageBytes / Self.waveMemoryShare
        return max(1, min(Limits.waveRequests, configuration.waveSizes?.rows ?? .max, share / (4 * model.vocabularySize * MemoryLayout<Float>.stride)))
    }

    /// Waves' rows take at most this part of the pool.
    private static let waveMemoryShare = 8
    private static let waveRows = [4096, 2048, 1024, 512]
    private static let wavePartRows = WaveParts.sizes[0]

    /// Computes the next piece of the wave, or begins one.
    func advanceWave() {
        if waves.current == nil {
            guard beginWave() else {
                waves.isStalled = !bulk.isEmpty
                return
            }
        }
        guard let wave = waves.current else { return }
        experts?.enter(.wave)
        experts?.besideStreams(!running.isEmpty && !isStalled)
        waves.pace.beginPiece(now: now)
        waves.elapsed += waves.pace.takeLastPiece()
        experts?.readOn()
        if wave.pass.advance() { return }
        endWave(wave)
    }

    private func beginWave() -> Bool {
        guard grow(\.bulk), !bulk.isEmpty else { return false }
        var plan = StepPlan()
        if prepareWaveMemory() {
            // The pool may have been larger when they were let in.
            let most = wavePrompts(Array(bulk.requests.prefix(waves.size.logitRows)))
            plan.fill(from: most, prompts: promptOrder(of: most, .bulk) { $0 }, tokenBudget: scheduledRows(most), logitBudget: waves.size.logitRows, pacer: nil)
        }
        let isOrdinary = waves.memory == nil
        if isOrdinary {
            // No room for rows of their own: they run as others do, as many as an ordinary step takes.
            let few = Array(bulk.requests.prefix(configuration.runningRequests))
            plan.fill(from: few, prompts: promptOrder(of: few, .bulk), tokenBudget: configuration.stepTokens, logitBudget: configuration.stepLogits, pacer: nil)
        }
        guard !plan.rows.isEmpty else { return false }
        var batch = Batch()
        plan.fill(&batch)
        registry.step = counters.steps
        experts?.enter(.wave)
        experts?.beginStep(plan.rows.map { ($0.request.request, $0.count) })
        (waves.elapsed, waves.waited) = (0, experts?.supply.reader.account.waitedNanoseconds ?? 0)
        var size = waves.size
        if configuration.waveSizes?.partRows == nil, running.isEmpty { size.partRows = waves.parts.next(rows: plan.tokenCount, most: size.partRows) }
        size.partRows = waves.pace.partRows(most: size.partRows, besideStreams: !running.isEmpty)
        waves.partRows = size.partRows
        let pass: any InterruptiblePass = isOrdinary ? WholePass(model, batch) : model.beginWave(batch, size, in: waves.base!)
        waveShares.plan(plan)
        waves.foreseen = waves.planner.foresee(plan.load, requests: bulk.count, waves.situation)
        waves.current = PassUnderWay(plan, pass)
        return true
    }

    private func endWave(_ wave: PassUnderWay) {
        waves.current = nil
        counters.waves += 1
        settle(wave.plan, wave.pass.logits!)
        let waited = (experts?.supply.reader.account.waitedNanoseconds ?? 0) - waves.waited
        if waves.elapsed > waited { learn(wave.plan.load, computing: waves.elapsed - waited) }
        waveShares.book(nanoseconds: Double(waves.elapsed), waves.planner.times)
        waves.measured = (wave.plan.rows.count, wave.plan.tokenCount, waves.foreseen, waves.elapsed)
        waves.sums.foreseen += waves.foreseen
        waves.sums.measured += Double(waves.elapsed)
        for request in wave.departed { free(request) }
        bulk.removeFinished()
        giveUpWaveMemory()
    }

    private func learn(_ load: StepLoad, computing: UInt64) {
        let foreseen = waves.planner.times.nanoseconds(of: load)
        if foreseen > 0 { waves.parts.observe(waves.partRows, rows: load.rows, share: Double(computing) / foreseen) }
        waves.planner.observe(load, computing: computing)
    }

    /// The rows of the wave are lost and will be computed again: somebody needs the pages at once.
    func abandonWave() {
        let departed = waves.current.take()?.departed ?? []
        counters.abandonedWaves += 1
        experts?.abandonWave()
        for request in departed { free(request) }
        bulk.removeFinished()
    }

    // MARK: memory

    /// Memory for the rows of a wave: more of it than ordinary steps have, as long as the pool is not too small. False where there is none.
    private func prepareWaveMemory() -> Bool {
        if waves.memory != nil {
            if waves.size.logitRows == mostWaveRequests { return true }
            // The pool's limit has moved since.
            dropWaveMemory()
        }
        for rows in configuration.waveSizes?.rows.map({ [$0] }) ?? Self.waveRows where rows >= mostWaveRequests {
            let size = WaveSize(rows: rows, logitRows: mostWaveRequests, partRows: min(rows, configuration.waveSizes?.partRows ?? Self.wavePartRows))
            guard let bytes = model.waveBytes(size) else { return false }
            guard bytes <= pool.pageCount * pool.pageBytes / Self.waveMemoryShare else { continue }
            let pages = max(1, (bytes + pool.pageBytes - 1) / pool.pageBytes)
            guard economy.makeRoom(pages, for: .activation), let lease = pool.reserve(pages, for: .activation) else { continue }
            do {
                waves.base = try pool.window(of: lease)
            } catch {
                pool.release(lease)
                return false
            }
            pool.publish(lease)
            waves.memory = consume lease
            waves.size = size
            return true
        }
        return false
    }

    /// Where nobody is left who would use it.
    func giveUpWaveMemory() {
        if waves.memory != nil, waves.current == nil, bulk.isEmpty, !waiting.requests.contains(where: \.isBulk) { dropWaveMemory() }
    }

    /// Somebody needs the pages more: the next wave asks for some again.
    func dropWaveMemory() {
        if waves.current != nil { abandonWave() }
        waves.base = nil
        if let lease = waves.memory.take() { pool.release(lease) }
    }
}
