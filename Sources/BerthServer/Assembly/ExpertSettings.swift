// What the settings about experts mean to the engine and on this machine.

import BerthCore
import BerthEngine
import BerthModels
import BerthStore
import Glibc
import Logging

extension ExpertOptions {
    init(_ configuration: Configuration, _ image: ExpertImage, _ logger: Logger) throws {
        self.init()
        if let directory = configuration.cacheDirectory, let model = configuration.model {
            let count = image.layers.count * image.expertsPerLayer
            let history = RoutingHistory(directory: directory, model: model + " " + configuration.weights.rawValue, experts: count)
            popularity = history.read()
            rememberPopularity = { popularity in
                do { try history.write(popularity) } catch { logger.warning("the routing's history could not be kept: \(error)") }
            }
        }
        if let path = configuration.recordRouting {
            let file = try RoutingFile(path: path, logger: logger)
            writeRecording = { file.write($0) }
        }
        policy =
            switch configuration.expertPolicy {
            case .routing: .adaptive
            case .lru: .fixed(.lru)
            }
        ordersAdmission = configuration.expertPolicy == .routing
        prefetches = configuration.expertPrefetch == .on
    }
}

extension Machine {
    /// Direct, unless the machine has room for all experts in its page cache beside everything that this process may take.
    static func expertReadMode(_ configuration: Configuration, _ budget: MemoryBudget) -> ExtentReader.Mode {
        switch configuration.expertRead {
        case .direct: .direct
        case .buffered: .buffered
        case .auto: freeMemory - budget.total > budget.expertFileBytes ? .buffered : .direct
        }
    }

    /// Memory that this process and its page cache could still take: of the machine, or of the service's control group.
    private static var freeMemory: Int {
        var bytes = 0
        if let line = firstLine(of: "/proc/meminfo", startingWith: "MemAvailable:"), let kilobytes = Int(line.filter(\.isNumber)) { bytes = kilobytes << 10 }
        return min(bytes, ControlGroup().limit ?? .max)
    }
}
