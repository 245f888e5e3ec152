// Directories that say when something in them changes.

import CUV

/// Calls a handler on the loop whenever an entry of a directory comes, goes or is written, or the directory itself goes. What happened is not told: whoever
/// wants to know looks. Directories below are not watched.
public final class DirectoryWatcher: Handle {
    private var handler: (() -> Void)?

    /// Throws where the directory cannot be watched: it is not there, or the system watches as much as it may (`fs.inotify.max_user_watches`).
    public init(_ loop: Loop, path: String, _ handler: @escaping () -> Void) throws(LoopError) {
        let memory = UnsafeMutablePointer<uv_fs_event_t>.allocate(capacity: 1)
        self.handler = handler
        super.init(memory: UnsafeMutableRawPointer(memory))
        let initialised = uv_fs_event_init(loop.raw, memory)
        if initialised < 0 {
            abandon()
            throw LoopError(initialised, "cannot watch directories")
        }
        adopt()
        let started = uv_fs_event_start(memory, { raw, _, _, _ in
            Unmanaged<DirectoryWatcher>.fromOpaque(raw!.pointee.data).takeUnretainedValue().handler?()
        }, path, 0)
        if started < 0 {
            close()
            throw LoopError(started, "cannot watch \(path)")
        }
    }

    override func didClose() { handler = nil }
}
