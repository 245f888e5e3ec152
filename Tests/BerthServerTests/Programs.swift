// The programs of the package, as they are built beside the tests.

import Foundation

enum Programs {
    static func url(_ name: String) throws -> URL {
        URL(fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")).deletingLastPathComponent().appendingPathComponent(name)
    }

    /// Runs the command line tool to its end, with no other environment than this and without input: what it has written, to either stream, in order.
    static func berth(_ arguments: [String], _ environment: [String: String] = [:]) throws -> (code: Int32, text: String) {
        let (process, pipe) = (Process(), Pipe())
        process.executableURL = try url("berth")
        process.arguments = arguments
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        (process.standardOutput, process.standardError) = (pipe, pipe)
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text)
    }
}
