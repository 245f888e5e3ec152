// The two ends of a terminal without a window: the program edits lines at one, the test types and reads at the other.

import Glibc
import Synchronization
import Testing

final class PseudoTerminal: Sendable {
    private let master: Int32
    let slave: Int32
    /// All that was shown so far.
    private let screen = Mutex("")

    init() throws {
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
        try #require(master >= 0)
        // TIOCSPTLCK and TIOCGPTN: the macros, like the functions of the C library around them, are hidden from Swift.
        var isLocked: Int32 = 0
        var number: Int32 = 0
        try #require(ioctl(master, 0x4004_5431, &isLocked) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
        slave = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(slave >= 0)
    }

    deinit {
        close(master)
        close(slave)
    }

    /// Waits until `prompt` is on the screen and keys are no longer the system's to handle, then types.
    func type(_ keys: String, at prompt: String) {
        for _ in 0..<10_000 {
            look()
            var settings = termios()
            if screen.withLock({ $0.contains(prompt) }), tcgetattr(slave, &settings) == 0, settings.c_lflag & tcflag_t(ICANON) == 0 {
                var bytes = Array(keys.utf8)[...]
                while !bytes.isEmpty {
                    let count = bytes.withUnsafeBytes { write(master, $0.baseAddress, $0.count) }
                    if count > 0 { bytes = bytes.dropFirst(count) } else { usleep(1000) }
                    // The echo has to go somewhere.
                    look()
                }
                return
            }
            usleep(1000)
        }
        Issue.record("no prompt \(prompt): \(screen.withLock { $0 })")
    }

    private func look() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = read(master, &buffer, buffer.count), count > 0 {
            screen.withLock { $0 += String(decoding: buffer[..<count], as: UTF8.self) }
        }
    }
}
