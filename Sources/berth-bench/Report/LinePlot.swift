// A drawing of lines over two axes, as SVG.

/// Values are in the units of their axes.
struct LinePlot {
    struct Line {
        var name: String
        var points: [(x: Double, y: Double)]
    }

    /// One direction of the drawing: where it ends, and what stands beside its marks.
    struct Axis {
        var name = ""
        var most: Double
        /// Parts that marks cut it into.
        var marks = 5
        var label: (Double) -> String
    }

    var x: Axis
    var y: Axis
    var lines: [Line]

    private static let (width, height, left, top) = (640.0, 400.0, 60.0, 20.0)
    private static let (totalWidth, totalHeight) = (900.0, 480.0)

    var svg: String {
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(fixed(Self.totalWidth, 0)) \(fixed(Self.totalHeight, 0))\" font-family=\"sans-serif\" font-size=\"12\">\n"
            + body + "\n</svg>\n"
    }

    /// Several drawings, one below the other.
    static func column(_ plots: [LinePlot]) -> String {
        let parts = plots.enumerated().map { "<g transform=\"translate(0 \(fixed(Double($0) * totalHeight, 0)))\">\n\($1.body)\n</g>" }
        return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(fixed(totalWidth, 0)) \(fixed(totalHeight * Double(plots.count), 0))\" font-family=\"sans-serif\" font-size=\"12\">\n"
            + parts.joined(separator: "\n") + "\n</svg>\n"
    }

    private var body: String {
        let (width, height, left, top) = (Self.width, Self.height, Self.left, Self.top)
        func at(x value: Double) -> String { fixed(left + (x.most > 0 ? value / x.most : 0) * width, 1) }
        func at(y value: Double) -> String { fixed(top + (1 - (y.most > 0 ? value / y.most : 0)) * height, 1) }
        var parts = ["<rect width=\"\(fixed(Self.totalWidth, 0))\" height=\"\(fixed(Self.totalHeight, 0))\" fill=\"white\"/>"]
        for mark in 0...y.marks {
            let value = y.most * Double(mark) / Double(y.marks)
            parts.append("<path d=\"M\(at(x: 0)) \(at(y: value))H\(at(x: x.most))\" stroke=\"#ddd\" fill=\"none\"/>")
            parts.append("<text x=\"\(fixed(left - 8, 1))\" y=\"\(at(y: value))\" text-anchor=\"end\" dominant-baseline=\"middle\">\(y.label(value))</text>")
        }
        for mark in 0...x.marks {
            let value = x.most * Double(mark) / Double(x.marks)
            parts.append("<path d=\"M\(at(x: value)) \(at(y: 0))V\(at(y: y.most))\" stroke=\"#ddd\" fill=\"none\"/>")
            parts.append("<text x=\"\(at(x: value))\" y=\"\(fixed(top + height + 18, 1))\" text-anchor=\"middle\">\(x.label(value))</text>")
        }
        if !x.name.isEmpty { parts.append("<text x=\"\(fixed(left + width / 2, 1))\" y=\"\(fixed(top + height + 38, 1))\" text-anchor=\"middle\">\(x.name)</text>") }
        if !y.name.isEmpty { parts.append("<text x=\"\(fixed(left + 6, 1))\" y=\"\(fixed(top - 6, 1))\">\(y.name)</text>") }
        for (number, line) in lines.enumerated() {
            let colour = "hsl(\(number * 360 / max(lines.count, 1)),70%,42%)"
            let points = line.points.map { "\(at(x: min($0.x, x.most))),\(at(y: min($0.y, y.most)))" }.joined(separator: " ")
            parts.append("<polyline points=\"\(points)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.5\"/>")
            parts.append("<text x=\"\(fixed(left + width + 14, 1))\" y=\"\(fixed(top + 12 + Double(number) * 18, 1))\" fill=\"\(colour)\">\(line.name)</text>")
        }
        return parts.joined(separator: "\n")
    }
}
