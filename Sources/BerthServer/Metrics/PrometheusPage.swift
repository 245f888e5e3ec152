// The Prometheus text format, version 0.0.4.

struct PrometheusPage {
    private(set) var text = ""
    /// On every series.
    private let common: (name: String, value: String)

    init(label: String, value: String) { common = (label, value) }

    mutating func gauge(_ name: String, _ help: String, _ value: Double, labels: [(String, String)] = []) { gauges(name, help, [(labels, value)]) }

    mutating func gauges(_ name: String, _ help: String, _ series: [([(String, String)], Double)]) {
        head(name, help, "gauge")
        for (labels, value) in series { line(name, labels, Self.number(value)) }
    }

    /// - Parameter name: without the "_total" of its series.
    mutating func counter(_ name: String, _ help: String, _ value: UInt64) { counters(name, help, [([], value)]) }

    mutating func counters(_ name: String, _ help: String, _ series: [([(String, String)], UInt64)]) {
        head(name + "_total", help, "counter")
        for (labels, value) in series { line(name + "_total", labels, String(value)) }
    }

    mutating func histogram(_ name: String, _ help: String, _ histogram: Histogram) {
        head(name, help, "histogram")
        var cumulative: UInt64 = 0
        for (bound, count) in zip(histogram.bounds, histogram.counts) {
            cumulative += count
            line(name + "_bucket", [("le", Self.number(bound))], String(cumulative))
        }
        line(name + "_bucket", [("le", "+Inf")], String(histogram.count))
        line(name + "_sum", [], Self.number(histogram.sum))
        line(name + "_count", [], String(histogram.count))
    }

    private mutating func head(_ name: String, _ help: String, _ type: String) { text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n" }

    private mutating func line(_ name: String, _ labels: [(String, String)], _ value: String) {
        let all = ([common] + labels).map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
        text += "\(name){\(all)} \(value)\n"
    }

    private static func escaped(_ value: String) -> String {
        var result = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }

    private static func number(_ value: Double) -> String { Int(exactly: value).map(String.init) ?? String(value) }
}
