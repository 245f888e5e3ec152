// systemd's two small protocols, without libsystemd: telling it how we are (sd_notify), and taking over its sockets.

import BerthLoop
import Glibc

/// Sends states to the service manager; does nothing where there is none.
struct ServiceManager {
    private let path: String?
    /// How often a sign of life is expected; nil where no watchdog watches us.
    let watchdogNanoseconds: UInt64?

    init(environment: [String: String]) {
        path = environment["NOTIFY_SOCKET"].flatMap { $0.isEmpty ? nil : $0 }
        let isForUs = environment["WATCHDOG_PID"].map { Int32($0) == getpid() } ?? true
        watchdogNanoseconds = isForUs ? environment["WATCHDOG_USEC"].flatMap(UInt64.init).map { $0 * 1000 } : nil
    }

    func ready(status: String) { send("READY=1\nSTATUS=\(status)") }
    func status(_ text: String) { send("STATUS=\(text)") }
    func stopping() { send("STOPPING=1\nSTATUS=Finishing running requests") }
    func watchdog() { send("WATCHDOG=1") }
    func extendTimeout(seconds: Int) { send("EXTEND_TIMEOUT_USEC=\(seconds * 1_000_000)") }

    func reloading() { send("RELOADING=1\nMONOTONIC_USEC=\(Loop.monotonicNanoseconds / 1000)") }

    private func send(_ message: String) {
        guard let path else { return }
        var bytes = Array(path.utf8)
        // "@" stands for the zero byte of an abstract socket.
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        var address = sockaddr_un()
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var message = message
        message.withUTF8 { text in
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = sendto(descriptor, text.baseAddress, text.count, Int32(MSG_NOSIGNAL), $0, length)
                }
            }
        }
    }
}

/// Listening sockets that systemd made for us (`LISTEN_FDS`).
struct ActivatedSockets: Equatable {
    var inference: Int32?
    var admin: Int32?

    static let firstDescriptor: Int32 = 3

    init() {}

    /// A socket named "admin" is the admin socket, one of any other name the inference socket.
    /// - Throws: where two sockets claim the same role.
    init(environment: [String: String], processID: Int32 = getpid()) throws(ConfigurationError) {
        guard environment["LISTEN_PID"].flatMap({ Int32($0) }) == processID, let count = environment["LISTEN_FDS"].flatMap({ Int32($0) }), count > 0 else { return }
        let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
        for index in 0..<count {
            let descriptor = Self.firstDescriptor + index
            let name = Int(index) < names.count ? String(names[Int(index)]) : ""
            let isAdmin = name == "admin" || name.hasSuffix("-admin.socket")
            guard (isAdmin ? admin : inference) == nil else { throw ConfigurationError("two sockets were passed for \(isAdmin ? "administration" : "inference")") }
            if isAdmin { admin = descriptor } else { inference = descriptor }
        }
    }

    /// Our children must not believe that the sockets are theirs.
    func take() {
        for descriptor in [inference, admin].compactMap({ $0 }) { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) }
    }
}
