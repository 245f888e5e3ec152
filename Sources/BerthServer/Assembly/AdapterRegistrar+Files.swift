// From files to entries: at start, on a reload, and when a request finds that files have changed.
//
//     start    opens every adapter (configuration and header) and registers it
//     ready    reads those whole, in the background, that no earlier life has read; refuses by name what cannot be computed with
//     request  compares stamps; files that have changed are opened anew first, so that it is served with what is there now
//     reload   looks for folders that came, went and changed, reads what is new or has changed whole, and says what it found
//
// An adapter whose files have gone is served from memory until a reload: a folder that is being replaced is gone for a moment. What is not
// in memory then is refused by name. Requests that run end on what they began with.

import BerthCore
import BerthEngine
import BerthModels
import BerthStore
import Logging
import OrderedCollections

extension AdapterRegistrar {
    /// What came of looking at an adapter's files.
    private enum Finding {
        case added, changed, unchanged
        case refused
    }

    /// An adapter that somebody wants served.
    private struct Wanted: Sendable {
        var name: AdapterName
        var path: String
        var origin: Origin
    }

    // MARK: at start

    /// Registers what the configured directory holds and what administrators loaded in earlier lives. A bad adapter is logged and its name kept with
    /// the reason; it stops nobody else.
    /// - Throws: where the directory cannot be read.
    func registerAll() throws {
        readRegistry()
        let wanted = try wantedOfDirectory() + wantedOfAdministrators()
        for adapter in wanted { _ = examine(adapter, readsWhole: false) }
        let (good, found) = state.withLock { state in
            let good = state.entries.values.filter { !$0.isRefused }
            return (good.count, good.count { $0.origin == .directory })
        }
        if directory != nil || good > 0 { logger.info("\(good) adapters registered, \(found) of them found in the adapters directory") }
    }

    /// What cannot be understood is kept under another name, and said.
    private func readRegistry() {
        guard let registryFile else {
            return logger.warning("there is no state directory (--state-dir): adapters that administrators load and unload are forgotten at the end")
        }
        do {
            if let place = try registryFile.takeOver() { logger.notice("the list of loaded adapters has moved from \(place) to \(registryFile.path)") }
        } catch {
            logger.error("the list of loaded adapters cannot be moved to \(registryFile.path): \(error)")
        }
        do {
            let written = try registryFile.read()
            state.withLock { $0.written = written }
            guard !written.problems.isEmpty else { return }
            for problem in written.problems { logger.error("the list of loaded adapters, \(registryFile.path): \(problem)") }
        } catch {
            logger.error("the list of loaded adapters cannot be read, so they have to be loaded again: \(error)")
        }
        do {
            let place = try registryFile.setAside()
            logger.error("the list as it was is kept as \(place)")
        } catch {
            logger.error("\(error): the list is left as it is, and what administrators load from now on is not written down")
            return state.withLock { $0.isRegistryLost = true }
        }
        do { try registryFile.write(state.withLock { $0.written }) } catch { logger.error("\(error)") }
    }

    /// - Throws: where the directory cannot be read.
    private func wantedOfDirectory(isQuiet: Bool = false) throws -> [Wanted] {
        guard let directory else { return [] }
        let folders = try AdapterFolders(directory, reserved: reservedNames)
        let known = state.withLock { state in
            defer { state.notes = Set(folders.notes) }
            return isQuiet ? state.notes : []
        }
        for note in folders.notes where !known.contains(note) { logger.warning("\(note)") }
        return folders.found.compactMap { name, path in
            let (isUnloaded, isLoaded) = state.withLock { ($0.written.unloaded.contains(name), $0.written.loaded[name] != nil) }
            if isUnloaded, !isQuiet { logger.info("adapter \(name) is left out: an administrator has unloaded it") }
            return isUnloaded || isLoaded ? nil : Wanted(name: name, path: path, origin: .directory)
        }
    }

    private func wantedOfAdministrators() -> [Wanted] {
        state.withLock { $0.written.loaded.map { Wanted(name: $0.key, path: $0.value, origin: .administrator) } }
    }

    // MARK: one adapter

    /// Looks at an adapter's files anew and has the engine serve what is there. On the queue, or before there are others.
    private func examine(_ wanted: Wanted, readsWhole: Bool) -> Finding {
        let name = wanted.name
        let before = state.withLock { $0.entries[name] }
        // Taken first: what is written from now on will show as another version.
        let stamp = AdapterStamp(of: wanted.path)
        do {
            guard before != nil || state.withLock({ $0.entries.count < Limits.registeredAdapters }) else {
                logger.warning("adapter \(name) is left out: there are already \(Limits.registeredAdapters) adapters")
                return .refused
            }
            let checkpoint = try AdapterCheckpoint(directory: wanted.path, base: catalog)
            let plan = planner(checkpoint)
            var inspected = inspection.remembered(checkpoint, plan, given: wanted.path)
            if let before, !before.isRefused, before.stamp == checkpoint.stamp, before.path == wanted.path {
                state.withLock { state in
                    state.entries[name]?.origin = wanted.origin
                    // A tokenizer may have come or gone beside it.
                    if inspected == nil { state.uninspected[name] = Uninspected(checkpoint: checkpoint, plan: plan) }
                }
                return .unchanged
            }
            if inspected == nil, readsWhole { inspected = try inspection.inspect(checkpoint, plan, given: wanted.path) }
            if case .failed(let failure) = ask(.register(name, AdapterSource(checkpoint, plan: plan))) { throw AdapterRejection("adapter", failure.message) }
            let entry = Entry(
                origin: wanted.origin, path: wanted.path, stamp: checkpoint.stamp, created: Machine.wallSeconds, bytes: plan.bytes,
                ranks: checkpoint.ranks, warnings: checkpoint.warnings + (inspected ?? []))
            state.withLock { state in
                state.entries[name] = entry
                state.uninspected[name] = inspected == nil ? Uninspected(checkpoint: checkpoint, plan: plan) : nil
            }
            for warning in entry.warnings { logger.warning("adapter \(name): \(warning)") }
            pinAgain(name)
            return before == nil ? .added : .changed
        } catch {
            refuse(wanted, stamp, error)
            return .refused
        }
    }

    private func refuse(_ wanted: Wanted, _ stamp: AdapterStamp?, _ error: any Error) {
        let name = wanted.name
        let fate = wanted.origin == .administrator ? "; it stays listed until it is unloaded, and is served again when its files are good" : ""
        logger.warning("adapter \(name) is refused: \(error)\(fate)")
        let reason = (error as? AdapterRejection)?.message ?? "\(error)"
        _ = ask(.reject(name, reason: reason))
        state.withLock { state in
            state.entries[name] = Entry(origin: wanted.origin, path: wanted.path, stamp: stamp, created: Machine.wallSeconds, isRefused: true)
            state.uninspected.removeValue(forKey: name)
        }
    }

    // MARK: at a request

    func refresh(_ name: AdapterName) {
        guard hasChanged(name) else { return }
        queue.sync {
            // Another request may have been faster.
            guard hasChanged(name), let entry = state.withLock({ $0.entries[name] }) else { return }
            if case .changed = examine(Wanted(name: name, path: entry.path, origin: entry.origin), readsWhole: false) { logChange(of: name) }
        }
        beginInspections()
    }

    private func hasChanged(_ name: AdapterName) -> Bool {
        guard let entry = state.withLock({ $0.entries[name] }), let stamp = AdapterStamp(of: entry.path) else { return false }
        return stamp != entry.stamp
    }

    private func logChange(of name: AdapterName) { logger.notice("adapter \(name) has changed: new requests are served with its new files") }

    // MARK: on a reload

    /// One adapter after the other, each in a turn of its own on the queue, so that whoever waits for the queue waits for one adapter.
    func rescan(isQuiet: Bool, reply: @escaping @Sendable (AdapterReload) -> Void) {
        queue.async { [self] in
            var report = AdapterReload()
            var wanted = wantedOfAdministrators()
            do {
                let ofDirectory = try wantedOfDirectory(isQuiet: isQuiet)
                removeMissing(ofDirectory, &report)
                wanted = ofDirectory + wanted
            } catch {
                logger.error("\(error)")
                report.problem = "\(error)"
            }
            proceed(wanted[...], report, isQuiet: isQuiet, reply)
        }
    }

    private func removeMissing(_ wanted: [Wanted], _ report: inout AdapterReload) {
        let found = Set(wanted.map(\.name))
        for (name, entry) in state.withLock({ $0.entries }) where entry.origin == .directory && !found.contains(name) {
            logger.notice("adapter \(name) is removed: \(entry.path) holds no adapter any more")
            _ = ask(.unregister(name))
            forget(name)
            report.removed.append(name)
        }
    }

    private func proceed(
        _ wanted: ArraySlice<Wanted>, _ report: AdapterReload, isQuiet: Bool, _ reply: @escaping @Sendable (AdapterReload) -> Void
    ) {
        guard let adapter = wanted.first else {
            saveInspections()
            beginInspections()
            return reply(report)
        }
        var report = report
        if isQuiet, isStillRefused(adapter) {
            report.refused.append(adapter.name)
        } else if isStillWanted(adapter) {
            switch examine(adapter, readsWhole: true) {
            case .added:
                logger.notice("adapter \(adapter.name) is new")
                report.added.append(adapter.name)
            case .changed:
                logChange(of: adapter.name)
                report.changed.append(adapter.name)
            case .refused: report.refused.append(adapter.name)
            case .unchanged: report.unchanged += 1
            }
        }
        let next = report
        queue.async { [self] in proceed(wanted.dropFirst(), next, isQuiet: isQuiet, reply) }
    }

    /// Its files are those that were refused before.
    private func isStillRefused(_ adapter: Wanted) -> Bool {
        guard let entry = state.withLock({ $0.entries[adapter.name] }), entry.isRefused, entry.path == adapter.path else { return false }
        return entry.stamp == AdapterStamp(of: adapter.path)
    }

    /// Administrators may have been here since the reload began.
    private func isStillWanted(_ adapter: Wanted) -> Bool {
        state.withLock { state in
            switch adapter.origin {
            case .administrator: state.written.loaded[adapter.name] == adapter.path
            case .directory: state.written.loaded[adapter.name] == nil && !state.written.unloaded.contains(adapter.name)
            }
        }
    }

    // MARK: reading whole

    func inspectInBackground() {
        state.withLock { $0.mayInspect = true }
        beginInspections()
    }

    private func beginInspections() {
        guard state.withLock({ $0.mayInspect && !$0.uninspected.isEmpty }) else { return }
        inspectionQueue.async { [self] in
            var count = 0
            while let (name, adapter) = state.withLock({ $0.uninspected.elements.first.map { ($0.key, $0.value) } }) {
                inspect(name, adapter)
                count += 1
            }
            if count > 0 { logger.info("adapters read whole and checked: \(count)") }
            saveInspections()
        }
    }

    private func inspect(_ name: AdapterName, _ adapter: Uninspected) {
        guard let entry = state.withLock({ $0.entries[name] }) else { return forget(uninspected: name, adapter) }
        let result = Result { () throws(AdapterRejection) in try inspection.inspect(adapter.checkpoint, adapter.plan, given: entry.path) }
        queue.sync {
            // Whoever came in between has put another version here, or none.
            guard state.withLock({ $0.entries[name]?.stamp == adapter.checkpoint.stamp && $0.entries[name]?.isRefused == false }) else { return }
            switch result {
            case .success(let warnings):
                state.withLock { $0.entries[name]?.warnings = adapter.checkpoint.warnings + warnings }
                for warning in warnings { logger.warning("adapter \(name): \(warning)") }
            case .failure(let rejection):
                // Replaced or gone while it was read: that is for the next request or reload to look at.
                if AdapterStamp(of: entry.path) != adapter.checkpoint.stamp { return }
                refuse(Wanted(name: name, path: entry.path, origin: entry.origin), adapter.checkpoint.stamp, rejection)
            }
        }
        forget(uninspected: name, adapter)
    }

    private func forget(uninspected name: AdapterName, _ adapter: Uninspected) {
        state.withLock { state in
            if state.uninspected[name]?.checkpoint.stamp == adapter.checkpoint.stamp { state.uninspected.removeValue(forKey: name) }
        }
    }

    func saveInspections() {
        do { try inspection.save() } catch { logger.warning("adapters that have been checked will be checked again at the next start: \(error)") }
    }
}
