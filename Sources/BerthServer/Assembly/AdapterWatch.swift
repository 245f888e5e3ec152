// The adapters directory, watched: what changes in it takes effect by itself.
//
// Watched are the directory, its folders, and the folders in those, which is as deep as adapters lie. Something happens; the folders are listed again, on
// a worker thread, so that new ones are watched before anything is written to them; and when nothing has happened for a second, the registrar looks at the
// files, as on a reload. A directory that has gone is looked for every five seconds.

import BerthCore
import BerthLoop
import Glibc
import Logging

/// When changes have settled. Times are monotonic nanoseconds.
struct SettlingChanges {
    /// So long nothing may have happened.
    static let quiet: UInt64 = 1_000_000_000
    /// Where it never stops, somebody else's finished adapter need not wait for ever.
    static let most: UInt64 = 30_000_000_000

    private var first: UInt64?

    /// Something has changed. Returns when to look, if nothing else does until then.
    mutating func changed(now: UInt64) -> UInt64 {
        let start = first ?? now
        first = start
        return min(now + Self.quiet, start + Self.most)
    }

    /// They are being looked at.
    mutating func settled() { first = nil }
}

/// Loop thread only.
final class AdapterWatch {
    private let loop: Loop
    private let directory: String
    private let logger: Logger
    private let onChange: () -> Void
    private let timer: Timer
    private let retry: Timer
    private var watchers: [WatchedFolder: DirectoryWatcher] = [:]
    private var changes = SettlingChanges()
    private var isListing = false
    /// Something happened while the folders were being listed.
    private var mustListAgain = false
    private var isComplaining = false

    private static let retryNanoseconds: UInt64 = 5_000_000_000

    init(_ loop: Loop, directory: String, logger: Logger, onChange: @escaping () -> Void) {
        self.loop = loop
        self.directory = directory
        self.logger = logger
        self.onChange = onChange
        timer = Timer(loop)
        retry = Timer(loop)
        list()
    }

    func close() {
        timer.close()
        retry.close()
        for watcher in watchers.values { watcher.close() }
        watchers = [:]
    }

    /// Something has changed, or could not be looked at yet.
    func noteChange() {
        let now = Loop.monotonicNanoseconds
        let due = changes.changed(now: now)
        timer.start(afterNanoseconds: due > now ? due - now : 0) { [unowned self] in
            changes.settled()
            onChange()
        }
        list()
    }

    // MARK: what is watched

    private func list() {
        guard !isListing else {
            mustListAgain = true
            return
        }
        isListing = true
        loop.queueWork({ [directory] in WatchedFolder.list(directory) }) { [weak self] folders in
            guard let self, !timer.isClosing else { return }
            isListing = false
            watch(Set(folders))
            if mustListAgain {
                mustListAgain = false
                list()
            }
        }
    }

    private func watch(_ folders: Set<WatchedFolder>) {
        for (folder, watcher) in watchers where !folders.contains(folder) {
            watcher.close()
            watchers[folder] = nil
        }
        var refused: LoopError?
        var isNew = false
        for folder in folders.sorted(by: { $0.path < $1.path }) where watchers[folder] == nil {
            do throws(LoopError) {
                watchers[folder] = try DirectoryWatcher(loop, path: folder.path) { [unowned self] in noteChange() }
                isNew = true
            } catch { refused = error }
        }
        if let refused, !isComplaining { logger.warning("some adapter folders are not watched, and what changes there needs a reload: \(refused)") }
        isComplaining = refused != nil
        if folders.isEmpty {
            retry.start(afterNanoseconds: Self.retryNanoseconds) { [unowned self] in list() }
        } else if isNew {
            // Something may have been written before it was watched.
            noteChange()
        }
    }
}

/// A folder in which adapters may lie. Another one that is put in its place is another folder, although the path is the same.
struct WatchedFolder: Hashable, Sendable {
    let path: String
    private let device: UInt64
    private let inode: UInt64

    /// Nil where there is no folder.
    private init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
        self.path = path
        (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
    }

    /// The directory, its folders and theirs, `Limits.watchedFolders` at most; empty where there is no directory.
    static func list(_ directory: String) -> [WatchedFolder] {
        guard let root = WatchedFolder(directory) else { return [] }
        var list = [root]
        for folder in folders(in: directory) {
            list.append(folder)
            list += folders(in: folder.path)
            if list.count >= Limits.watchedFolders { break }
        }
        return Array(list.prefix(Limits.watchedFolders))
    }

    /// None where the folder cannot be read, which the look at its adapters will tell.
    private static func folders(in path: String) -> [WatchedFolder] {
        ((try? AdapterFolders.folders(of: path)) ?? []).compactMap { WatchedFolder("\(path)/\($0)") }
    }
}
