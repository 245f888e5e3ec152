// The daemon's life: sockets first, then the model, then requests, then an orderly end.
//
//     listen ──▶ load (on a thread of its own) ──▶ probe one token ──▶ READY ──SIGTERM──▶ drain ──▶ exit
//
// Health checks are answered from the first moment; a request is answered only after the model has generated one token
// for itself. A second SIGTERM ends at once. Everything here belongs to the loop thread, which is the one that calls `run`.

import BerthCore
import BerthEngine
import BerthHTTP
import BerthLoop
import Glibc
import Logging
import Synchronization

/// What the assembly of a model may use while it works.
public struct AssemblyContext: Sendable {
    /// Takes the events of one engine step; called on the engine's thread. Waits while the loop is behind.
    public let deliver: @Sendable (EventBatch) -> Void
    /// Says what is being done, for the service manager and the log.
    public let progress: @Sendable (String) -> Void
    /// The daemon is to end: loading should stop where it conveniently can.
    public let isCancelled: @Sendable () -> Bool
    public let logger: Logger
}

/// Makes a model service of a configuration; called once, on a thread of its own.
public typealias Assemble = @Sendable (Configuration, AssemblyContext) throws -> ModelService

/// Reads the settings as they stand now.
public typealias RereadConfiguration = () throws(ConfigurationError) -> Configuration

/// Commands to a running daemon from other threads; what SIGTERM and SIGHUP do.
public struct DaemonControl: Sendable {
    enum Command: Sendable {
        case terminate
        case reload
    }

    let mailbox: Mailbox<Command>

    public func terminate() { _ = mailbox.post(.terminate) }
    public func reload() { _ = mailbox.post(.reload) }
}

public final class Daemon {
    public static let version = Server.version

    private let configuration: Configuration
    /// Reads the settings anew, for a reload; nil where they have no source.
    private let rereadConfiguration: RereadConfiguration?
    private let logger: Logger
    private let loop: Loop
    private let server: Server
    private let manager: ServiceManager
    private var exitCode: Int32 = 0
    private var isEnding = false
    private var drainTimer: Timer?
    private var isAwaitingPing = false
    private var isReloading = false
    private var watch: AdapterWatch?
    /// A reload was asked for while none could begin.
    private var wantsReload = false
    private let isCancelled = CancellationFlag()

    /// Runs a daemon until it is told to end.
    /// - Parameters:
    ///   - environment: of the process; says where systemd's sockets are.
    ///   - reread: reads the configuration anew, for a reload.
    ///   - handlesSignals: false in tests, which use the control instead.
    ///   - started: called on the loop once the sockets are open.
    /// - Returns: the exit code of the process.
    public static func run(
        _ configuration: Configuration, environment: [String: String], logger: Logger, reread: RereadConfiguration? = nil, handlesSignals: Bool = true,
        assemble: @escaping Assemble, started: (DaemonControl) -> Void = { _ in }
    ) -> Int32 {
        do {
            let sockets = try ActivatedSockets(environment: environment)
            sockets.take()
            let daemon = try Daemon(configuration, environment: environment, logger: logger, reread: reread)
            return try daemon.run(sockets, handlesSignals: handlesSignals, assemble: assemble, started: started)
        } catch {
            logger.error("\(error)")
            return 1
        }
    }

    private init(_ configuration: Configuration, environment: [String: String], logger: Logger, reread: RereadConfiguration?) throws(LoopError) {
        self.configuration = configuration
        rereadConfiguration = reread
        self.logger = logger
        manager = ServiceManager(environment: environment)
        loop = try Loop()
        server = try Server(loop, logger: logger, environment: .init(wallSeconds: { time(nil) }, random: SystemRandomNumberGenerator()), tenants: configuration.tenants)
        if !configuration.tenants.isEmpty { logger.info("\(configuration.tenants.summary)") }
    }

    private func run(
        _ sockets: ActivatedSockets, handlesSignals: Bool, assemble: @escaping Assemble, started: (DaemonControl) -> Void
    ) throws -> Int32 {
        defer {
            server.closeAll()
            loop.close()
        }
        Self.raiseDescriptorLimit()
        if let directory = configuration.batchDirectory { try server.keepBatches(in: directory) }
        try listen(sockets)
        let control = DaemonControl(mailbox: try Mailbox(loop, capacity: 16) { [unowned self] commands in
            for command in commands {
                switch command {
                case .terminate: terminate()
                case .reload: reload()
                }
            }
        })
        if handlesSignals {
            for signal in [SIGTERM, SIGINT] { _ = try SignalWatcher(loop, signal: signal) { [unowned self] in terminate() } }
            _ = try SignalWatcher(loop, signal: SIGHUP) { [unowned self] in reload() }
        }
        let events = try Mailbox<EventBatch>(loop, capacity: Limits.mailboxMessages) { [unowned self] batches in
            for batch in batches { server.receive(batch) }
        }
        let loader = try startLoading(assemble, events)
        let ticks = Timer(loop)
        ticks.start(afterNanoseconds: 1_000_000_000, repeatNanoseconds: 1_000_000_000) { [unowned self] in server.tick() }
        startWatchdog()
        started(control)

        loop.run()

        // The engine must not wait for a loop that has stopped.
        events.close()
        isCancelled.set()
        loader.join()
        server.service?.generation.shutdown()
        server.batches?.stop()
        return exitCode
    }

    // MARK: starting

    private func listen(_ sockets: ActivatedSockets) throws {
        if let descriptor = sockets.inference {
            server.listenForInference(try Listener(loop, descriptor: descriptor))
            logger.info("listening on the service manager's inference socket")
        } else {
            server.listenForInference(try listener(at: configuration.socket, mode: configuration.socketMode))
        }
        if let descriptor = sockets.admin {
            server.listenForAdministration(try Listener(loop, descriptor: descriptor))
            logger.info("listening on the service manager's admin socket")
        } else {
            server.listenForAdministration(try listener(at: configuration.adminSocket, mode: 0o600))
        }
    }

    private func listener(at path: String, mode: UInt32) throws(LoopError) -> Listener {
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex { mkdir(String(path[..<slash]), 0o755) }
        let listener = try Listener(loop, path: path, mode: mode)
        logger.info("listening on \(path)")
        return listener
    }

    private func startLoading(_ assemble: @escaping Assemble, _ events: Mailbox<EventBatch>) throws(LoopError) -> JoinableThread {
        let extension_ = Timer(loop)
        extension_.start(afterNanoseconds: 0, repeatNanoseconds: 5_000_000_000) { [manager] in manager.extendTimeout(seconds: 30) }
        manager.status("Loading the model")

        let progress = try Mailbox<String>(loop, capacity: 256) { [unowned self] texts in
            for text in texts { logger.info("\(text)") }
            if let last = texts.last, server.phase == .loading { manager.status(last) }
        }
        let outcome = try Mailbox<LoadOutcome>(loop, capacity: 1) { [unowned self] outcomes in
            extension_.close()
            for outcome in outcomes { didLoad(outcome) }
        }
        let context = AssemblyContext(
            deliver: { batch in
                // A full mailbox means that the loop is thousands of steps behind: the engine waits for it.
                while !events.post(batch) {
                    guard events.isOpen else { return }
                    usleep(1000)
                }
            },
            progress: { _ = progress.post($0) }, isCancelled: isCancelled.isSet, logger: logger)
        let configuration = configuration
        return JoinableThread(name: "loader") {
            do {
                _ = outcome.post(.loaded(try assemble(configuration, context)))
            } catch {
                _ = outcome.post(.failed("\(error)"))
            }
        }
    }

    private enum LoadOutcome: Sendable {
        case loaded(ModelService)
        case failed(String)
    }

    private func didLoad(_ outcome: LoadOutcome) {
        switch outcome {
        case .failed(let reason):
            if isEnding { return end() }
            logger.error("\(reason)")
            manager.status("Failed: \(reason)")
            exitCode = 1
            end()
        case .loaded(let service):
            let dispatcher = server.attach(service)
            if isEnding { return end() }
            dispatcher.probe { [unowned self] answers in
                guard answers else {
                    logger.error("the model was loaded but does not generate")
                    exitCode = 1
                    return end()
                }
                guard !isEnding else { return }
                server.becomeReady()
                logger.notice("ready: \(service.description.name)", metadata: ["adapters": "\(service.adapters.registered().count)"])
                manager.ready(status: "Serving \(service.description.name)")
                service.adapters.inspectInBackground()
                startWatching()
                if wantsReload { reload() }
            }
        }
    }

    private func startWatching() {
        guard configuration.watchAdapters == .on else { return }
        guard let directory = configuration.adapters else { return logger.warning("--watch-adapters has no effect without --adapters") }
        watch = AdapterWatch(loop, directory: directory, logger: logger) { [unowned self] in adaptersChanged() }
    }

    private func startWatchdog() {
        guard let interval = manager.watchdogNanoseconds else { return }
        let timer = Timer(loop)
        timer.start(afterNanoseconds: 0, repeatNanoseconds: max(1_000_000, interval / 3)) { [unowned self] in
            // That this runs shows that the loop lives; the engine has to have answered since the last time, too.
            guard !isAwaitingPing else { return }
            manager.watchdog()
            guard let service = server.service, let reply = server.replies.expect({ [unowned self] (_: Bool) in isAwaitingPing = false }) else { return }
            isAwaitingPing = true
            service.generation.ping(reply: reply)
        }
    }

    // MARK: changing

    /// One at a time. Whoever asks while the model is loaded, or during a reload, gets one afterwards that sees what they changed.
    private func reload() {
        guard !isEnding else { return logger.notice("not reloaded: the daemon is ending") }
        guard server.phase == .ready, let service = server.service, !isReloading else {
            wantsReload = true
            return
        }
        let status = "Serving \(service.description.name)"
        let reply = server.replies.expect { [unowned self] (reload: AdapterReload) in
            isReloading = false
            let adapters: Logger.Metadata = ["adapters": "\(service.adapters.registered().count)"]
            if let problem = server.reloadProblem ?? reload.problem {
                logger.error("reloaded in part: \(reload.summary); \(problem)", metadata: adapters)
                manager.ready(status: "\(status); the last reload failed: \(problem)")
            } else {
                logger.notice("reloaded: \(reload.summary)", metadata: adapters)
                manager.ready(status: status)
            }
            if wantsReload { self.reload() }
        }
        guard let reply else { return logger.error("not reloaded: too many questions are waiting") }
        (isReloading, wantsReload) = (true, false)
        manager.reloading()
        rereadSettings(for: service)
        service.adapters.rescan(isQuiet: false, reply: reply)
    }

    /// Something has changed in the adapters directory, and settled.
    private func adaptersChanged() {
        guard !isEnding, let service = server.service else { return }
        // A reload under way may have looked before the change.
        if isReloading { return watch!.noteChange() }
        let reply = server.replies.expect { [unowned self] (found: AdapterReload) in
            isReloading = false
            if !(found.added + found.changed + found.removed).isEmpty { logger.notice("the adapters directory has changed: \(found.summary)") }
            if wantsReload { reload() }
        }
        guard let reply else { return watch!.noteChange() }
        isReloading = true
        service.adapters.rescan(isQuiet: true, reply: reply)
    }

    /// What may change while the daemon runs is taken over; a configuration that cannot be used changes nothing.
    private func rereadSettings(for service: ModelService) {
        guard let rereadConfiguration else { return }
        do throws(ConfigurationError) {
            var fresh = try rereadConfiguration()
            if fresh.tenants != server.tenants.configuration { logger.notice("\(fresh.tenants.summary)") }
            server.tenants.replace(fresh.tenants)
            server.applyTenantPolicies()
            server.reloadProblem = nil
            service.memory?.configure(fresh.memory)
            (fresh.memory, fresh.tenants) = (configuration.memory, configuration.tenants)
            if fresh != configuration { logger.warning("settings other than memory and tenants have changed: they take effect with a restart") }
        } catch {
            server.reloadProblem = "\(error)"
            logger.error("the settings stay as they are: \(error)")
        }
    }

    // MARK: ending

    private func terminate() {
        guard !isEnding else {
            logger.notice("ending at once")
            return end()
        }
        isEnding = true
        isCancelled.set()
        logger.notice("ending: running requests may finish", metadata: ["seconds": "\(configuration.drainSeconds)"])
        manager.stopping()
        server.onDrained = { [unowned self] in letGo() }
        let timer = Timer(loop)
        drainTimer = timer
        timer.start(afterNanoseconds: UInt64(configuration.drainSeconds) * 1_000_000_000) { [unowned self] in
            logger.warning("running requests did not finish in time")
            server.dispatcher?.failAll(.unavailable("The daemon was shut down before the answer was complete.", code: "draining"))
            letGo()
        }
        server.drain()
    }

    /// Nothing is being generated any more: the last bytes go out.
    private func letGo() {
        server.onDrained = nil
        drainTimer?.start(afterNanoseconds: 2_000_000_000) { [unowned self] in end() }
        server.finish { [unowned self] in end() }
    }

    private func end() { loop.stop() }

    /// Every connection, adapter and expert file takes a descriptor; the usual soft limit of 1024 is from another time.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_max, 65_536)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

/// Set once, read anywhere.
private final class CancellationFlag: Sendable {
    private let value = Atomic(false)
    func set() { value.store(true, ordering: .relaxed) }
    var isSet: @Sendable () -> Bool { { self.value.load(ordering: .relaxed) } }
}

extension Logger {
    /// The daemon's logger, as configured.
    public init(_ configuration: Configuration) {
        let level = Logger.Level(rawValue: configuration.logLevel) ?? .info
        let format = configuration.logFormat
        self.init(label: "berthd") { _ in LineLogHandler(format: format, level: level) }
    }
}
