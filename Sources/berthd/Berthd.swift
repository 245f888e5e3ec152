// The daemon's executable: reads the settings and runs. Everything else is in BerthServer.

import BerthServer
import Glibc
import Logging

@main
enum Berthd {
    static func main() {
        let environment = Self.environment()
        let read = { () throws(ConfigurationError) in
            try Configuration.read(arguments: Array(CommandLine.arguments.dropFirst()), environment: environment)
        }
        do throws(ConfigurationError) {
            switch try read() {
            case .showHelp: print(Configuration.help, terminator: "")
            case .showVersion: print("berthd \(Daemon.version)")
            case .run(let configuration):
                guard configuration.model != nil else { throw ConfigurationError(missing: "model") }
                unblockSignals()
                let reread: RereadConfiguration = { () throws(ConfigurationError) in
                    // The command line is the same, so that this is a run again.
                    guard case .run(let fresh) = try read() else { return configuration }
                    return fresh
                }
                exit(Daemon.run(configuration, environment: environment, logger: Logger(configuration), reread: reread, assemble: assembleModel))
            }
        } catch {
            var line = "berthd: \(error)\n"
            line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
            exit(EX_USAGE)
        }
    }

    /// Whoever started this may have blocked signals, and a blocked mask is inherited: the daemon must hear those that end and reload it.
    private static func unblockSignals() {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
        sigprocmask(SIG_UNBLOCK, &signals, nil)
    }

    private static func environment() -> [String: String] {
        var result: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { result[String(parts[0])] = String(parts[1]) }
            entry += 1
        }
        return result
    }
}
