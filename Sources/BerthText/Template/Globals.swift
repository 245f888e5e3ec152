// The functions every template can call, and the clock behind one of them.

import BerthCore
import Glibc

/// A moment of civil time, as `strftime_now` shows it.
public struct WallTime: Sendable, Equatable {
    public var year: Int
    public var month: Int
    public var day: Int
    public var hour: Int
    public var minute: Int
    public var second: Int
    public var microsecond: Int

    public init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0, microsecond: Int = 0) {
        self.year = year
        self.month = month
        self.day = day
        self.hour = hour
        self.minute = minute
        self.second = second
        self.microsecond = microsecond
    }

    /// The time now in the machine's time zone.
    public static func now() -> WallTime {
        var clock = timespec()
        clock_gettime(CLOCK_REALTIME, &clock)
        var fields = tm()
        localtime_r(&clock.tv_sec, &fields)
        return WallTime(
            year: Int(fields.tm_year) + 1900, month: Int(fields.tm_mon) + 1, day: Int(fields.tm_mday), hour: Int(fields.tm_hour),
            minute: Int(fields.tm_min), second: Int(fields.tm_sec), microsecond: clock.tv_nsec / 1000)
    }

    /// The moment written after C's `strftime`, with Python's `%f`, and `%z` and `%Z` empty: the time is naive.
    func formatted(_ format: String) -> String {
        var fields = tm()
        fields.tm_year = Int32(year - 1900)
        fields.tm_mon = Int32(month - 1)
        fields.tm_mday = Int32(day)
        fields.tm_hour = Int32(hour)
        fields.tm_min = Int32(minute)
        fields.tm_sec = Int32(second)
        // timegm works out the day of the week and of the year.
        _ = timegm(&fields)
        var pattern = ""
        var isDirective = false
        for character in format.unicodeScalars {
            if isDirective {
                isDirective = false
                switch character {
                case "f":
                    let digits = String(microsecond)
                    pattern += String(repeating: "0", count: 6 - digits.count) + digits
                case "z", "Z": break
                default: pattern += "%" + String(character)
                }
            } else if character == "%" {
                isDirective = true
            } else {
                pattern.unicodeScalars.append(character)
            }
        }
        guard !pattern.isEmpty else { return "" }
        // No directive makes more than a few dozen bytes; a mark behind the text tells an empty result from a full buffer.
        var buffer = [CChar](repeating: 0, count: pattern.utf8.count * 32 + 64)
        let written = strftime(&buffer, buffer.count, pattern + ".", &fields)
        return String(decoding: buffer[..<max(0, written - 1)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension Jinja {
    enum Globals {
        private static let functions: [String: GlobalFunction] = [
            "range": range, "dict": dictionary, "namespace": namespace, "cycler": cycler, "joiner": joiner,
            "raise_exception": { (rendering, arguments) throws(TemplateError) in
                let message = try arguments.bind("raise_exception", ["message"], required: 1)[0]!
                throw TemplateError(.raised, try rendering.text(of: message).string)
            },
            "strftime_now": { (rendering, arguments) throws(TemplateError) in
                let format = try arguments.bind("strftime_now", ["format"], required: 1)[0]!.string("strftime_now")
                guard format.bytes.count <= 1024 else { throw .limit("a time format of more than 1024 bytes") }
                return .string(rendering.now.formatted(format.string))
            },
        ]

        /// A global function by name.
        static func value(named name: String) -> Value? { functions[name].map { .object(Function(name, $0)) } }

        private static let range: GlobalFunction = { (_, arguments) throws(TemplateError) in
            let list = try arguments.list("range", 1, 3)
            let bounds = (try list[0].exactIndex("range"), list.count > 1 ? try list[1].exactIndex("range") : nil)
            let step = list.count > 2 ? try list[2].exactIndex("range") : 1
            guard step != 0 else { throw .evaluation("range() arg 3 must not be zero") }
            let start = bounds.1 == nil ? 0 : bounds.0
            let stop = bounds.1 ?? bounds.0
            let (distance, overflow) = stop.subtractingReportingOverflow(start)
            let isEmpty = overflow ? (stop > start) != (step > 0) : (distance > 0) != (step > 0) || distance == 0
            let count = isEmpty ? 0 : overflow ? Int.max : Int(min((distance.magnitude - 1) / step.magnitude, UInt(Limits.templateRange))) + 1
            guard count <= Limits.templateRange else {
                throw .limit("Range too big. The sandbox blocks ranges larger than MAX_RANGE (\(Limits.templateRange)).")
            }
            return .range(IntegerRange(start: start, step: step, count: count, stop: stop))
        }

        private static let dictionary: GlobalFunction = { (rendering, arguments) throws(TemplateError) in
            guard arguments.positional.count <= 1 else {
                throw .evaluation("dict expected at most 1 argument, got \(arguments.positional.count)")
            }
            return .dictionary(try Members(try members(rendering, arguments)))
        }

        /// What `dict(…)` and `namespace(…)` make of their arguments.
        private static func members(_ rendering: Rendering, _ arguments: Arguments) throws(TemplateError) -> Dictionary {
            var members = Dictionary()
            switch arguments.positional.first {
            case nil: break
            case .dictionary(let other)?: members = other.values
            case let pairs?:
                for pair in try rendering.elements(of: pairs) {
                    let parts = try rendering.elements(of: pair)
                    guard parts.count == 2 else { throw .evaluation("dictionary update sequence element has length \(parts.count); 2 is required") }
                    if let error = parts[0].unhashable { throw error }
                    try rendering.charge(1 + parts[0].weight >> 4)
                    members[parts[0]] = parts[1]
                }
            }
            try rendering.charge(members.count >> 4)
            for (name, value) in arguments.keywords { members[.string(name)] = value }
            return members
        }

        static func dictionaryFromKeys(_ rendering: Rendering, _ arguments: Arguments) throws(TemplateError) -> Value {
            let list = try arguments.list("fromkeys", 1, 2)
            var members = Dictionary()
            for key in try rendering.elements(of: list[0]) {
                if let error = key.unhashable { throw error }
                try rendering.charge(1 + key.weight >> 4)
                members[key] = list.count > 1 ? list[1] : Value.none
            }
            return .dictionary(try Members(members))
        }

        private static let namespace: GlobalFunction = { (rendering, arguments) throws(TemplateError) in
            guard arguments.positional.count <= 1 else {
                throw .evaluation("dict expected at most 1 argument, got \(arguments.positional.count)")
            }
            let namespace = rendering.makeNamespace()
            for (key, value) in try members(rendering, arguments) {
                guard let name = key.text else { throw .evaluation("a namespace has names for its attributes, not \(key.typeName)") }
                try namespace.assign(name, value)
            }
            return .object(namespace)
        }

        private static let cycler: GlobalFunction = { (_, arguments) throws(TemplateError) in
            guard arguments.keywords.isEmpty else { throw .evaluation("cycler() takes no keyword arguments") }
            return .object(try Cycler(arguments.positional))
        }

        private static let joiner: GlobalFunction = { (_, arguments) throws(TemplateError) in
            .object(try Joiner(try arguments.bind("joiner", ["sep"])[0] ?? .string(", ")))
        }
    }
}
