// Lines on standard error in one of three forms.

import BerthCore
import Glibc
import Logging

public enum LogFormat: String, Sendable, CaseIterable {
    /// For people: time, level, message, key=value.
    case text
    /// One JSON object per line.
    case json
    /// For systemd: the priority as journald reads it ("<4>"), no time.
    case journal
}

/// Writes one line per message with a single write(2), so that lines of several threads do not mix.
struct LineLogHandler: LogHandler {
    let format: LogFormat
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    /// Takes a whole line.
    let write: @Sendable (String) -> Void

    init(format: LogFormat, level: Logger.Level, write: @escaping @Sendable (String) -> Void = LineLogHandler.writeToStandardError) {
        self.format = format
        logLevel = level
        self.write = write
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let (level, message) = (event.level, event.message)
        let all = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        switch format {
        case .text:
            let pairs = all.map { " \($0.key)=\($0.value)" }.joined()
            write("\(Self.time()) \(level.rawValue) \(Self.oneLine("\(message)\(pairs)"))\n")
        case .journal:
            let pairs = all.map { " \($0.key)=\($0.value)" }.joined()
            write("<\(level.priority)>\(Self.oneLine("\(message)\(pairs)"))\n")
        case .json:
            let fixed: [(String, JSON)] = [("time", .string(Self.time())), ("level", .string(level.rawValue)), ("message", .string("\(message)"))]
            write(JSON(members: fixed + all.map { ($0.key, .string("\($0.value)")) }).text + "\n")
        }
    }

    /// What a client sent must not be able to forge a line.
    private static func oneLine(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }))
    }

    private static func time() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : String(value) }
        let milliseconds = String(1000 + now.tv_nsec / 1_000_000).dropFirst()
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(milliseconds)Z"
    }

    static let writeToStandardError: @Sendable (String) -> Void = { line in
        var line = line
        line.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

extension Logger.Level {
    /// syslog(3)'s numbers.
    fileprivate var priority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
