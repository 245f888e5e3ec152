// Work that takes longer than the loop may pause: run on libuv's thread pool, completed on the loop.

import CUV

extension Loop {
    /// Runs `work` on a pool thread, then `completion` on the loop with its result. `completion` always runs.
    public func queueWork<Result: Sendable>(_ work: @escaping @Sendable () -> Result, completion: @escaping (Result) -> Void) {
        let item = WorkItem(work: work, completion: completion)
        let request = UnsafeMutablePointer<uv_work_t>.allocate(capacity: 1)
        request.pointee.data = Unmanaged<AnyWorkItem>.passRetained(item).toOpaque()
        let code = uv_queue_work(raw, request, { request in
            Unmanaged<AnyWorkItem>.fromOpaque(request!.pointee.data).takeUnretainedValue().execute()
        }, { request, _ in
            let item = Unmanaged<AnyWorkItem>.fromOpaque(request!.pointee.data).takeRetainedValue()
            request!.deallocate()
            item.complete()
        })
        precondition(code == 0, "uv_queue_work refuses nothing but a missing callback")
    }
}

private class AnyWorkItem {
    func execute() {}
    func complete() {}
}

/// Goes to a pool thread and back; libuv's queue orders the two, so that the result needs no lock.
private final class WorkItem<Result: Sendable>: AnyWorkItem {
    private let work: @Sendable () -> Result
    private let completion: (Result) -> Void
    private var result: Result?

    init(work: @escaping @Sendable () -> Result, completion: @escaping (Result) -> Void) {
        self.work = work
        self.completion = completion
    }

    override func execute() { result = work() }
    override func complete() { completion(result ?? work()) }
}
