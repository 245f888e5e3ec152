// `--memory` while the daemon runs: administrators and reloads move it, the control group bounds it, and pressure makes the pool give way.
//
// The fixed parts of the plan stay, the pool takes the difference. Everything happens on one queue; the engine is told and answers between two steps, and
// the books here follow its answer. What the kernel says is read here, once a second: neither the loop nor the engine waits for a file.

import BerthCore
import BerthEngine
import BerthHTTP
import BerthMemory
import Dispatch
import Logging
import Synchronization

/// What moves `--memory`.
public protocol MemoryService: Sendable {
    func status(reply: @escaping @Sendable (MemoryStatus) -> Void)
    /// Moves the limit, or says why it cannot be moved and what the least is.
    func setLimit(_ size: ByteSize, reply: @escaping @Sendable (Result<MemoryStatus, APIError>) -> Void)
    /// A reload has read the configuration: where its `--memory` is another than it was, that is what is wanted now.
    func configure(_ size: ByteSize?)
    /// Looks at what the kernel says. Call it once a second.
    func look()
}

/// Thread-safe: everything is done on its queue.
final class MemoryGovernor: MemoryService {
    private struct State {
        var budget: MemoryBudget
        var wanted: ByteSize
        /// What the configuration said last.
        var configured: ByteSize?
        var groupLimit: Int?
        var policy = PressurePolicy()
        /// What the engine was told last, in the policy's steps, and what it has made of it.
        var toldSteps = 0
        var withheldPages = 0
        /// A bound that was too low, so that it is said once.
        var impossible: Int?
        var isMoving = false
    }

    private let host: EngineHost
    private let group: ControlGroup
    private let openEnded: Shared<Int>
    private let mostPoolBytes: Int
    private let logger: Logger
    private let queue = DispatchQueue(label: "berth.memory")
    private let state: Mutex<State>

    /// - Parameters:
    ///   - configured: what was asked for; `budget` is what came of it.
    ///   - mostPoolBytes: what the pool has addresses for.
    ///   - openEnded: told of every change.
    init(
        host: EngineHost, budget: MemoryBudget, configured: ByteSize?, group: ControlGroup, mostPoolBytes: Int, openEnded: Shared<Int>, logger: Logger
    ) {
        self.host = host
        self.group = group
        self.openEnded = openEnded
        self.mostPoolBytes = mostPoolBytes
        self.logger = logger
        state = Mutex(State(budget: budget, wanted: configured ?? Machine.defaultMemory, configured: configured, groupLimit: group.limit))
    }

    /// What can be had of a limit that is wanted.
    static func bounded(_ wanted: ByteSize, group: Int?, most: Int = .max) -> (size: ByteSize, warning: String?) {
        if let group, group <= min(most, wanted.bytes), group < wanted.bytes {
            return (ByteSize(bytes: group), "the control group allows \(ByteSize(bytes: group)): the limit of \(wanted) is lowered to that")
        }
        guard most < wanted.bytes else { return (wanted, nil) }
        return (ByteSize(bytes: most), "there is no more than \(ByteSize(bytes: most)) to be had: the limit of \(wanted) is lowered to that")
    }

    // MARK: MemoryService

    func status(reply: @escaping @Sendable (MemoryStatus) -> Void) { queue.async { [self] in reply(current) } }

    func setLimit(_ size: ByteSize, reply: @escaping @Sendable (Result<MemoryStatus, APIError>) -> Void) {
        queue.async { [self] in
            let target = target(size)
            move(to: target) { [self] failure in
                if let failure { return reply(.failure(failure)) }
                var status = current
                status.warnings = (target.warning.map { [$0] } ?? []) + status.warnings
                reply(.success(status))
            }
        }
    }

    func configure(_ size: ByteSize?) {
        queue.async { [self] in
            let isNew = state.withLock { state in
                defer { state.configured = size }
                return state.configured != size
            }
            guard isNew else { return }
            move(to: target(size ?? Machine.defaultMemory)) { [logger] failure in
                if let failure { logger.error("the memory limit stays as it is: \(failure.message)") }
            }
        }
    }

    func look() {
        queue.async { [self] in
            followGroup()
            let reading = group.reading
            let (before, policy) = state.withLock { state in
                state.policy.observe(reading, now: EngineHost.monotonicNanoseconds())
                return (state.toldSteps, state.policy)
            }
            // The engine may have lent some of it: it is told again as long as anything is withheld.
            guard before > 0 || policy.withheldSteps > 0 else { return }
            let isAccepted = host.perform(.withhold(parts: policy.withheldSteps, of: PressurePolicy.steps)) { [self] answer in
                if case .pool(let snapshot) = answer { state.withLock { $0.withheldPages = snapshot.withheld } }
            }
            guard isAccepted else { return }
            state.withLock { $0.toldSteps = policy.withheldSteps }
            report(before, policy)
        }
    }

    // MARK: inside, on the queue

    private var most: Int { mostPoolBytes + state.withLock { $0.budget.fixed } }

    private var current: MemoryStatus {
        state.withLock { state in
            var status = MemoryStatus()
            let budget = state.budget
            (status.limit, status.wanted) = (budget.total, state.wanted.bytes)
            (status.least, status.most) = (budget.least.bytes, mostPoolBytes + budget.fixed)
            (status.weights, status.activations, status.process, status.pool) = (budget.weights, budget.scratch, budget.process, budget.pool)
            status.withheld = state.withheldPages * budget.pageBytes
            status.stall = state.policy.stall
            status.groupLimit = state.groupLimit
            status.warnings = budget.warnings
            return status
        }
    }

    /// A limit that is wanted, and what can be had of it.
    private struct Target {
        var wanted: ByteSize
        var size: ByteSize
        var warning: String?
    }

    /// What can be had now.
    private func target(_ wanted: ByteSize) -> Target {
        let limit = group.limit
        state.withLock { $0.groupLimit = limit }
        let (size, warning) = Self.bounded(wanted, group: limit, most: most)
        return Target(wanted: wanted, size: size, warning: warning)
    }

    /// Says what cannot be had, and moves to what can. `completion` runs on the queue.
    private func move(to target: Target, completion: @escaping @Sendable (APIError?) -> Void) {
        if let warning = target.warning { logger.warning("\(warning)") }
        let moved: MemoryBudget
        do {
            moved = try state.withLock { $0.budget }.moved(to: target.size)
        } catch {
            return completion(APIError(.badRequest, "\(error)", parameter: "size", code: "memory_too_small"))
        }
        let isAccepted = host.perform(.setLimit(moved.poolLimit)) { [self] answer in
            queue.async { [self] in
                if case .failed(let failure) = answer {
                    return completion(APIError(.badRequest, "The limit stays as it is: \(failure.message).", parameter: "size", code: "memory_too_small"))
                }
                let before = state.withLock { state in
                    defer { (state.budget, state.wanted, state.impossible) = (moved, target.wanted, nil) }
                    return state.budget
                }
                openEnded.withLock { $0 = moved.openEndedTokens }
                if before.total != moved.total {
                    logger.notice("memory \(ByteSize(bytes: moved.total)) instead of \(ByteSize(bytes: before.total)): the pool has \(ByteSize(bytes: moved.pool)) instead of \(ByteSize(bytes: before.pool))")
                    for warning in moved.warnings { logger.warning("\(warning)") }
                }
                completion(nil)
            }
        }
        if !isAccepted { completion(.unavailable("The engine does not take commands now.", code: "overloaded")) }
    }

    /// The control group's bound may change under the daemon: the limit stays below it, and comes back to what is wanted.
    private func followGroup() {
        let (wanted, total, isMoving, impossible) = state.withLock { ($0.wanted, $0.budget.total, $0.isMoving, $0.impossible) }
        let target = target(wanted)
        guard target.size.bytes != total, !isMoving, impossible != target.size.bytes else { return }
        state.withLock { $0.isMoving = true }
        move(to: target) { [self] failure in
            state.withLock { state in
                state.isMoving = false
                if failure != nil { state.impossible = target.size.bytes }
            }
            if let failure { logger.error("the kernel may end this process: \(failure.message)") }
        }
    }

    private func report(_ before: Int, _ policy: PressurePolicy) {
        guard before != policy.withheldSteps else { return }
        let share = "\(policy.withheldSteps) of \(PressurePolicy.steps) parts of the memory that it had"
        if policy.withheldSteps == 0 {
            logger.notice("memory pressure is over: the pool is whole again")
        } else if policy.withheldSteps > before {
            logger.notice("memory pressure: the pool's caches do without \(share)", metadata: ["stalled": "\(Int(policy.stall * 100)) %"])
        } else {
            logger.info("memory pressure falls: the pool's caches do without \(share)")
        }
    }
}
