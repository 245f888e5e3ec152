// The threads that compute. A *section* is a number of tasks that run concurrently; whoever opens it takes part and returns when
// all tasks are done. Sections follow each other by the hundred in a step, so opening one costs no system call while the
// workers are awake: they look for the next section for a short while, and only then sleep.
//
// How a section runs. The opener writes the job, then publishes (generation, tasks left) in one atomic word. Everyone, the opener too,
// takes tasks by counting that word down with compare-and-swap. A thread that holds a task that is not done keeps the section
// open, so it may read the job; a thread that wakes late finds nothing left, or another generation, and touches nothing. `done`
// counts finished tasks; the opener leaves when it equals the section's.
//
// A machine may be busy with other work, so every wait is bounded: workers sleep on a condition variable, the opener yields its
// processor to whoever holds the task that it waits for.

import BerthCore
import CKernels
import CLinux
import Glibc
import Synchronization

/// Worker threads and the sections they run. The owner opens sections from one thread at a time.
final class ThreadPool {
    /// What a section runs: (task, worker). Worker 0 is the opener.
    typealias Body = (Int, Int) -> Void

    let threads: Int
    private let shared: Shared
    private var workers: [pthread_t] = []

    /// - Parameter threads: how many threads run a section, the opener included.
    init(threads: Int) throws(KernelError) {
        guard (1...Limits.computeThreads).contains(threads) else {
            throw KernelError(code: .threadCount, message: "compute threads must be 1 to \(Limits.computeThreads), not \(threads)")
        }
        self.threads = threads
        shared = Shared()
        for index in 1..<max(threads, 1) {
            var thread = pthread_t()
            let start = Unmanaged.passRetained(WorkerStart(shared: shared, index: index))
            let status = pthread_create(&thread, nil, { argument in
                let start = Unmanaged<WorkerStart>.fromOpaque(argument!).takeRetainedValue()
                linux_name_thread("berth-worker")
                start.shared.work(as: start.index)
                return nil
            }, start.toOpaque())
            guard status == 0 else {
                start.release()
                stop()
                throw KernelError(code: .threadStart, message: "cannot start compute thread \(index): \(String(cString: strerror(status)))")
            }
            workers.append(thread)
        }
    }

    /// Workers that are asleep now; threads − 1 once nothing has run for a while.
    var sleepingWorkers: Int { shared.sleeping }

    deinit { stop() }

    private func stop() {
        shared.stop()
        for worker in workers { pthread_join(worker, nil) }
        workers.removeAll()
    }

    /// Runs `body(task, worker)` for every task in 0..<count and returns when all have run. Tasks are taken in rising order.
    func section(_ count: Int, _ body: Body) {
        precondition(count >= 0 && count <= Int(UInt32.max))
        if count <= 1 || threads == 1 {
            for task in 0..<count { body(task, 0) }
            return
        }
        withoutActuallyEscaping(body) { body in
            withUnsafePointer(to: body) { shared.run($0, count: count, helpers: threads - 1) }
        }
    }
}

private final class WorkerStart: Sendable {
    let shared: Shared
    let index: Int
    init(shared: Shared, index: Int) {
        self.shared = shared
        self.index = index
    }
}

/// What opener and workers share. `job` and `count` are written by the opener while no task is left, and read only by holders of
/// a task; `asleep` and the condition variable are guarded by the mutex; the rest is atomic. That is why it may be shared.
private final class Shared: @unchecked Sendable {
    /// Generation in the upper half, tasks not yet taken in the lower.
    private let state = Atomic<UInt64>(0)
    private let done = Atomic<Int>(0)
    private let sleepers = Atomic<Int>(0)
    private let stopping = Atomic<Bool>(false)
    private var job: UnsafePointer<ThreadPool.Body>?
    private var count = 0
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    /// How long a worker looks for the next section before it sleeps, and the opener for the last task before it yields. A layer of a mixture has
    /// up to half of this on one thread (router, norms, the sums of one row), and waking somebody costs as much again.
    private static let spinNanoseconds: UInt64 = 120_000

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func run(_ body: UnsafePointer<ThreadPool.Body>, count: Int, helpers: Int) {
        job = body
        self.count = count
        done.store(0, ordering: .relaxed)
        let generation = state.load(ordering: .relaxed) >> 32 &+ 1
        state.store(generation << 32 | UInt64(count), ordering: .sequentiallyConsistent)
        if sleepers.load(ordering: .sequentiallyConsistent) > 0 { wake(min(helpers, count - 1)) }
        takeTasks(as: 0)
        // Others may still be inside their last task.
        var waiting = SpinWait(nanoseconds: Self.spinNanoseconds)
        while done.load(ordering: .acquiring) != count {
            if !waiting.spin() { sched_yield() }
        }
    }

    func work(as worker: Int) {
        while true {
            takeTasks(as: worker)
            var waiting = SpinWait(nanoseconds: Self.spinNanoseconds)
            while !hasTasks {
                if stopping.load(ordering: .acquiring) { return }
                if !waiting.spin() {
                    sleep()
                    break
                }
            }
        }
    }

    func stop() {
        stopping.store(true, ordering: .sequentiallyConsistent)
        wake(Int.max)
    }

    var sleeping: Int { sleepers.load(ordering: .relaxed) }

    private var hasTasks: Bool { state.load(ordering: .acquiring) & 0xFFFF_FFFF != 0 }

    private func takeTasks(as worker: Int) {
        var seen = state.load(ordering: .acquiring)
        while seen & 0xFFFF_FFFF != 0 {
            let (taken, now) = state.weakCompareExchange(
                expected: seen, desired: seen - 1, successOrdering: .acquiring, failureOrdering: .acquiring)
            guard taken else {
                seen = now
                continue
            }
            job!.pointee(count - Int(seen & 0xFFFF_FFFF), worker)
            done.wrappingAdd(1, ordering: .releasing)
            seen = state.load(ordering: .acquiring)
        }
    }

    /// Sleeps unless there is work. The count of sleepers rises before the last look at `state`, and the opener publishes before it
    /// looks at the count, so one of them sees the other.
    private func sleep() {
        pthread_mutex_lock(mutex)
        sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
        while state.load(ordering: .sequentiallyConsistent) & 0xFFFF_FFFF == 0, !stopping.load(ordering: .sequentiallyConsistent) {
            pthread_cond_wait(condition, mutex)
        }
        sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        pthread_mutex_unlock(mutex)
    }

    private func wake(_ wanted: Int) {
        pthread_mutex_lock(mutex)
        let asleep = sleepers.load(ordering: .relaxed)
        if wanted >= asleep {
            pthread_cond_broadcast(condition)
        } else {
            for _ in 0..<wanted { pthread_cond_signal(condition) }
        }
        pthread_mutex_unlock(mutex)
    }
}

/// A bounded busy wait.
private struct SpinWait {
    private var turns = 0
    private var deadline: UInt64 = 0
    private let nanoseconds: UInt64

    init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Pauses for a moment; false once the time is over.
    mutating func spin() -> Bool {
        kernel_pause()
        turns += 1
        if turns & 15 != 0 { return true }
        let now = monotonicNanoseconds()
        if deadline == 0 { deadline = now &+ nanoseconds }
        return now < deadline
    }

    private func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
